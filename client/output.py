"""Where words go: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def plain(value: object) -> Text:
    """Somebody else's text for a terminal: no markup, no control characters."""
    return Text(
        "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    )


def print_json(value: Any) -> None:
    """Machine-readable output on stdout: one JSON document."""
    out.file.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def complain(message: str, hint: str = "") -> None:
    """An error on stderr, and below it what to do."""
    err.print(Text.assemble(("error: ", "bold red"), plain(message)), soft_wrap=True)
    for line in hint.splitlines():
        err.print(Text.assemble("  ", plain(line)), soft_wrap=True)
