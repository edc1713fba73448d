"""Rows of an input object: what is fit for the model, and what is wrong with the rest."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_ID_BYTES = 2048
"""Bytes of a record id at most: a DynamoDB partition key's (DynamoDB Developer Guide, quotas)."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadRow(Exception):
    """A row cannot be scored; the text says why."""

    def __init__(self, reason: str, record_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.record_id = record_id


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is fit for the model.

    Args:
        record_id: What identifies it.
        text: What the model reads.
    """

    record_id: str
    text: str

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; rows of one id with other texts have another one."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns matter, and what their values may be.

    Args:
        id_name: Column that identifies a row.
        text_name: Column that the model reads.
        max_characters: Characters of a text at most.
    """

    id_name: str
    text_name: str
    max_characters: int

    def row(self, fields: dict[str, Any]) -> Row:
        """A checked row.

        Raises:
            BadRow: With all that is wrong.
        """
        record_id, wrong = _identity(fields.get(self.id_name), self.id_name, self.id_name in fields)
        text = fields.get(self.text_name)
        if self.text_name not in fields:
            wrong.append(f"{self.text_name} is missing")
        elif not isinstance(text, str):
            wrong.append(f"{self.text_name} is {_kind(text)}: give a text")
        elif not text.strip():
            wrong.append(f"{self.text_name} is empty")
        elif len(text) > self.max_characters:
            wrong.append(
                f"{self.text_name} has {len(text):,} characters, and may have {self.max_characters:,}"
            )
        elif not _is_unicode(text):
            wrong.append(f"{self.text_name} has half of a surrogate pair in it")
        if wrong:
            raise BadRow("; ".join(wrong), record_id)
        return Row(str(record_id), str(text))


def parser(format_: str, header: Sequence[str], columns: Columns) -> Callable[[bytes], Row]:
    """What turns a line into a row, or raises `BadRow`.

    Args:
        format_: ``jsonl``, ``csv`` or ``tsv``.
        header: Columns of a delimited file.
        columns: Which columns matter.
    """
    fields = _json_fields if format_ == "jsonl" else _delimited(format_, tuple(header))

    def parse(line: bytes) -> Row:
        return columns.row(fields(_decoded(line)))

    return parse


def header_of(line: bytes, format_: str) -> tuple[str, ...]:
    """The columns that a delimited file's first line names.

    Raises:
        BadRow: It is no UTF-8, or cannot be cut into fields.
    """
    return tuple(name.strip() for name in _cut(_decoded(line.removeprefix(BYTE_ORDER_MARK)), format_))


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadRow(
            f"it is not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x}): "
            "save the file as UTF-8"
        ) from None


def _json_fields(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise BadRow(f"it is no JSON: {error.msg} at character {error.pos + 1}") from None
    except (RecursionError, ValueError) as error:
        raise BadRow(f"it is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRow(f"it is {_kind(document)}: a row is a JSON object")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _delimited(format_: str, header: tuple[str, ...]) -> Callable[[str], dict[str, Any]]:
    def fields(line: str) -> dict[str, Any]:
        values = _cut(line, format_)
        if len(values) != len(header):
            raise BadRow(f"it has {len(values)} fields, and the header names {len(header)}")
        return dict(zip(header, values, strict=True))

    return fields


def _cut(line: str, format_: str) -> list[str]:
    if format_ == "tsv":
        return line.split("\t")
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise BadRow(f"it is no CSV: {error}") from None


def _identity(value: Any, name: str, given: bool) -> tuple[str | None, list[str]]:
    if not given:
        return None, [f"{name} is missing"]
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None, [f"{name} is {_kind(value)}: give a text or a whole number"]
    text = str(value)
    if not text.strip():
        return None, [f"{name} is empty"]
    if not _is_unicode(text):
        return None, [f"{name} has half of a surrogate pair in it"]
    if "\0" in text:
        return None, [f"{name} has a NUL character in it"]  # PostgreSQL knows no such text
    size = len(text.encode())
    if size > MAX_ID_BYTES:
        return None, [f"{name} has {size:,} bytes, and may have {MAX_ID_BYTES:,}"]
    return text, []


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")
