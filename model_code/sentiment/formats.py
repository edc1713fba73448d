"""Requests to texts, predictions to answers, in the formats that the model speaks.

In: ``application/json`` (the default), ``application/jsonlines``, ``text/csv``, ``text/plain``.
Out: ``application/json`` (the default), ``application/jsonlines``, ``text/csv``.
"""

from __future__ import annotations

import csv
import io
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, TypedDict

from client_errors import RequestError

JSON, JSON_LINES, CSV, TEXT = "application/json", "application/jsonlines", "text/csv", "text/plain"
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
class _Values:
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
    reader = _reader(content_type)
    found = reader(_decoded(body))
    if not found.values:
        _refuse(f"the request holds no text: give 1 to {MAX_TEXTS:,} texts")
    if len(found.values) > MAX_TEXTS:
        _refuse(
            f"{len(found.values):,} texts: at most {MAX_TEXTS:,} in one request",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    _check(found)
    return list(found.values)


def write_predictions(predictions: Sequence[Prediction], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type, one entry, line or row for each prediction, order kept.

    Args:
        predictions: In the order of the texts.
        accept: The Accept header, which may list types with q-values; missing or ``*/*`` means JSON.

    Raises:
        RequestError: 406, none of the accepted types can be written.
    """
    kind = _answer_type(accept)
    if kind == CSV:
        return "".join(f"{p['label']},{p['score']}\n" for p in predictions), CSV
    if kind == JSON_LINES:
        return "".join(f"{json.dumps(p)}\n" for p in predictions), JSON_LINES
    return json.dumps(list(predictions)), JSON


def _refuse(message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> NoReturn:
    raise RequestError(status, message) from None


def _media_type(header: str) -> tuple[str, dict[str, str]]:
    kind, *parameters = (part.strip() for part in header.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters if parameter)
    return kind.lower(), {name.strip().lower(): value.strip(' "').lower() for name, _, value in pairs}


def _shown(value: str) -> str:
    """Quote what a client sent, shortened, on one line."""
    return repr(value if len(value) <= 80 else f"{value[:80]}...")


def _reader(content_type: str | None) -> Callable[[str], _Values]:
    kind, parameters = _media_type(content_type or JSON)
    reader = _READERS.get(kind)
    unsupported = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if reader is None:
        _refuse(f"content type {_shown(kind)} is not supported: send {', '.join(_READERS)}", unsupported)
    charset = parameters.get("charset", "utf-8")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        _refuse(f"charset {_shown(charset)} is not supported: send UTF-8", unsupported)
    return reader


def _answer_type(accept: str | None) -> str:
    """Choose the answer's type: highest q-value first, then the order in the header."""
    wanted = []
    for header in (accept or JSON).split(","):
        kind, parameters = _media_type(header)
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            wanted.append((quality, kind))
    for _, kind in sorted(wanted, key=lambda entry: -entry[0]):
        for known in (JSON, JSON_LINES, CSV):
            if kind in {known, "*/*", f"{known.partition('/')[0]}/*"}:
                return known
    allowed = f"{JSON}, {JSON_LINES}, {CSV}"
    _refuse(
        f"no answer can be written as {_shown(accept or '')}: accept {allowed}", HTTPStatus.NOT_ACCEPTABLE
    )


def _decoded(body: str | bytes | bytearray) -> str:
    if isinstance(body, str):
        text = body
    else:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            _refuse(f"the body is not valid UTF-8 at byte {error.start}: {error.reason}")
    return text.removeprefix("\ufeff")


def _parsed(text: str, where: str) -> Any:
    """Parse JSON strictly: no NaN or Infinity, no depth or number that Python gives up on."""

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if not where else f"column {error.colno}"
        _refuse(f"{where}the JSON is malformed at {place}: {error.msg}")
    except RecursionError:
        _refuse(f"{where}the JSON is nested too deeply")
    except ValueError as error:
        _refuse(f"{where}the JSON is malformed: {str(error).partition(';')[0]}")


def _texts_of(document: Any, where: str) -> tuple[str, list[Any], bool]:
    """Return the key that holds an object's texts, the texts, and whether they were a list."""
    if not isinstance(document, dict):
        _refuse(f'{where}the JSON is {_kind(document)}: send an object such as {{"inputs": ["a text"]}}')
    present = [key for key in _KEYS if key in document]
    if len(present) != 1:
        problem = "has both" if present else "has neither"
        _refuse(f'{where}the object {problem} "inputs" and "text": give one, a string or a list of strings')
    value = document[present[0]]
    return (present[0], value, True) if isinstance(value, list) else (present[0], [value], False)


def _read_json(body: str) -> _Values:
    key, values, listed = _texts_of(_parsed(body, ""), "")
    return _Values(values, (lambda index: f"{key}[{index}]") if listed else (lambda _: key))


def _read_json_lines(body: str) -> _Values:
    values: list[Any] = []
    places: list[tuple[int, int, str, bool]] = []  # index of the line's first text, line, key, was it a list
    for number, line in enumerate(_lines(body), 1):
        where = f"line {number}: "
        if not line.strip():
            _refuse(f"{where}the line is empty")
        key, found, listed = _texts_of(_parsed(line, where), where)
        if not found:
            _refuse(f"{where}{key} is an empty list")
        places.append((len(values), number, key, listed))
        values.extend(found)

    def place(index: int) -> str:
        first, number, key, listed = places[bisect_right(places, index, key=lambda entry: entry[0]) - 1]
        return f"line {number}, {key}[{index - first}]" if listed else f"line {number}, {key}"

    return _Values(values, place)


def _read_csv(body: str) -> _Values:
    texts: list[str] = []
    rows = csv.reader(io.StringIO(body, newline=""), strict=True)
    try:
        for number, row in enumerate(rows, 1):
            if len(row) > 1:
                _refuse(
                    f'row {number} has {len(row)} fields: give one text per row, "quoted" if it holds a comma'
                )
            texts.extend(row or [""])
    except csv.Error as error:
        if "field larger" in str(error):
            _refuse(
                f"row {len(texts) + 1} is too long: at most {MAX_TEXT_CHARACTERS:,} characters",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        _refuse(f"row {len(texts) + 1}: the CSV is malformed: {error}")
    return _Values(texts, lambda index: f"row {index + 1}")


def _read_plain(body: str) -> _Values:
    return _Values([line.removesuffix("\r") for line in _lines(body)], lambda index: f"line {index + 1}")


def _lines(body: str) -> list[str]:
    """Split at line feeds only, as the sender did; the last line may or may not end with one."""
    return body.removesuffix("\n").split("\n") if body else []


_READERS: dict[str, Callable[[str], _Values]] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    CSV: _read_csv,
    TEXT: _read_plain,
}


def _check(found: _Values) -> None:
    """Refuse values that are no texts, naming the first of them and how many there are."""
    findings = list(_findings(found.values))
    if not findings:
        return
    only_long = all(status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE for _, _, status in findings)
    shown = [f"{found.place(index)} {problem}" for index, problem, _ in findings[:_FINDINGS_SHOWN]]
    if len(findings) > _FINDINGS_SHOWN:
        shown.append(f"and {len(findings) - _FINDINGS_SHOWN:,} more")
    rule = f"each text is a string of 1 to {MAX_TEXT_CHARACTERS:,} characters, not only white space"
    _refuse(
        f"{'; '.join(shown)}: {rule}",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE if only_long else HTTPStatus.BAD_REQUEST,
    )


def _findings(values: Sequence[Any]) -> Iterator[tuple[int, str, HTTPStatus]]:
    for index, value in enumerate(values):
        if not isinstance(value, str):
            yield index, f"is {_kind(value)}", HTTPStatus.BAD_REQUEST
        elif not value or value.isspace():
            yield index, "is empty", HTTPStatus.BAD_REQUEST
        elif len(value) > MAX_TEXT_CHARACTERS:
            yield index, f"has {len(value):,} characters", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        elif not value.isascii() and _broken(value):
            yield index, "holds half of a surrogate pair", HTTPStatus.BAD_REQUEST


def _broken(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _kind(value: Any) -> str:
    """Name a JSON value's type as JSON does."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")
