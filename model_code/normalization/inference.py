"""First stage of the inference pipeline: raw texts in, texts that the classifier knows how to read out.

Request formats: `formats`, those of the sentiment model. The answer is ``{"inputs": ["...", ...]}`` as
``application/json`` for the next stage, one text per text, in order. Bad requests are refused with a 4xx
status.

The original texts do not travel on: the classifier answers with labels and scores alone, and a caller knows
by the order which text an answer belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from formats import MAX_TEXT_CHARACTERS, read_texts
from normalizer import normalized
from wire import JSON


def model_fn(model_dir: str) -> Callable[[str], str]:
    """Return the function that normalises one text: nothing is learned, the code is all."""
    return lambda text: normalized(text, MAX_TEXT_CHARACTERS)


def input_fn(input_data: str | bytes, content_type: str | None) -> list[str]:
    """Read the texts of a request; see `formats.read_texts`."""
    return read_texts(input_data, content_type)


def predict_fn(texts: list[str], model: Callable[[str], str]) -> list[str]:
    """Return the texts normalised, in order."""
    return [model(text) for text in texts]


def output_fn(texts: list[str], accept: str | None) -> tuple[str, str]:
    """Return the next stage's request and its content type, whatever the caller accepts."""
    return json.dumps({"inputs": texts}, ensure_ascii=False), JSON
