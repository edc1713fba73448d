"""What the classify stage said: read strictly, because whatever is wrong here is no fault of the caller."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn, TypeGuard

from client_errors import RequestError, refuse
from formats import Prediction
from renderer import LABELS
from wire import CSV, JSON, JSON_LINES, content_kind, csv_rows, decoded, json_lines, kind_of, parse_json

_FINDINGS_SHOWN = 5
_LONGEST_SHOWN = 80


def read_predictions(body: str | bytes | bytearray, content_type: str | None) -> list[Prediction]:
    """Return the predictions of the stage before, in their order, at least one.

    Args:
        body: All that the sentiment model can answer: a JSON list, JSON lines, CSV rows of label and score.
        content_type: The Content-Type header; missing means JSON.

    Raises:
        RequestError: 500, it is something else: a caller cannot mend what passes between two stages, and
            the alarm on server errors must see it.
    """
    try:
        kind = content_kind(content_type, (JSON, JSON_LINES, CSV))
        found = _values(decoded(body), kind)
    except RequestError as error:
        _blame(f"{error.message}; it began with {_shown(body)}")
    findings = [f"[{index}] {problem}" for index, value in enumerate(found) if (problem := _problem(value))]
    if len(findings) > _FINDINGS_SHOWN:
        findings[_FINDINGS_SHOWN:] = [f"and {len(findings) - _FINDINGS_SHOWN:,} more"]
    if findings:
        _blame("; ".join(findings))
    if not found:
        _blame("it holds no prediction")
    return [{"label": value["label"], "score": value["score"]} for value in found]


def _values(body: str, kind: str) -> list[Any]:
    if kind == JSON_LINES:
        return [document for _, _, document in json_lines(body)]
    if kind == CSV:
        return [_of_row(row) for row in csv_rows(body, _LONGEST_SHOWN)]
    document = parse_json(body)
    if not isinstance(document, list):
        refuse(f"the JSON is {kind_of(document)}, not a list")
    return document


def _of_row(row: list[str]) -> Any:
    """Make an object of a CSV row; one that has another shape stays as it is, to be named as such."""
    try:
        label, score = row
        return {"label": label, "score": float(score)}
    except ValueError:
        return row


def _problem(value: Any) -> str:
    """Say what is wrong with a prediction; empty if nothing is."""
    if not isinstance(value, dict):
        return f"is {kind_of(value)}"
    missing = [key for key in ("label", "score") if key not in value]
    if missing:
        return f"has no {' and no '.join(missing)}"
    label, score = value["label"], value["score"]
    if not isinstance(label, str) or label not in LABELS:
        return f"has the label {_shown(label)}"
    return "" if _is_probability(score) else f"has the score {_shown(score)}"


def _is_probability(score: Any) -> TypeGuard[float]:
    return isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1


def _shown(value: Any) -> str:
    """Quote what came, shortened, on one line."""
    if isinstance(value, bytes | bytearray):
        value = bytes(value[: 4 * _LONGEST_SHOWN]).decode("utf-8", "replace")
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _blame(problem: str) -> NoReturn:
    labels = " or ".join(f'"{label}"' for label in LABELS)
    refuse(
        f"the stage before did not answer with predictions: {problem}: "
        f'each must be an object with "label" ({labels}) and "score" (0 to 1)',
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
