"""Sentiment of Korean reviews by a small neural network: requests and answers as the sentiment model's.

Request and answer formats: `formats`. For a request ``{"inputs": ["눈물이 앞을 가려요", "시간이 아까워요"]}``
the answer is ``[{"label": "positive", "score": 0.98}, {"label": "negative", "score": 0.99}]``: one entry per
text, in order, with the probability of the label given. Bad requests are refused with a 4xx status.
"""

from __future__ import annotations

from pathlib import Path

from formats import Prediction, read_texts, write_predictions
from network import Network
from polarity import predictions


def model_fn(model_dir: str) -> Network:
    """Load the model from the root of the unpacked model archive.

    Raises:
        FileNotFoundError: There is no model file.
        ValueError: The model file does not belong to this code.
    """
    return Network.load(Path(model_dir))


def input_fn(input_data: str | bytes, content_type: str | None) -> list[str]:
    """Read the texts of a request; see `formats.read_texts`."""
    return read_texts(input_data, content_type)


def predict_fn(texts: list[str], model: Network) -> list[Prediction]:
    """Return label and score of each text, in order."""
    return predictions(texts, model)


def output_fn(answers: list[Prediction], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type; see `formats.write_predictions`."""
    return write_predictions(answers, accept)
