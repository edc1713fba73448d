"""Requests to pairs of sentences.

In: ``application/json`` (the default), ``application/jsonlines``, ``text/csv`` (two columns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from client_errors import refuse
from formats import Values, check_texts
from wire import CSV, JSON, JSON_LINES, content_kind, csv_rows, decoded, json_lines, kind_of, parse_json

#: Characters of one sentence at most: comparing takes time with the product of two lengths.
MAX_SENTENCE_CHARACTERS = 500
#: Pairs of one request at most.
MAX_PAIRS = 1_000
#: Characters of all sentences of a request at most: some 5 seconds of work in the worst case.
MAX_CHARACTERS = 100_000
_EXAMPLE = '{"pairs": [["a sentence", "another"]]} or {"sentence1": "...", "sentence2": "..."}'
Pair = tuple[str, str]
# the two sentences, as found, and the words that tell where each of them stands
_Found = tuple[Any, Any, str, str]


def read_pairs(body: str | bytes | bytearray, content_type: str | None) -> list[Pair]:
    """Return the pairs of a request in their order, at least one.

    Args:
        body: The request body; bytes are UTF-8, with or without a byte order mark.
        content_type: The Content-Type header; missing means JSON.

    Raises:
        RequestError: 415 for another content type, 413 over a limit, 400 for all else that is wrong.
    """
    read = _READERS[content_kind(content_type, tuple(_READERS))]
    found = list(read(decoded(body)))
    if not found:
        refuse(f"the request holds no pair: give 1 to {MAX_PAIRS:,} pairs of sentences")
    if len(found) > MAX_PAIRS:
        refuse(
            f"{len(found):,} pairs: at most {MAX_PAIRS:,} in one request", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    places = [place for _, _, *two in found for place in two]
    values = [value for *two, _, _ in found for value in two]
    check_texts(Values(values, lambda index: places[index]), MAX_SENTENCE_CHARACTERS)
    if (characters := sum(map(len, values))) > MAX_CHARACTERS:
        refuse(
            f"{characters:,} characters: at most {MAX_CHARACTERS:,} in one request",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    return [(one, other) for one, other, _, _ in found]


def _pairs_of(document: Any, where: str) -> Iterator[_Found]:
    if not isinstance(document, dict):
        refuse(f"{where}the JSON is {kind_of(document)}: send an object such as {_EXAMPLE}")
    single = [key for key in ("sentence1", "sentence2") if key in document]
    if ("pairs" in document) == bool(single):
        problem = "both pairs and" if single else "neither pairs nor"
        refuse(f"{where}the object has {problem} sentence1 and sentence2: give {_EXAMPLE}")
    if single:
        if len(single) == 1:
            refuse(
                f"{where}the object has only {single[0]}: a pair is two sentences, sentence1 and sentence2"
            )
        yield document["sentence1"], document["sentence2"], f"{where}sentence1", f"{where}sentence2"
        return
    pairs = document["pairs"]
    if not isinstance(pairs, list):
        refuse(f"{where}pairs is {kind_of(pairs)}: give a list of pairs, {_EXAMPLE}")
    for index, pair in enumerate(pairs):
        place = f"{where}pairs[{index}]"
        if not isinstance(pair, list):
            refuse(f"{place} is {kind_of(pair)}: a pair is a list of two sentences")
        if len(pair) != 2:
            refuse(f"{place} has {_counted(len(pair), 'sentence')}: a pair is a list of two")
        yield pair[0], pair[1], f"{place}[0]", f"{place}[1]"


def _read_json(body: str) -> Iterator[_Found]:
    yield from _pairs_of(parse_json(body), "")


def _read_json_lines(body: str) -> Iterator[_Found]:
    for _, where, document in json_lines(body):
        yield from _pairs_of(document, where)


def _read_csv(body: str) -> Iterator[_Found]:
    for number, row in enumerate(csv_rows(body, MAX_SENTENCE_CHARACTERS), 1):
        if len(row) != 2:
            refuse(
                f"row {number} has {_counted(len(row), 'field')}: "
                'give the two sentences of a pair, "quoted" if they hold a comma'
            )
        yield row[0], row[1], f"row {number}, field 1", f"row {number}, field 2"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_READERS: dict[str, Callable[[str], Iterator[_Found]]] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    CSV: _read_csv,
}
