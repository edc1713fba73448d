"""Summaries of Korean texts: the four handler functions that AWS's model servers call.

For a request ``{"text": "...", "sentences": 2}`` the answer is ``[{"summary": ["...", "..."], "positions":
[0, 3]}]``: the most telling sentences as they stand in the text, in reading order, and their places, counted
from 0. One entry per text. Request formats: `text_requests`. Bad requests are refused with a 4xx status.

The model is the text itself (`text_rank`): there is nothing to load.
"""

from __future__ import annotations

from typing import TypedDict

from sentences import split
from text_rank import chosen
from text_requests import SummaryRequest, read_requests
from wire import write_answers


class Summary(TypedDict):
    """The answer for one text: sentences, and their places in it."""

    summary: list[str]
    positions: list[int]


def model_fn(model_dir: str) -> None:
    """Load nothing: there are no weights."""


def input_fn(input_data: str | bytes, content_type: str | None) -> list[SummaryRequest]:
    """Read the texts of a request; see `text_requests.read_requests`."""
    return read_requests(input_data, content_type)


def predict_fn(requests: list[SummaryRequest], model: None) -> list[Summary]:
    """Return a summary of each text, in order."""
    return [_summary(request) for request in requests]


def output_fn(answers: list[Summary], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type: JSON (default) or JSON lines."""
    return write_answers(answers, accept)


def _summary(request: SummaryRequest) -> Summary:
    sentences = split(request.text)
    positions = chosen(sentences, request.sentences)
    return {"summary": [sentences[position] for position in positions], "positions": positions}
