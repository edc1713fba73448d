"""Shows versions, and what follows from a decision, to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.table import Table
from rich.text import Text

from client.commands import client_command
from client.output import err, out, plain
from client.pipeline.deciding import Decision
from client.pipeline.versions import APPROVED, REJECTED, WAITING, Serving, Version

_STYLES = {APPROVED: "green", REJECTED: "red", WAITING: "yellow"}
_WORDS = {WAITING: "waits", APPROVED: "approved", REJECTED: "rejected"}


def show_versions(versions: Sequence[Version], now: Serving, *, in_sandbox: bool) -> None:
    """A line for each version, and what the endpoint serves.

    Args:
        versions: The newest first.
        now: What the endpoint serves.
        in_sandbox: Whether commands that are named go to the sandbox.
    """
    if not versions:
        send = client_command("pipeline send FILE --folder NAME", in_sandbox=in_sandbox)
        out.print(plain(f"no version is registered yet. Send reviews, then start: {send}"), soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("version", justify="right", no_wrap=True)
    table.add_column("approval", no_wrap=True)
    table.add_column("accuracy", justify="right", no_wrap=True)
    table.add_column("registered", no_wrap=True)
    table.add_column("data", overflow="fold")
    table.add_column("execution", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in versions:
        table.add_row(
            str(one.number),
            Text(_WORDS.get(one.approval, one.approval), style=_STYLES.get(one.approval, "")),
            "-" if one.accuracy is None else f"{one.accuracy:.2%}",
            f"{one.created.astimezone():%Y-%m-%d %H:%M}",
            plain(one.data or "-"),
            plain(one.execution.rpartition("/")[2] or "-"),
            "serves" if one.arn == now.arn else "is coming" if one.arn == now.coming else "",
        )
    out.print(table)
    for one in versions:
        if one.because:
            words = _WORDS.get(one.approval, one.approval)
            out.print(plain(f"version {one.number} {words}: {one.because}"), style="dim", soft_wrap=True)
    show_serving(now, versions)
    if any(one.approval == WAITING for one in versions):
        hint = client_command("pipeline approve --wait", in_sandbox=in_sandbox)
        out.print(Text.assemble(("approve   ", "dim"), hint), soft_wrap=True)


def show_decision(decision: Decision) -> None:
    """What was decided, and what follows."""
    version = decision.version
    accuracy = "" if version.accuracy is None else f", accuracy {version.accuracy:.2%}"
    out.print(
        Text.assemble(
            f"version {version.number} is ",
            (_WORDS.get(version.approval, version.approval), _STYLES.get(version.approval, "")),
            accuracy,
        )
    )
    out.print(plain(decision.outlook), soft_wrap=True)


def show_serving(now: Serving, versions: Sequence[Version]) -> None:
    """What the endpoint serves."""
    number = f"version {now.arn.rpartition('/')[2]}" if now.arn else "nothing"
    line = f"{now.endpoint} {now.status}, serves {number}"
    if not now.status:
        line = f"{now.endpoint} is not there yet: approve a version"
    coming = next((one.number for one in versions if one.arn == now.coming), None)
    if coming is not None:
        line += f", goes to version {coming}"
    out.print(Text.assemble(("endpoint  ", "dim"), plain(line)), soft_wrap=True)
    if now.reason:
        out.print(Text.assemble(("reason    ", "dim"), plain(now.reason)), soft_wrap=True)


@contextmanager
def following() -> Iterator[Callable[[Serving], None]]:
    """The endpoint's status on stderr, as it changes."""
    said = ""
    with err.status("asking for the endpoint") as spinner:

        def say(now: Serving) -> None:
            nonlocal said
            words = f"endpoint {now.endpoint} is {now.status or 'not there yet'}"
            spinner.update(words)
            if words != said and not err.is_terminal:
                err.print(plain(words), soft_wrap=True)
            said = words

        yield say
