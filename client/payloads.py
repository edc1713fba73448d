"""Request bodies: from texts, or from a file as it is."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import UserError

# the workshop's two reviews; its model finds the first positive and the second negative
REVIEWS = ("불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요.")

# real-time inference takes 25 MB at most (developer guide, hosting FAQs)
MAX_BYTES = 25 * 1024 * 1024

CONTENT_TYPES = ("application/json", "application/jsonlines", "text/csv", "text/plain")
_BY_SUFFIX = {
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".jsonlines": "application/jsonlines",
    ".csv": "text/csv",
    ".txt": "text/plain",
}


@dataclass(frozen=True)
class Payload:
    """What is sent.

    Args:
        body: The bytes.
        content_type: Their media type.
        texts: The texts in them, in order, for display; None if they could not be read out, or are pairs.
        pairs: The pairs of sentences in them, in order, for display.
    """

    body: bytes
    content_type: str
    texts: tuple[str, ...] | None = None
    pairs: tuple[tuple[str, str], ...] | None = None


def media_type(content_type: str) -> str:
    """A media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def from_texts(texts: Sequence[str], content_type: str = "application/json") -> Payload:
    """Put texts into one request.

    Args:
        texts: At least one.
        content_type: One of `CONTENT_TYPES`.

    Raises:
        UserError: The content type cannot be written, or cannot carry these texts.
    """
    kind = media_type(content_type)
    if kind == "application/json":
        body = json.dumps({"inputs": list(texts)}, ensure_ascii=False)
    elif kind == "application/jsonlines":
        body = "".join(json.dumps({"text": [text]}, ensure_ascii=False) + "\n" for text in texts)
    elif kind == "text/csv":
        rows = io.StringIO()
        csv.writer(rows).writerows([text] for text in texts)
        body = rows.getvalue()
    elif kind == "text/plain":
        if any("\n" in text or "\r" in text for text in texts):
            raise UserError(
                "A text contains a line break, which separates texts in text/plain", "Use another type."
            )
        body = "\n".join(texts) + "\n"
    else:
        raise UserError(
            f"Texts cannot be written as {content_type!r}",
            f"Use one of {', '.join(CONTENT_TYPES)}, or send a body of your own with --file.",
        )
    return Payload(body.encode(), content_type, tuple(texts))


def from_json(value: Any) -> Payload:
    """Put any value into one request, as JSON."""
    return _described(json.dumps(value, ensure_ascii=False).encode(), "application/json")


def from_json_text(text: str) -> Payload:
    """Send JSON that somebody typed.

    Raises:
        UserError: It is none.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"--json-body is not JSON: {error}", """For example: --json-body '{"inputs": ["text"]}'"""
        ) from error
    return _described(text.encode(), "application/json")


def from_file(name: str, content_type: str | None = None) -> Payload:
    """Send a file as it is.

    Args:
        name: Path of the file, or ``-`` for standard input.
        content_type: Media type; by default what the suffix says.

    Raises:
        UserError: The file cannot be read, is empty or too large, or its type is unknown.
    """
    kind = content_type or _BY_SUFFIX.get(Path(name).suffix.lower())
    if kind is None:
        raise UserError(
            f"The content type of {'standard input' if name == '-' else name!r} is unknown",
            f"Say it: --content-type {'|'.join(CONTENT_TYPES)} (or what else your model takes).",
        )
    body = _read(name)
    if not body:
        raise UserError(f"{name!r} is empty")
    if len(body) > MAX_BYTES:
        raise UserError(
            f"{name!r} holds more than the {MAX_BYTES // 1024**2} MiB that real-time inference takes",
            "Send it in parts.",
        )
    return _described(body, kind)


def _described(body: bytes, content_type: str) -> Payload:
    kind = media_type(content_type)
    return Payload(body, content_type, _texts_in(body, kind), _pairs_in(body, kind))


def _read(name: str) -> bytes:
    """The file's bytes, but never more than one byte beyond the limit."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{name!r} cannot be read: {error.strerror or error}") from error


def _texts_in(body: bytes, kind: str) -> tuple[str, ...] | None:
    """The texts, to show them beside the answers; the model alone judges whether the body is right."""
    try:
        content = body.decode()
        if kind == "application/json":
            return _texts_of(json.loads(content))
        if kind == "application/jsonlines":
            lines = [_texts_of(json.loads(line)) for line in content.splitlines() if line.strip()]
            return None if None in lines else tuple(text for line in lines for text in line or ())
        if kind == "text/csv":
            return tuple(row[0] for row in csv.reader(io.StringIO(content, newline="")) if row)
        if kind == "text/plain":
            return tuple(content.splitlines())
    except (ValueError, csv.Error, RecursionError):
        pass
    return None


def _texts_of(value: Any) -> tuple[str, ...] | None:
    texts = value.get("inputs", value.get("text")) if isinstance(value, dict) else None
    if isinstance(texts, str):
        return (texts,)
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    return None


def _pairs_in(body: bytes, kind: str) -> tuple[tuple[str, str], ...] | None:
    """The pairs of sentences, to show them beside the answers."""
    if kind != "application/json":
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    pairs = value.get("pairs", [[value.get("sentence1"), value.get("sentence2")]])
    if isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in pairs
    ):
        return tuple((one, other) for one, other in pairs)
    return None
