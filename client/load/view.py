"""Shows a running load on stderr, and its figures at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from client.load.plan import MAX_IN_FLIGHT, LoadPlan
from client.load.tally import Tally
from client.output import err, out, plain

_REFRESH_SECONDS = 0.25
_LINE_EVERY_SECONDS = 5.0
# more lateness than this in sending says that the machine, not the endpoint, is at its limit
_LAG_WORTH_A_WORD_MS = 20.0


def watcher(plan: LoadPlan) -> Callable[[Tally], Coroutine[Any, Any, None]]:
    """Progress on stderr: a live bar on a terminal, a line every five seconds elsewhere."""

    async def on_terminal(tally: Tally) -> None:
        columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, TextColumn("{task.description}"), console=err, transient=True) as progress:
            bar = progress.add_task("starting", total=1.0)
            rate = _Rate()
            while True:
                progress.update(
                    bar, completed=_share_done(plan, tally), description=_line(plan, tally, rate(tally))
                )
                await asyncio.sleep(_REFRESH_SECONDS)

    async def on_lines(tally: Tally) -> None:
        rate = _Rate()
        while True:
            await asyncio.sleep(_LINE_EVERY_SECONDS)
            err.print(_line(plan, tally, rate(tally)), soft_wrap=True)

    return on_terminal if err.is_terminal else on_lines


class _Rate:
    """Finished requests per second since it was last asked."""

    def __init__(self) -> None:
        self._finished, self._at = 0, time.perf_counter()

    def __call__(self, tally: Tally) -> float:
        now = time.perf_counter()
        rate = (tally.finished - self._finished) / max(now - self._at, 1e-9)
        self._finished, self._at = tally.finished, now
        return rate


def _elapsed(tally: Tally) -> float:
    return time.perf_counter() - tally.started if tally.started else 0.0


def _share_done(plan: LoadPlan, tally: Tally) -> float:
    return min(1.0, max(_elapsed(tally) / plan.duration_seconds, tally.finished / plan.planned))


def _line(plan: LoadPlan, tally: Tally, rate: float) -> str:
    live = tally.live()
    latency = f"p50 {live[0]:.1f} ms  p99 {live[1]:.1f} ms" if live else "no answer yet"
    waiting = tally.sent - tally.finished
    over = _elapsed(tally) > plan.duration_seconds and waiting
    return (
        f"{min(_elapsed(tally), plan.duration_seconds):.0f}/{plan.duration_seconds:g} s  {rate:,.0f}/s  "
        f"{latency}  errors {tally.failed:,}" + (f"  waiting for {waiting} answers" if over else "")
    )


def show_report(plan: LoadPlan, report: dict[str, Any]) -> None:
    """The figures for a person, on stdout."""
    requests, latency = report["requests"], report["latency_ms"]
    figures = Table(
        title=f"Load: {plan}", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    figures.add_row("requests", f"{requests['sent']:,} sent, {requests['answered']:,} answered with success")
    figures.add_row(
        "achieved", f"{report['requests_per_second']:,.1f} requests/s over {report['seconds']:.1f} s"
    )
    if latency:
        shown = "   ".join(f"{name} {value:,.1f}" for name, value in latency.items())
        figures.add_row("latency, ms", shown)
        since = "from the intended time of sending" if plan.rate is not None else "from sending"
        figures.add_row("", Text(f"{since} to the last byte, successful requests only", style="dim"))
    for variant, count in report["variants"].items():
        share = 100 * count / max(requests["answered"], 1)
        figures.add_row("variant", plain(f"{variant}: {count:,} ({share:.1f} %)"))
    out.print(figures, soft_wrap=True)
    show_trouble(report)


def show_trouble(report: dict[str, Any]) -> None:
    """Requests that failed or could not be sent, and whether this machine is the limit."""
    requests, lag = report["requests"], report["send_lag_ms"]
    for error in report["errors"]:
        out.print(Text.assemble((f"{error['count']:,} x ", "bold red"), plain(error["kind"])), soft_wrap=True)
        out.print(Text.assemble("    for example: ", plain(error["sample"])), soft_wrap=True)
    if requests["not_sent"]:
        out.print(
            Text(
                f"{requests['not_sent']:,} requests could not be sent in time: this machine, or "
                f"{MAX_IN_FLIGHT} requests waiting for an answer at once, is the limit",
                style="bold red",
            ),
            soft_wrap=True,
        )
    elif lag and lag["p99"] > _LAG_WORTH_A_WORD_MS:
        out.print(
            Text(
                f"1 % of the requests left {lag['p99']:.0f} ms late or later: this machine is busy",
                style="yellow",
            ),
            soft_wrap=True,
        )
    if report["interrupted"]:
        out.print(Text("interrupted: the figures cover what was done until then", style="yellow"))
