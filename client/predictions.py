"""Reads labels and scores out of an answer, whichever of its media types it came in."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from client.payloads import media_type


@dataclass(frozen=True)
class Prediction:
    """What the model says about one text.

    Args:
        label: For example ``positive``.
        score: Probability of that label, 0 to 1.
    """

    label: str
    score: float


def read_predictions(body: bytes, content_type: str) -> list[Prediction] | None:
    """The predictions in an answer, in order.

    Args:
        body: The answer's bytes.
        content_type: Its media type: JSON, JSON lines or CSV.

    Returns:
        None if this is not a list of labels and scores: another model answers in another form.
    """
    kind = media_type(content_type)
    try:
        content = body.decode()
        if kind == "application/json":
            rows = json.loads(content)
            return [_of(row) for row in rows] if isinstance(rows, list) and rows else None
        if kind in ("application/jsonlines", "application/x-jsonlines"):
            return [_of(json.loads(line)) for line in content.splitlines() if line.strip()] or None
        if kind == "text/csv":
            cells = [row for row in csv.reader(io.StringIO(content, newline="")) if row]
            return [Prediction(label, float(score)) for label, score in cells] or None
    except (ValueError, TypeError, KeyError, csv.Error, RecursionError):
        pass
    return None


def _of(row: Any) -> Prediction:
    return Prediction(str(row["label"]), float(row["score"]))
