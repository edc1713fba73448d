"""Requests to texts, predictions to answers, in the formats that models of single texts speak.

In: ``application/json`` (the default), ``application/jsonlines``, ``text/csv``, ``text/plain``.
Out: ``application/json`` (the default), ``application/jsonlines``, ``text/csv``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypedDict

from client_errors import refuse
from wire import (
    CSV,
    JSON,
    JSON_LINES,
    TEXT,
    content_kind,
    csv_rows,
    decoded,
    json_lines,
    kind_of,
    lines,
    parse_json,
    write_answers,
)

#: Characters of one text at most; 140 is the longest review of the training data.
MAX_TEXT_CHARACTERS = 10_000
#: Texts of one request at most; about 6 MB of reviews hold 60,000.
MAX_TEXTS = 100_000
_KEYS = ("inputs", "text")
_FINDINGS_SHOWN = 5


class Prediction(TypedDict):
    """The answer for one text: ``"positive"`` or ``"negative"``, and that label's probability, 0.5 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Values:
    """Values found in a request, and the words that tell a person where the n-th of them stands."""

    values: Sequence[Any]
    place: Callable[[int], str]


def read_texts(body: str | bytes | bytearray, content_type: str | None) -> list[str]:
    """Return the texts of a request in their order, at least one.

    Args:
        body: The request body; bytes are UTF-8, with or without a byte order mark.
        content_type: The Content-Type header, parameters and all; missing means JSON, as in AWS's containers.

    Raises:
        RequestError: 415 for another content type, 413 over a limit, 400 for all else that is wrong.
    """
    read = _READERS[content_kind(content_type, tuple(_READERS))]
    found = read(decoded(body))
    if not found.values:
        refuse(f"the request holds no text: give 1 to {MAX_TEXTS:,} texts")
    if len(found.values) > MAX_TEXTS:
        refuse(
            f"{len(found.values):,} texts: at most {MAX_TEXTS:,} in one request",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    check_texts(found)
    return list(found.values)


def write_predictions(predictions: Sequence[Prediction], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type, one entry, line or row for each prediction, order kept.

    Args:
        predictions: In the order of the texts.
        accept: The Accept header, which may list types with q-values; missing or ``*/*`` means JSON.

    Raises:
        RequestError: 406, none of the accepted types can be written.
    """
    return write_answers(predictions, accept, row=lambda answer: f"{answer['label']},{answer['score']}")


def check_texts(found: Values, most: int = MAX_TEXT_CHARACTERS) -> None:
    """Refuse values that are no texts, naming the first of them and how many there are.

    Args:
        found: What the request holds.
        most: Characters of one text at most.

    Raises:
        RequestError: 413 if all that is wrong is a text's length, else 400.
    """
    findings = list(_findings(found.values, most))
    if not findings:
        return
    only_long = all(status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE for _, _, status in findings)
    shown = [f"{found.place(index)} {problem}" for index, problem, _ in findings[:_FINDINGS_SHOWN]]
    if len(findings) > _FINDINGS_SHOWN:
        shown.append(f"and {len(findings) - _FINDINGS_SHOWN:,} more")
    rule = f"each text is a string of 1 to {most:,} characters, not only white space"
    refuse(
        f"{'; '.join(shown)}: {rule}",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE if only_long else HTTPStatus.BAD_REQUEST,
    )


def _texts_of(document: Any, where: str) -> tuple[str, list[Any], bool]:
    """Return the key that holds an object's texts, the texts, and whether they were a list."""
    if not isinstance(document, dict):
        refuse(f'{where}the JSON is {kind_of(document)}: send an object such as {{"inputs": ["a text"]}}')
    present = [key for key in _KEYS if key in document]
    if len(present) != 1:
        problem = "has both" if present else "has neither"
        refuse(f'{where}the object {problem} "inputs" and "text": give one, a string or a list of strings')
    value = document[present[0]]
    return (present[0], value, True) if isinstance(value, list) else (present[0], [value], False)


def _read_json(body: str) -> Values:
    key, values, listed = _texts_of(parse_json(body), "")
    return Values(values, (lambda index: f"{key}[{index}]") if listed else (lambda _: key))


def _read_json_lines(body: str) -> Values:
    values: list[Any] = []
    places: list[tuple[int, int, str, bool]] = []  # index of the line's first text, line, key, was it a list
    for number, where, document in json_lines(body):
        key, found, listed = _texts_of(document, where)
        if not found:
            refuse(f"{where}{key} is an empty list")
        places.append((len(values), number, key, listed))
        values.extend(found)

    def place(index: int) -> str:
        first, number, key, listed = places[bisect_right(places, index, key=lambda entry: entry[0]) - 1]
        return f"line {number}, {key}[{index - first}]" if listed else f"line {number}, {key}"

    return Values(values, place)


def _read_csv(body: str) -> Values:
    texts: list[str] = []
    for number, row in enumerate(csv_rows(body, MAX_TEXT_CHARACTERS), 1):
        if len(row) > 1:
            refuse(f'row {number} has {len(row)} fields: give one text per row, "quoted" if it holds a comma')
        texts.extend(row or [""])
    return Values(texts, lambda index: f"row {index + 1}")


def _read_plain(body: str) -> Values:
    return Values([line.removesuffix("\r") for line in lines(body)], lambda index: f"line {index + 1}")


_READERS: dict[str, Callable[[str], Values]] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    CSV: _read_csv,
    TEXT: _read_plain,
}


def _findings(values: Sequence[Any], most: int) -> Iterator[tuple[int, str, HTTPStatus]]:
    for index, value in enumerate(values):
        if not isinstance(value, str):
            yield index, f"is {kind_of(value)}", HTTPStatus.BAD_REQUEST
        elif not value or value.isspace():
            yield index, "is empty", HTTPStatus.BAD_REQUEST
        elif len(value) > most:
            yield index, f"has {len(value):,} characters", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        elif not value.isascii() and _broken(value):
            yield index, "holds half of a surrogate pair", HTTPStatus.BAD_REQUEST


def _broken(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
