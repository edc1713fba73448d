"""The committed model: small, accurate, calibrated, and made by the committed script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

MODEL = "sentiment"

SENTIMENT = Path(__file__).resolve().parents[2] / "model_code" / "sentiment"
SHARED = SENTIMENT.parent / "shared"
REVIEWS = ["불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요."]


@pytest.fixture(scope="module")
def official_test(code: SimpleNamespace, nsmc: Path) -> object:
    return code.train.read_corpus(nsmc, "ratings_test.txt")


def test_it_is_small() -> None:
    assert (SENTIMENT / "model.npz").stat().st_size <= 300_000


def test_the_workshops_reviews_come_out_right(inference: ModuleType, model: object) -> None:
    answers = inference.predict_fn(REVIEWS, model)
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    assert all(0.8 < answer["score"] <= 1 for answer in answers)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("정말 재미있어요", "positive"),
        ("돈이 아깝다 최악", "negative"),
        ("배우들 연기가 최고네요", "positive"),
        ("지루해서 보다가 잠들었다", "negative"),
        ("ㅠㅠ 감동이에요", "positive"),
        ("노잼", "negative"),
    ],
)
def test_plain_opinions_come_out_right(inference: ModuleType, model: object, text: str, label: str) -> None:
    assert inference.predict_fn([text], model)[0]["label"] == label


def test_accuracy_on_the_official_test_split(
    code: SimpleNamespace, model: object, official_test: object
) -> None:
    # GIVEN the official split, all but its empty documents, WHEN it is predicted
    assert len(official_test.texts) >= 49_990
    right = code.train.accuracy(model, official_test) * len(official_test.texts)

    # THEN at least 86.5 % of all 50,000 are right, the empty ones counted as wrong
    assert right / 50_000 >= 0.865


def test_scores_are_calibrated(model: object, official_test: object) -> None:
    # GIVEN predictions for the official split, in ten bins of equal size by the label's probability
    positive = model.positive_probability(official_test.texts)
    score, right = np.maximum(positive, 1 - positive), (positive >= 0.5) == (official_test.labels == 1)
    bins = np.array_split(np.argsort(score), 10)

    # WHEN each bin's mean score is held against its share of right labels THEN they agree
    gaps = [abs(score[rows].mean() - right[rows].mean()) for rows in bins]
    assert np.mean(gaps) < 0.02


def test_the_committed_script_makes_the_committed_model(
    code: SimpleNamespace, nsmc: Path, tmp_path: Path
) -> None:
    assert code.train.main(["--train", str(nsmc), "--model-dir", str(tmp_path)]) == 0
    assert (tmp_path / "model.npz").read_bytes() == (SENTIMENT / "model.npz").read_bytes()


def test_a_missing_or_foreign_model_is_named(code: SimpleNamespace, model: object, tmp_path: Path) -> None:
    # GIVEN a folder without a model THEN loading says what is missing
    with pytest.raises(FileNotFoundError, match=r"model\.npz is missing"):
        code.inference.model_fn(str(tmp_path))

    # GIVEN a model of other features THEN loading says so
    np.savez(tmp_path / "model.npz", weights=model.weights[:-1], scale=1.0, bias=0.0, features="words")
    with pytest.raises(ValueError, match="was trained for features words"):
        code.inference.model_fn(str(tmp_path))

    # GIVEN a model with weights of another shape
    np.savez(
        tmp_path / "model.npz", weights=np.zeros(3), scale=1.0, bias=0.0, features=code.features.FEATURE_ID
    )
    with pytest.raises(ValueError, match=r"weights are float64\(3,\)"):
        code.inference.model_fn(str(tmp_path))


def test_numpy_and_the_standard_library_are_enough() -> None:
    # GIVEN an interpreter that can import nothing else
    own = {path.stem for folder in (SENTIMENT, SHARED) for path in folder.glob("*.py")}
    program = f"""
import sys
class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {{"numpy"}} | {own!r}:
            raise ImportError(name)
sys.meta_path.insert(0, OnlyNumpy())
sys.path[:0] = [{str(SENTIMENT)!r}, {str(SHARED)!r}]
import inference, train
model = inference.model_fn({str(SENTIMENT)!r})
texts = inference.input_fn('{{"text": "최고"}}', None)
print(inference.output_fn(inference.predict_fn(texts, model), None)[0])
try:
    inference.input_fn("", None)
except Exception as error:
    print(error.status_code, error.phrase)
"""
    # WHEN the model is loaded, asked, and asked badly THEN it answers
    done = subprocess.run(
        [sys.executable, "-B", "-X", "utf8", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert '"label": "positive"' in done.stdout
    assert "400 Bad Request" in done.stdout
