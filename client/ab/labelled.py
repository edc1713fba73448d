"""Texts whose label is known, from a file."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import UserError

# NSMC writes 0 and 1; the models answer in words
_WORDS = {"0": "negative", "1": "positive"}
_HEADERS = ({"id", "document", "label"}, {"document", "label"}, {"text", "label"})
_NSMC_FILE = "ratings_test.txt"
_OWN_FILE = Path(__file__).with_name("reviews.tsv")
_MAX_BYTES = 200 * 1024 * 1024
_FINDINGS_SHOWN = 5


@dataclass(frozen=True)
class LabelledText:
    """A text and the label that a person gave it."""

    text: str
    label: str


@dataclass(frozen=True)
class LabelledFile:
    """What a labelled file holds.

    Args:
        path: Where it is.
        rows: The texts, in order.
        empty: Rows without a text, which no model can judge; left out of `rows`.
        sampled_from: How many rows there were before a sample was taken; None if all are here.
    """

    path: Path
    rows: Sequence[LabelledText]
    empty: int = 0
    sampled_from: int | None = None

    def sample(self, count: int | None) -> LabelledFile:
        """So many rows, drawn at random but always the same, in order; all if there are no more."""
        if count is None or count >= len(self.rows):
            return self
        chosen = sorted(random.Random(0).sample(range(len(self.rows)), count))  # noqa: S311 - no secret
        return LabelledFile(
            self.path, [self.rows[index] for index in chosen], self.empty, sampled_from=len(self.rows)
        )

    @property
    def advice(self) -> str:
        """What to know about the few reviews of our own; empty for other files."""
        if self.path != _OWN_FILE:
            return ""
        return (
            f"These {len(self.rows)} reviews come with the client and tell models apart only if they are far "
            "apart. For 50,000 more, get NSMC (github.com/e9t/nsmc) and set NSMC_DIR to its folder."
        )

    def __str__(self) -> str:
        rows = f"{len(self.rows):,} texts"
        if self.sampled_from is not None:
            rows += f" drawn from {self.sampled_from:,}"
        left_out = f" ({self.empty} rows without a text left out)" if self.empty else ""
        return f"{rows} of {self.path.name}{left_out}"


def default_file() -> Path:
    """The labelled file to use if none is named: NSMC's test split if it is there, else the few of our own.

    NSMC is looked for in ``NSMC_DIR``, or in ``../shared/data/nsmc`` beside the project.

    Raises:
        UserError: ``NSMC_DIR`` is set, and the file is not in it.
    """
    named = os.environ.get("NSMC_DIR")
    if named:
        path = Path(named).expanduser() / _NSMC_FILE
        if not path.is_file():
            raise UserError(
                f"NSMC_DIR is {named}, but {path} is not there", "Correct or unset NSMC_DIR, or name a file."
            )
        return path
    beside = Path(__file__).parents[3] / "shared" / "data" / "nsmc" / _NSMC_FILE
    return beside if beside.is_file() else _OWN_FILE


def read_labelled(path: Path) -> LabelledFile:
    """Read tab-separated rows: ``id document label`` as NSMC has them, or ``text label``.

    A header is recognised by its words. Labels 0 and 1 mean negative and positive; others are compared with
    the model's as they are.

    Raises:
        UserError: The file cannot be read, or rows of it make no sense; all of them at once.
    """
    lines = _lines(path)
    if lines and set(lines[0].lower().split("\t")) in _HEADERS:
        first, lines = 2, lines[1:]
    else:
        first = 1
    while lines and not lines[-1].strip():
        lines.pop()
    columns = len(lines[0].split("\t")) if lines else 0
    rows: list[LabelledText] = []
    findings: list[str] = []
    empty = 0
    for number, line in enumerate(lines, first):
        cells = line.split("\t")
        if len(cells) != columns or columns not in (2, 3):
            findings.append(f"line {number} has {len(cells)} columns")
        elif not cells[-1].strip():
            findings.append(f"line {number} has no label")
        elif not cells[-2].strip():
            empty += 1
        else:
            label = cells[-1].strip()
            rows.append(LabelledText(cells[-2], _WORDS.get(label, label)))
    if findings or not rows:
        shown = findings[:_FINDINGS_SHOWN] or ["it has no rows"]
        more = len(findings) - len(shown)
        raise UserError(
            f"{str(path)!r} is no labelled file: {'; '.join(shown)}" + (f"; {more} more" if more > 0 else ""),
            "Each line: id<TAB>text<TAB>label (as in NSMC's ratings_test.txt), or text<TAB>label. "
            "A label is 0 (negative), 1 (positive), or what the model calls it.",
        )
    return LabelledFile(path, rows, empty)


def _lines(path: Path) -> list[str]:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise UserError(f"{str(path)!r} is larger than {_MAX_BYTES // 1024**2} MiB", "Take a part of it.")
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{str(path)!r} is not UTF-8: byte {error.start} cannot be read", "Convert it to UTF-8."
        ) from error
    # only line feeds: some reviews contain other characters that Python would take for line ends
    return [line.removesuffix("\r") for line in content.split("\n")]
