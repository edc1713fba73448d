"""Reads out of an answer what the project's models say, whichever of its media types it came in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from client.payloads import media_type


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one text.

    Args:
        label: For example ``positive``.
        score: Probability of that label, 0 to 1.
        korean: The same in Korean words; empty if the answer has none.
        english: The same in English words; empty if the answer has none.
    """

    label: str
    score: float
    korean: str = ""
    english: str = ""


@dataclass(frozen=True)
class Similarity:
    """What a similarity model says about two sentences.

    Args:
        score: 0 (nothing in common) to 5 (the same meaning).
    """

    score: float


@dataclass(frozen=True)
class Summary:
    """What a summarisation model says about one text.

    Args:
        sentences: The sentences that it chose.
        positions: Where they stand in the text, from 0.
    """

    sentences: tuple[str, ...]
    positions: tuple[int, ...]


Answers = Sequence[Prediction | Similarity | Summary]


def read_answers(body: bytes, content_type: str) -> Answers | None:
    """What the models say, in order.

    Args:
        body: The answer's bytes.
        content_type: Its media type: JSON, JSON lines, or CSV for labels and scores.

    Returns:
        None if this is no list of predictions, similarities or summaries: other models answer otherwise.
    """
    try:
        content = body.decode()
        if media_type(content_type) == "text/csv":
            cells = [row for row in csv.reader(io.StringIO(content, newline="")) if row]
            return [Prediction(label, float(score)) for label, score in cells] or None
        rows = _rows(content, media_type(content_type))
        if not rows:
            return None
        if "summary" in rows[0]:
            return [
                Summary(tuple(map(str, row["summary"])), tuple(map(int, row.get("positions", ()))))
                for row in rows
            ]
        if "label" not in rows[0]:
            return [Similarity(float(row["score"])) for row in rows]
        return [
            Prediction(str(row["label"]), float(row["score"]), str(row.get("ko", "")), str(row.get("en", "")))
            for row in rows
        ]
    except (ValueError, TypeError, KeyError, AttributeError, csv.Error, RecursionError):
        return None


def read_predictions(body: bytes, content_type: str) -> list[Prediction] | None:
    """The labels and scores in an answer, in order; None if it is none of those."""
    answers = read_answers(body, content_type)
    if answers is None:
        return None
    predictions = [one for one in answers if isinstance(one, Prediction)]
    return predictions if len(predictions) == len(answers) else None


def _rows(content: str, kind: str) -> list[dict[str, Any]] | None:
    """The objects of a JSON array or of JSON lines."""
    if kind == "application/json":
        rows = json.loads(content)
        return rows if isinstance(rows, list) else None
    if kind in ("application/jsonlines", "application/x-jsonlines"):
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    return None
