"""Normalising must not cost the classifier accuracy, and must give it what emoji say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

MODEL = "normalization"


@pytest.fixture(scope="module")
def sentiment(load_code: Callable[[str], SimpleNamespace]) -> SimpleNamespace:
    """The classify stage's code."""
    return load_code("sentiment")


@pytest.fixture(scope="module")
def classifier(sentiment: SimpleNamespace) -> object:
    """The classify stage's model."""
    return sentiment.inference.model_fn(str(sentiment.folder))


def test_it_costs_no_accuracy_on_the_official_test_split(
    code: SimpleNamespace, sentiment: SimpleNamespace, classifier: object, nsmc: Path
) -> None:
    # GIVEN the official split, raw and normalised
    corpus = sentiment.train.read_corpus(nsmc, "ratings_test.txt")
    plain = [code.normalizer.normalized(text, 10_000) for text in corpus.texts]

    # WHEN both are classified THEN the difference is below 0.05 percentage points
    wanted = corpus.labels == 1
    before = np.mean((classifier.log_odds(corpus.texts) >= 0) == wanted)
    after = np.mean((classifier.log_odds(plain) >= 0) == wanted)
    assert after >= before - 0.0005


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("배우들 연기 👎👎", "negative"),
        ("그냥 봤어요 😡", "negative"),
        ("영화 👍🏽", "positive"),
        ("영화 😍", "positive"),
    ],
)
def test_the_classifier_understands_the_tokens(
    code: SimpleNamespace, sentiment: SimpleNamespace, classifier: object, text: str, label: str
) -> None:
    # GIVEN a text whose only opinion is an emoji WHEN it is normalised and classified THEN the emoji decides
    plain = code.normalizer.normalized(text, 10_000)
    assert sentiment.inference.predict_fn([plain], classifier)[0]["label"] == label
