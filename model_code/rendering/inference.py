"""Last stage of the inference pipeline: the classifier's labels and scores in, readable answers out.

In: what the sentiment model answers, ``[{"label": "positive", "score": 0.88}, ...]``; see `predictions`.
Out: ``[{"label": "positive", "score": 0.88, "ko": "긍정적입니다 (88 %)", "en": "Positive (88 %)"}, ...]`` as
``application/json`` (the default) or ``application/jsonlines``, or a line per text as ``text/plain``.
"""

from __future__ import annotations

from collections.abc import Callable

from formats import Prediction
from predictions import read_predictions
from renderer import Rendered, rendered
from wire import JSON, JSON_LINES, TEXT, answer_kind, write_answers


def model_fn(model_dir: str) -> Callable[[str, float], Rendered]:
    """Return the function that puts one prediction into words: nothing is learned, the code is all."""
    return rendered


def input_fn(input_data: str | bytes, content_type: str | None) -> list[Prediction]:
    """Read what the stage before answered; see `predictions.read_predictions`."""
    return read_predictions(input_data, content_type)


def predict_fn(predictions: list[Prediction], model: Callable[[str, float], Rendered]) -> list[Rendered]:
    """Return the answer for each prediction, in order."""
    return [model(prediction["label"], prediction["score"]) for prediction in predictions]


def output_fn(answers: list[Rendered], accept: str | None) -> tuple[str, str]:
    """Return the answer's body and content type, one entry or line for each prediction.

    Raises:
        RequestError: 406, none of the accepted types can be written.
    """
    if answer_kind(accept, (JSON, JSON_LINES, TEXT)) == TEXT:
        return "".join(f"{answer['ko']} / {answer['en']}\n" for answer in answers), f"{TEXT}; charset=utf-8"
    return write_answers(answers, accept)
