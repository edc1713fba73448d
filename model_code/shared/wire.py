"""What every text model does with headers and bodies: media types, decoding, strict JSON, answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from client_errors import RequestError, refuse

JSON, JSON_LINES, CSV, TEXT = "application/json", "application/jsonlines", "text/csv", "text/plain"


def content_kind(content_type: str | None, kinds: Sequence[str]) -> str:
    """Return a request's media type.

    Args:
        content_type: The Content-Type header, parameters and all; missing means JSON, as in AWS's containers.
        kinds: The types that the model reads.

    Raises:
        RequestError: 415, another type or a charset that is not UTF-8.
    """
    kind, parameters = _media_type(content_type or JSON)
    unsupported = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if kind not in kinds:
        refuse(f"content type {_shown(kind)} is not supported: send {', '.join(kinds)}", unsupported)
    charset = parameters.get("charset", "utf-8")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        refuse(f"charset {_shown(charset)} is not supported: send UTF-8", unsupported)
    return kind


def answer_kind(accept: str | None, kinds: Sequence[str]) -> str:
    """Choose the answer's media type: highest q-value first, then the order in the header.

    Args:
        accept: The Accept header, which may list types with q-values; missing means JSON.
        kinds: The types that the model writes, the preferred one first.

    Raises:
        RequestError: 406, none of the accepted types can be written.
    """
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
        for known in kinds:
            if kind in {known, "*/*", f"{known.partition('/')[0]}/*"}:
                return known
    raise RequestError(
        HTTPStatus.NOT_ACCEPTABLE,
        f"no answer can be written as {_shown(accept or '')}: accept {', '.join(kinds)}",
    )


def write_answers(
    answers: Sequence[Any], accept: str | None, row: Callable[[Any], str] | None = None
) -> tuple[str, str]:
    """Return the body and content type of the answers: one entry, line or row for each, order kept.

    Args:
        answers: What JSON can hold, one per input.
        accept: The Accept header, see `answer_kind`.
        row: Writes an answer as a line of CSV, without its end; None when there is no such form.

    Raises:
        RequestError: 406, none of the accepted types can be written.
    """
    kind = answer_kind(accept, (JSON, JSON_LINES) if row is None else (JSON, JSON_LINES, CSV))
    if kind == CSV and row is not None:
        return "".join(f"{row(answer)}\n" for answer in answers), CSV
    if kind == JSON_LINES:
        return "".join(f"{json.dumps(answer, ensure_ascii=False)}\n" for answer in answers), JSON_LINES
    return json.dumps(list(answers), ensure_ascii=False), JSON


def decoded(body: str | bytes | bytearray) -> str:
    """Return a body as text, without a byte order mark.

    Raises:
        RequestError: 400, it is not UTF-8.
    """
    if isinstance(body, str):
        text = body
    else:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            refuse(f"the body is not valid UTF-8 at byte {error.start}: {error.reason}")
    return text.removeprefix("\ufeff")


def parse_json(text: str, where: str = "") -> Any:
    """Parse JSON strictly: no NaN or Infinity, no depth or number that Python gives up on.

    Args:
        text: The document.
        where: Begins the refusal, such as ``"line 3: "``; empty for a whole body.

    Raises:
        RequestError: 400, with the place.
    """

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if not where else f"column {error.colno}"
        refuse(f"{where}the JSON is malformed at {place}: {error.msg}")
    except RecursionError:
        refuse(f"{where}the JSON is nested too deeply")
    except ValueError as error:
        refuse(f"{where}the JSON is malformed: {str(error).partition(';')[0]}")


def json_lines(body: str) -> Iterator[tuple[int, str, Any]]:
    """Yield number, place (``"line 3: "``) and document of each line of a JSON lines body.

    Raises:
        RequestError: 400, a line is empty or malformed.
    """
    for number, line in enumerate(lines(body), 1):
        where = f"line {number}: "
        if not line.strip():
            refuse(f"{where}the line is empty")
        yield number, where, parse_json(line, where)


def csv_rows(body: str, longest: int) -> Iterator[list[str]]:
    """Yield the rows of a CSV body, quoted as in RFC 4180.

    Args:
        body: The whole body.
        longest: Characters that a field may have, for the words of the refusal.

    Raises:
        RequestError: 400, malformed; 413, a field that the parser gives up on.
    """
    number = 0
    try:
        for row in csv.reader(io.StringIO(body, newline=""), strict=True):
            number += 1
            yield row
    except csv.Error as error:
        place = f"row {number + 1}"
        if "field larger" in str(error):
            refuse(
                f"{place} is too long: at most {longest:,} characters", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        refuse(f"{place}: the CSV is malformed: {error}")


def lines(body: str) -> list[str]:
    """Split at line feeds only, as the sender did; the last line may or may not end with one."""
    return body.removesuffix("\n").split("\n") if body else []


def kind_of(value: Any) -> str:
    """Name a JSON value's type as JSON does."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _media_type(header: str) -> tuple[str, dict[str, str]]:
    kind, *parameters = (part.strip() for part in header.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters if parameter)
    return kind.lower(), {name.strip().lower(): value.strip(' "').lower() for name, _, value in pairs}


def _shown(value: str) -> str:
    """Quote what a client sent, shortened, on one line."""
    return repr(value if len(value) <= 80 else f"{value[:80]}...")
