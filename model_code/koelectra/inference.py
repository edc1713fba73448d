"""Sentiment of Korean reviews by KoELECTRA: requests and answers as the sentiment model's.

Request and answer formats: `formats`. For a request ``{"inputs": ["눈물이 앞을 가려요", "시간이 아까워요"]}``
the answer is ``[{"label": "positive", "score": 0.98}, {"label": "negative", "score": 0.99}]``: one entry per
text, in order, with the probability of the label given. Labels are those of the exported model. Bad requests
are refused with a 4xx status.

The model directory is what `export.py` writes. onnxruntime, tokenizers and numpy are all that this needs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from classifier import Classifier
from formats import Prediction, read_texts, write_predictions
from micro_batches import MicroBatches

#: Milliseconds that a request may wait for others to be computed along with it; unset or 0 means not at all.
WAIT_VARIABLE = "KOELECTRA_BATCH_WAIT_MILLISECONDS"
_LONGEST_WAIT = 1000


class Model(Protocol):
    """What labels texts."""

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return label and score of each text, in order."""
        ...


def model_fn(model_dir: str) -> Model:
    """Load the model from the root of the unpacked model archive, and warm it.

    Raises:
        FileNotFoundError: A file of the model is missing.
        ValueError: A file is damaged or does not belong to this code, or an environment variable is wrong.
    """
    wait = _wait_milliseconds()
    classifier = Classifier.load(Path(model_dir))
    return MicroBatches(classifier.predict, wait / 1000) if wait else classifier


def input_fn(input_data: str | bytes, content_type: str | None) -> list[str]:
    """Read the texts of a request; see `formats.read_texts`."""
    return read_texts(input_data, content_type)


def predict_fn(texts: list[str], model: Model) -> list[Prediction]:
    """Return label and score of each text, in order."""
    return model.predict(texts)


def output_fn(answers: list[Prediction], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type; see `formats.write_predictions`."""
    return write_predictions(answers, accept)


def _wait_milliseconds() -> int:
    given = os.environ.get(WAIT_VARIABLE, "0")
    if not given.isascii() or not given.isdecimal() or int(given) > _LONGEST_WAIT:
        raise ValueError(
            f"the variable {WAIT_VARIABLE} is {given!r}: give whole milliseconds from 0 (each request is "
            f"computed by itself) to {_LONGEST_WAIT}"
        )
    return int(given)
