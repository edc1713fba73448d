"""Requests to texts that are to be summarised.

In: ``application/json`` (the default), ``application/jsonlines``, ``text/plain`` (the body is a text).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from client_errors import refuse
from formats import Values, check_texts
from wire import JSON, JSON_LINES, TEXT, content_kind, decoded, json_lines, kind_of, parse_json

#: Characters of all texts of a request at most, white space included; a novel has about half as many.
MAX_CHARACTERS = 1_000_000
#: Texts of one request at most.
MAX_TEXTS = 1_000
#: Sentences of one summary at most, and when the request does not say.
MAX_SENTENCES, SENTENCES = 100, 3
_EXAMPLE = '{"text": "...", "sentences": 2} or {"inputs": ["...", "..."], "sentences": 2}'


@dataclass(frozen=True)
class SummaryRequest:
    """A text, and how many of its sentences are wanted."""

    text: str
    sentences: int = SENTENCES


# what may be a text, the words that tell where it stands, how many sentences
_Found = tuple[Any, str, int]


def read_requests(body: str | bytes | bytearray, content_type: str | None) -> list[SummaryRequest]:
    """Return what is to be summarised, in the order of the request, at least one text.

    Args:
        body: The request body; bytes are UTF-8, with or without a byte order mark.
        content_type: The Content-Type header; missing means JSON.

    Raises:
        RequestError: 415 for another content type, 413 over a limit, 400 for all else that is wrong.
    """
    read = _READERS[content_kind(content_type, tuple(_READERS))]
    found = list(read(decoded(body)))
    if not found:
        refuse(f"the request holds no text: give 1 to {MAX_TEXTS:,} texts")
    too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if len(found) > MAX_TEXTS:
        refuse(f"{len(found):,} texts: at most {MAX_TEXTS:,} in one request", too_large)
    check_texts(Values([text for text, _, _ in found], lambda index: found[index][1]), MAX_CHARACTERS)
    if (characters := sum(len(text) for text, _, _ in found)) > MAX_CHARACTERS:
        refuse(f"{characters:,} characters: at most {MAX_CHARACTERS:,} in one request", too_large)
    return [SummaryRequest(text, sentences) for text, _, sentences in found]


def _requests_of(document: Any, where: str) -> Iterator[_Found]:
    if not isinstance(document, dict):
        refuse(f"{where}the JSON is {kind_of(document)}: send an object such as {_EXAMPLE}")
    if ("text" in document) == ("inputs" in document):
        problem = "both text and inputs" if "text" in document else "neither text nor inputs"
        refuse(f"{where}the object has {problem}: give {_EXAMPLE}")
    key = "text" if "text" in document else "inputs"
    wanted = document.get("sentences", SENTENCES)
    if type(wanted) is not int or not 1 <= wanted <= MAX_SENTENCES:
        shown = kind_of(wanted) if type(wanted) is not int or abs(wanted) > 10**6 else str(wanted)
        refuse(f"{where}sentences is {shown}: give a whole number from 1 to {MAX_SENTENCES}")
    value = document[key]
    if not isinstance(value, list):
        yield value, f"{where}{key}", wanted
        return
    for index, text in enumerate(value):
        yield text, f"{where}{key}[{index}]", wanted


def _read_json(body: str) -> Iterator[_Found]:
    yield from _requests_of(parse_json(body), "")


def _read_json_lines(body: str) -> Iterator[_Found]:
    for _, where, document in json_lines(body):
        yield from _requests_of(document, where)


def _read_plain(body: str) -> Iterator[_Found]:
    if body:
        yield body, "the body", SENTENCES


_READERS: dict[str, Callable[[str], Iterator[_Found]]] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    TEXT: _read_plain,
}
