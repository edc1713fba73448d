"""Similarity of Korean sentences: the four handler functions that AWS's model servers call.

For a request ``{"pairs": [["이 영화 정말 재미있어요", "이 영화 진짜 재밌네요"]]}`` the answer is
``[{"score": 4.58}]``: one entry per pair, in order, from 0 (nothing in common) to 5 (the same meaning).
Request formats: `pair_requests`. Bad requests are refused with a 4xx status.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from pair_requests import Pair, read_pairs
from scorer import Scorer
from wire import write_answers


class Similarity(TypedDict):
    """The answer for one pair: 0 to 5."""

    score: float


def model_fn(model_dir: str) -> Scorer:
    """Load the model from the root of the unpacked model archive.

    Raises:
        FileNotFoundError: The model file or the thesaurus is missing.
        ValueError: The model file does not belong to this code.
    """
    return Scorer.load(Path(model_dir))


def input_fn(input_data: str | bytes, content_type: str | None) -> list[Pair]:
    """Read the pairs of a request; see `pair_requests.read_pairs`."""
    return read_pairs(input_data, content_type)


def predict_fn(pairs: list[Pair], model: Scorer) -> list[Similarity]:
    """Return the score of each pair, in order."""
    return [{"score": round(model.score(one, other), 2)} for one, other in pairs]


def output_fn(answers: list[Similarity], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type: JSON (default), JSON lines or CSV."""
    return write_answers(answers, accept, row=lambda answer: str(answer["score"]))
