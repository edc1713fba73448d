"""Shows batch jobs to a person: while they run, what came of them, and single rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.table import Table
from rich.text import Text

from client.batch.accuracy import Confusion
from client.batch.following import PHASES, Ending, Progress
from client.batch.quarantine import SetAside
from client.batch.records import ScoredRow
from client.batch.state import WorkflowStatus
from client.output import err, figure, out, plain

_STYLES = {"SUCCEEDED": "green", "RUNNING": "cyan"}


@contextmanager
def uploading(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for an upload; nothing where stderr is no terminal."""
    columns = (TextColumn("uploading"), BarColumn(bar_width=24), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=total)
        yield lambda sent: bars.advance(task, sent)


@contextmanager
def comparing() -> Iterator[Callable[[int], None]]:
    """A count on stderr of rows that were compared; nothing where stderr is no terminal."""
    columns = (TextColumn("comparing labels: {task.completed:,.0f} rows"), TimeElapsedColumn())
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda rows: bars.advance(task, rows)


@contextmanager
def following() -> Iterator[Callable[[Progress], None]]:
    """Phase, records, rate and remaining time on stderr; where that is no terminal, a line for each phase."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(PHASES["Claim"], total=None, words="")
        began: dict[str, float] = {}

        def draw(progress: Progress) -> None:
            now = time.monotonic()
            if progress.phase not in began:
                began[progress.phase] = now
                if not err.is_terminal:
                    err.print(_phase_line(progress), soft_wrap=True)
            rate = _rate(progress, now - began[progress.phase])
            bars.update(
                task,
                description=PHASES[progress.phase],
                total=_total(progress),
                completed=_done(progress),
                words=_words(progress, rate),
            )

        yield draw


def show_ending(ending: Ending, aside: Sequence[SetAside]) -> None:
    """What came of an execution."""
    style = _STYLES.get(ending.status, "bold red")
    _line("execution", ending.execution.name, ("  ", ""), (ending.status, style), f"  {ending.seconds:.1f} s")
    if ending.nothing_new:
        _line(
            "nothing new", f"{ending.skipped:,} file(s) were scored before, or are being scored: --force anew"
        )
    if ending.report:
        show_report(ending.report, aside)
    if ending.cause:
        _line("error", ending.error)
        out.print(Text.assemble("  ", plain(ending.cause)), soft_wrap=True)


def show_report(report: dict[str, Any], aside: Sequence[SetAside]) -> None:
    """What was counted of a job."""
    _line("job", report["job_name"])
    _line(
        "rows",
        f"{report['input_rows']:,} in the input = {report['landed']:,} landed",
        f" + {report['same']:,} repeated" if report["same"] else "",
        f" + {report['superseded']:,} that a newer job has scored" if report["superseded"] else "",
        f" + {report['unanswered']:,} without an answer" if report["unanswered"] else "",
        f" + {report['quarantined']:,} set aside",
    )
    _line("in the sink", f"{report['in_table']:,} rows of this job")
    if report["quarantined"]:
        _line("set aside", report.get("quarantine_uri") or "see the job's folder")
        show_set_aside(aside, report["quarantined"])


def show_set_aside(rows: Sequence[SetAside], total: int) -> None:
    """Rows that were set aside, with their reasons."""
    for row in rows:
        name = f" ({row.record_id})" if row.record_id else ""
        out.print(
            Text.assemble(
                "  ", plain(f"{row.file}, line {row.line:,}{name}: "), (plain(row.reason).plain, "yellow")
            ),
            soft_wrap=True,
        )
    if total > len(rows):
        out.print(Text(f"  and {total - len(rows):,} more", style="dim"))


def show_confusion(confusion: Confusion, picture: str) -> None:
    """Accuracy, and the confusion matrix."""
    if not confusion.total:
        _line("accuracy", "unknown: no row has a label and an answer of its own")
        return
    _line(
        "accuracy", f"{100 * confusion.accuracy:.2f} %", f" of {confusion.total:,} rows whose label is known"
    )
    if confusion.without_answer:
        _line("", f"{confusion.without_answer:,} more have no answer of their own: set aside, or repeated")
    table = Table(header_style="bold", title="it is \\ the model says", title_justify="left")
    table.add_column("")
    labels = confusion.labels
    for label in labels:
        table.add_column(plain(label), justify="right")
    table.add_column("recall", justify="right")
    for known in labels:
        table.add_row(
            plain(known),
            *(f"{confusion.counts[known, said]:,}" for said in labels),
            _percent(confusion.recall(known)),
        )
    table.add_row("precision", *(_percent(confusion.precision(label)) for label in labels), "")
    out.print(table)
    if picture:
        _line("picture", picture)


def show_row(row: ScoredRow) -> None:
    """A row as it landed."""
    _line("record", row.record_id)
    if row.label:
        _line("label", row.label, f"  score {figure(row.score, 3)}")
    if row.answer is not None:
        _line("answer", str(row.answer))
    _line("job", row.job, f"  started {row.job_started_at}")
    _line("from", f"{row.source}, byte {row.source_offset:,}")


def show_workflow(workflow: WorkflowStatus) -> None:
    """The last executions of a workflow."""
    table = Table(header_style="bold")
    for heading in ("job, or execution", "status", "by", "landed", "set aside", "took"):
        table.add_column(
            heading,
            justify="right" if heading in ("landed", "set aside", "took") else "left",
            overflow="fold",
        )
    for one in workflow.executions:
        table.add_row(
            plain(one.job or one.name),
            Text(one.status, style=_STYLES.get(one.status, "bold red")),
            one.trigger,
            figure(one.landed),
            figure(one.quarantined),
            "-" if one.seconds is None else f"{one.seconds:.0f} s",
        )
    out.print(table if workflow.executions else Text("nothing has run yet", style="dim"))


def _line(name: str, *parts: Any) -> None:
    words = [part if isinstance(part, tuple) else plain(part) for part in parts]
    out.print(Text.assemble((f"{name:<12}", "bold"), *words), soft_wrap=True)


def _phase_line(progress: Progress) -> str:
    known = f" ({progress.prepared:,} records)" if progress.prepared else ""
    return f"{PHASES[progress.phase]}{known}"


def _total(progress: Progress) -> float | None:
    if progress.phase == "Land":
        return progress.prepared or None
    return progress.parts if progress.phase in ("Prepare", "Transform") and progress.parts else None


def _done(progress: Progress) -> float:
    return progress.landed if progress.phase == "Land" else progress.done_parts


def _rate(progress: Progress, seconds: float) -> float:
    count = progress.landed if progress.phase == "Land" else progress.prepared
    return count / seconds if seconds > 0 and progress.phase in ("Prepare", "Land") else 0.0


def _words(progress: Progress, rate: float) -> str:
    count = progress.landed if progress.phase == "Land" else progress.prepared
    words = [f"{count:,} records"] if count else []
    if progress.phase == "Transform" and progress.parts:
        words.append(f"{progress.done_parts:,} of {progress.parts:,} parts")
    elif count and rate:
        words.append(f"{rate:,.0f}/s")
    return ", ".join(words)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
