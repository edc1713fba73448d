"""Files of rows on this machine: which formats there are, and reading them row by row."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import UserError

FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "tsv"}
"""Endings that the workflow reads; each also with ``.gz`` behind it."""

_BLOCK = 1024 * 1024
_NAME_LENGTH = 80


@dataclass(frozen=True)
class RowsFile:
    """A file of rows.

    Args:
        path: Where it is.
        format: ``jsonl``, ``csv`` or ``tsv``.
        packed: Whether it is compressed by gzip.
        header: Columns of a delimited file.
        digest: What it contains, in 12 hexadecimal digits.
    """

    path: Path
    format: str
    packed: bool
    header: tuple[str, ...]
    digest: str

    @property
    def upload_name(self) -> str:
        """Its name in the bucket, which goes by its content: what was sent before is the same object."""
        suffixes = "".join(self.path.suffixes[-2:]) if self.packed else self.path.suffix
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", self.path.name.removesuffix(suffixes))[:_NAME_LENGTH]
        return f"{stem or 'rows'}-{self.digest}{suffixes.lower()}"

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows that can be read, one by one, each with its first byte in the (unpacked) file; the
        workflow tells what is wrong with the others."""
        for offset, line in _lines(self.path, self.packed):
            row = _row(line, self.format, self.header)
            if row is not None:
                yield offset, row


def open_rows(path: Path, *, id_column: str, text_column: str) -> RowsFile:
    """Look at a file before it is sent.

    Args:
        path: The file.
        id_column: Column that the workflow identifies rows by.
        text_column: Column that it reads.

    Raises:
        UserError: It cannot be read, is empty, is of no known format, or lacks a column.
    """
    ending, packed = _ending(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError(f"{path} is no file", "Name one file of rows.")
        if not size:
            raise UserError(f"{path} is empty", "Give it rows.")
        digest = _digest(path)
        _, first = next(_lines(path, packed), (0, b""))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    header: tuple[str, ...] = ()
    if FORMATS[ending] != "jsonl":
        header = _header(path, first, FORMATS[ending])
        missing = [name for name in (id_column, text_column) if name not in header]
        if missing:
            raise UserError(
                f"{path}: its header names {', '.join(header[:20]) or 'nothing'}, and lacks "
                f"{' and '.join(missing)}",
                f"The first line of the file names its columns; the workflow reads {id_column} and "
                f"{text_column} (patterns.batch.workflow.id_column and .text_column).",
            )
    return RowsFile(path, FORMATS[ending], packed, header, digest)


def _ending(path: Path) -> tuple[str, bool]:
    name = path.name.lower()
    ending = next((end for end in FORMATS if name.removesuffix(".gz").endswith(end)), None)
    if ending is None:
        raise UserError(
            f"{path}: the name does not tell the format",
            f"It ends in {', '.join(FORMATS)} (each also .gz): JSON lines, or text with a header and columns "
            "separated by commas (.csv) or tabs (.tsv, .txt).",
        )
    return ending, name.endswith(".gz")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()[:12]


def _lines(path: Path, packed: bool) -> Iterator[tuple[int, bytes]]:
    """The file's lines and where they begin; of a damaged archive, those before the damage."""
    offset = 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            for line in file:
                data = line.rstrip(b"\r\n")
                yield offset, data if offset else data.removeprefix(b"\xef\xbb\xbf")
                offset += len(line)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return


def _header(path: Path, first: bytes, format_: str) -> tuple[str, ...]:
    try:
        return tuple(name.strip() for name in _cut(first.decode(), format_))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}: its header cannot be read: {error}", "Save it as UTF-8, with names of columns first."
        ) from error


def _row(line: bytes, format_: str, header: tuple[str, ...]) -> dict[str, Any] | None:
    try:
        text = line.decode()
        if format_ == "jsonl":
            document = json.loads(text)
            return document if isinstance(document, dict) else None
        values = _cut(text, format_)
    except (ValueError, csv.Error, RecursionError):
        return None
    if len(values) != len(header) or tuple(values) == header:
        return None
    return dict(zip(header, values, strict=True))


def _cut(line: str, format_: str) -> list[str]:
    return line.split("\t") if format_ == "tsv" else next(csv.reader([line], strict=True), [])
