"""Texts to compare an exported network with torch on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conversion.findings import ExportRefused


@dataclass(frozen=True)
class Texts:
    """Texts to compare on.

    Args:
        texts: At least one.
        labels: The right index of each; None if unknown.
    """

    texts: list[str]
    labels: list[int] | None


def read_texts(path: Path, most: int) -> Texts:
    """Read a file of texts, one per line, or in NSMC's format; empty ones are left out.

    Args:
        path: The file.
        most: Evenly chosen ones if there are more.

    Raises:
        ExportRefused: It cannot be read, or holds no text.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportRefused(f"--texts {path}: {error}") from None
    rows = [line.removesuffix("\r").split("\t") for line in lines]
    labelled = rows[0] == ["id", "document", "label"]
    if labelled:
        rows = [row for row in rows[1:] if len(row) == 3 and row[1].strip() and row[2] in {"0", "1"}]
    else:
        rows = [["", line] for line in (line.strip() for line in lines) if line]
    if most < 1 or not rows:
        raise ExportRefused(f"--texts {path}, --most-texts {most}: at least one text is needed")
    chosen = [rows[index] for index in np.linspace(0, len(rows) - 1, min(most, len(rows)), dtype=int)]
    return Texts([row[1] for row in chosen], [int(row[2]) for row in chosen] if labelled else None)
