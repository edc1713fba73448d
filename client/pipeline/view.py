"""Shows an execution to a person: a live picture on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.commands import sandbox_command
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.pipeline.executions import (
    FAILED,
    NOT_REACHED,
    NOT_TAKEN,
    SUCCEEDED,
    WAITING,
    ExecutionState,
    StepState,
)

_STYLES = {
    SUCCEEDED: "green",
    FAILED: "bold red",
    "Stopped": "yellow",
    "Stopping": "yellow",
    "Executing": "cyan",
    "Starting": "cyan",
    WAITING: "dim",
    NOT_TAKEN: "dim",
    NOT_REACHED: "dim",
}


@contextmanager
def following(title: str, console: Console = err) -> Iterator[Callable[[ExecutionState], None]]:
    """Gives the function to draw with; on a terminal the last picture stays.

    Args:
        title: First words of the picture.
        console: Where it is drawn.
    """
    if not console.is_terminal:
        said: dict[str, str] = {}
        yield lambda state: _print_changes(console, state, said)
        return
    # drawn only when there is something new: no flicker
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda state: live.update(picture(title, state), refresh=True)


def picture(title: str, state: ExecutionState) -> Group:
    """Everything at once."""
    head = Text.assemble(
        (title, "bold"),
        f"  {state.id}  ",
        (state.status, _STYLES.get(state.status, "")),
        (f"  {state.seconds:.0f} s", "dim"),
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  step", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("")
    for step in state.steps:
        table.add_row(
            plain(f"  {step.name}"),
            plain(step.type),
            Text(step.status, style=_STYLES.get(step.status, "")),
            "" if step.seconds is None else f"{step.seconds:.1f} s",
            plain(_notes(step)),
        )
    return Group(head, table)


def show_outcome(deployed: DeployedPattern, state: ExecutionState, *, in_sandbox: bool) -> None:
    """How it ended, and what it left.

    Args:
        deployed: The stack with the pipeline.
        state: An execution that has ended.
        in_sandbox: Whether commands that are named go to the sandbox.
    """
    out.print(
        Text.assemble(
            (state.status.lower(), _STYLES.get(state.status, "")),
            plain(f" after {state.seconds:.1f} s: execution {state.id}"),
        ),
        soft_wrap=True,
    )
    failed = [step for step in state.steps if step.status == FAILED]
    for step in failed:
        _line(step.name, step.reason or "failed without a reason")
    # the API puts the steps' own reasons together
    if state.reason and not any(step.reason and step.reason in state.reason for step in failed):
        _line("reason", state.reason)
    for arn in state.registered:
        _line("registered", arn)
    if state.status != SUCCEEDED:
        retry = f"aws sagemaker retry-pipeline-execution --pipeline-execution-arn {state.arn}"
        _line("to go on", f"{sandbox_command('run')} -- {retry}" if in_sandbox else retry)
    elif state.registered and deployed.outputs.get("EndpointName"):
        _line("endpoint", deployed.outputs["EndpointName"])


def _print_changes(console: Console, state: ExecutionState, said: dict[str, str]) -> None:
    """A line for each step that is not as it was said last."""
    for step in state.steps:
        notes = _notes(step)
        now = f"{step.status} {notes}"
        if step.status == WAITING or said.get(step.name) == now:
            continue
        said[step.name] = now
        line = f"{state.seconds:6.1f} s  {step.name} {step.status}"
        if step.status in (SUCCEEDED, FAILED) and step.seconds is not None:
            line += f" {step.seconds:.1f} s"
        console.print(plain(f"{line} | {notes}" if notes else line), soft_wrap=True)


def _notes(step: StepState) -> str:
    notes = []
    if step.cached_from:
        notes.append(f"cached from {step.cached_from.rpartition('/')[2]}")
    if step.attempts > 1:
        notes.append(f"attempt {step.attempts}")
    if step.outcome is not None:
        notes.append(str(step.outcome).lower())
    if step.reason:
        notes.append(step.reason)
    return ", ".join(notes)


def _line(name: str, words: str) -> None:
    out.print(Text.assemble((f"{name}  ", "dim"), plain(words)), soft_wrap=True)
