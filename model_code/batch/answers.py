"""What the model said to a row, as the transform job wrote it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rows import BadRow

OUTPUT = "SageMakerOutput"
"""Where a transform job puts the answer when it joins it to its input."""

MAX_ANSWER_BYTES = 300 * 1024
"""Bytes of an answer at most: with its id and place it must fit DynamoDB's 400 KB (quotas, item size)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answered row.

    Args:
        record_id: What identifies it.
        values: ``label`` and ``score``; or ``answer``, the model's own words as JSON.
    """

    record_id: str
    values: dict[str, str | float]


def read_answer(line: bytes) -> Answer:
    """An answer from a line of the job's output.

    Raises:
        BadRow: It is none.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"the transform job's output is no JSON ({error})") from None
    record_id = document.get("id") if isinstance(document, dict) else None
    if not isinstance(record_id, str):
        raise BadRow("the transform job's output has no id")
    output = document.get(OUTPUT)
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    if output is None:
        raise BadRow("the model gave no answer", record_id)
    if isinstance(output, dict) and "error" in output and "label" not in output:
        raise BadRow(f"the model answered with an error: {_shown(output['error'])}", record_id)
    values = _values(output)
    if problem := _unfit(values):
        raise BadRow(f"the model's answer {problem}", record_id)
    return Answer(record_id, values)


def _values(output: Any) -> dict[str, str | float]:
    if isinstance(output, dict) and set(output) == {"label", "score"}:
        label, score = output["label"], output["score"]
        if isinstance(label, str) and _is_number(score):
            return {"label": label, "score": float(score)}
    return {"answer": json.dumps(output, ensure_ascii=False, sort_keys=True, separators=(",", ":"))}


def _unfit(values: dict[str, str | float]) -> str:
    """Why no sink can keep an answer; empty if it can."""
    try:
        size = len(json.dumps(values, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return "has half of a surrogate pair in it"
    if "\0" in str(values.get("label", "")):
        return "has a NUL character in its label"  # PostgreSQL knows no such text
    if size > MAX_ANSWER_BYTES:
        return f"has {size:,} bytes, and may have {MAX_ANSWER_BYTES:,} in the sink"
    return ""


def _is_number(value: Any) -> bool:
    """Whether it is one that DynamoDB knows (Developer Guide, data types: 1E-130 to 9.99E+125)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == 0 or 1e-130 <= abs(value) < 1e125


def _shown(value: Any) -> str:
    return str(value)[:200]
