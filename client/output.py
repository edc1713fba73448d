"""Where words go: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STATE_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}
"""Colours of a CloudWatch alarm's states."""


def plain(value: object) -> Text:
    """Somebody else's text for a terminal: no markup, no control characters."""
    return Text(
        "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    )


def figure(value: float | None, digits: int = 0) -> str:
    """A number for a table; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def moving(current: float | None, desired: float | None) -> str:
    """A value, and the one that it is going to."""
    if current is None:
        return "-"
    return f"{current:g}" if desired in (None, current) else f"{current:g} -> {desired:g}"


def print_json(value: Any) -> None:
    """Machine-readable output on stdout: one JSON document."""
    out.file.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def complain(message: str, hint: str = "") -> None:
    """An error on stderr, and below it what to do."""
    err.print(Text.assemble(("error: ", "bold red"), plain(message)), soft_wrap=True)
    for line in hint.splitlines():
        err.print(Text.assemble("  ", plain(line)), soft_wrap=True)


@contextmanager
def texts_progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that the given function moves on; nothing where stderr is no terminal."""
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("answers"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        yield lambda done: progress.advance(bar, done)
