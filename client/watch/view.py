"""Draws a deployment: a live picture on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.connection import Connection
from client.metrics import Window
from client.output import STATE_STYLES, err, plain
from client.watch.follow import COMPLETED, Ending, Show
from client.watch.snapshot import Fleet, Snapshot

_BAR = 24
_LINE_EVERY_SECONDS = 10.0
# enough of a generated name to tell two of them apart
_NAME_END = 12
_STATUS_STYLES = {"InService": "green", "RollingBack": "bold red", "Failed": "bold red"}
_ROLE_STYLES = {"new": "cyan", "gone": "dim"}


class View:
    """How a deployment is drawn.

    Args:
        title: First line.
        window_seconds: Time that traffic and errors cover.
        versions: What configurations are called, for a person; may grow while it is drawn.
        footer: A last line that changes, for example what the deploy command says; empty for none.
    """

    def __init__(
        self,
        title: str,
        window_seconds: float,
        versions: Mapping[str, str] | None = None,
        footer: Callable[[], str] = lambda: "",
    ) -> None:
        self._title = title
        self._window = window_seconds
        self._versions = versions if versions is not None else {}
        self._footer = footer
        self._said = ""
        self._said_at = 0.0

    @contextmanager
    def drawn(self, console: Console = err) -> Iterator[Show]:
        """Gives the function to draw with; on a terminal the last picture stays."""
        if not console.is_terminal:
            yield lambda snapshot, seconds: self._print(console, snapshot, seconds)
            return
        # drawn only when there is something new: no flicker
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda snapshot, seconds: live.update(self.picture(snapshot, seconds), refresh=True)

    def picture(self, snapshot: Snapshot, seconds: float) -> Group:
        """Everything at once."""
        endpoint = snapshot.endpoint
        head = Text.assemble(
            (self._title, "bold"),
            f"  {endpoint.name}  ",
            (endpoint.status, _STATUS_STYLES.get(endpoint.status, "yellow")),
            (f"  {seconds:.0f} s", "dim"),
        )
        lines: list[Table | Text] = [head, self._fleets(snapshot)]
        lines += [
            Text(f"  {stage}", style="yellow", overflow="ellipsis", no_wrap=True) for stage in snapshot.stages
        ]
        if snapshot.alarms:
            lines.append(self._alarms(snapshot))
        lines += [
            Text.assemble(("  not shown: ", "dim"), plain(note), overflow="ellipsis", no_wrap=True)
            for note in snapshot.notes
        ]
        footer = self._footer()
        if footer:
            lines.append(Text(f"  {plain(footer).plain}", style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines)

    def line(self, snapshot: Snapshot) -> str:
        """The same in one line."""
        fleets = ", ".join(self._in_words(one) for one in snapshot.fleets)
        parts = [snapshot.endpoint.status, fleets]
        parts += [f"{one.metric or one.name} {one.state}" for one in snapshot.alarms if one.state == "ALARM"]
        parts += snapshot.stages
        return " | ".join(part for part in parts if part)

    def _print(self, console: Console, snapshot: Snapshot, seconds: float) -> None:
        """A line when the status, a stage or an alarm has changed, and every ten seconds."""
        state = repr(
            (snapshot.endpoint.status, snapshot.stages, [(one.name, one.state) for one in snapshot.alarms])
        )
        if state == self._said and seconds - self._said_at < _LINE_EVERY_SECONDS:
            return
        self._said, self._said_at = state, seconds
        console.print(plain(f"{seconds:6.1f} s  {self.line(snapshot)}"), soft_wrap=True)

    def _fleets(self, snapshot: Snapshot) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("  fleet", no_wrap=True)
        table.add_column("")
        table.add_column(f"traffic, last {self._window:g} s", no_wrap=True)
        for heading in ("share", "errors", "instances"):
            table.add_column(heading, justify="right", no_wrap=True)
        for one in snapshot.fleets:
            errors = one.error_rate
            table.add_row(
                f"  {self._called(one)}",
                Text(one.role, style=_ROLE_STYLES.get(one.role, "")),
                _bar(one),
                _percent(one.share),
                Text(_percent(errors), style="bold red" if errors else "green" if errors == 0 else ""),
                "-" if one.role == "gone" else f"{one.instances or 0}/{one.desired_instances or 0}",
            )
        return table

    def _alarms(self, snapshot: Snapshot) -> Text:
        parts: list[str | tuple[str, str]] = ["  alarms  "]
        for one in snapshot.alarms:
            state = "no data" if one.state == "INSUFFICIENT_DATA" else one.state
            parts += [f"{one.metric or one.name} ", (state, STATE_STYLES.get(one.state, "")), "  "]
        return Text.assemble(*parts, overflow="ellipsis", no_wrap=True)

    def _in_words(self, fleet: Fleet) -> str:
        name = f"{self._called(fleet)} ({fleet.role})"
        if not fleet.share:
            return f"{name} no traffic"
        return f"{name} {_percent(fleet.share)} of the traffic with {_percent(fleet.error_rate)} errors"

    def _called(self, fleet: Fleet) -> str:
        return self._versions.get(fleet.config) or f"\N{HORIZONTAL ELLIPSIS}{fleet.config[-_NAME_END:]}"


def deployment_view(
    connection: Connection,
    title: str,
    versions: Mapping[str, str] | None = None,
    footer: Callable[[], str] = lambda: "",
) -> View:
    """A view whose figures cover what the connection can tell of the last moments."""
    return View(title, Window.latest(connection).seconds, versions, footer)


def ending_words(ending: Ending) -> Text:
    """How it ended, in a line."""
    serving = ending.last.endpoint.serving_config
    if ending.result == COMPLETED:
        return Text.assemble(
            ("completed", "bold green"), f" after {ending.seconds:.0f} s: the endpoint serves {serving}"
        )
    reason = f": {ending.reason}" if ending.reason else ""
    return Text.assemble(
        (ending.result, "bold red"),
        plain(f" after {ending.seconds:.0f} s, the endpoint serves {serving}{reason}"),
    )


def _bar(fleet: Fleet) -> Text:
    """The fleet's share; the part that failed in red."""
    share = fleet.share or 0.0
    filled = round(share * _BAR)
    failed = round(share * (fleet.error_rate or 0.0) * _BAR)
    if fleet.errors and not failed and filled:
        failed = 1
    return Text.assemble(
        ("\N{FULL BLOCK}" * (filled - failed), "green"),
        ("\N{FULL BLOCK}" * failed, "red"),
        ("\N{LIGHT SHADE}" * (_BAR - filled), "dim"),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
