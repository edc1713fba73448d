"""The larger sentiment model: better than the small one, exact, and alike in requests and answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from math import comb
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MODEL = "sentiment_large"

MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: not text.isspace()
)


@pytest.fixture(scope="module")
def small(load_code: Callable[[str], SimpleNamespace]) -> object:
    """The committed small model."""
    code = load_code("sentiment")
    return code.inference.model_fn(str(code.folder))


@pytest.fixture(scope="module")
def official_test(code: SimpleNamespace, nsmc: Path) -> object:
    return code.reviews.read_corpus(nsmc, "ratings_test.txt")


def test_it_is_under_three_megabytes() -> None:
    assert (MODEL_CODE / MODEL / "model.npz").stat().st_size < 3_000_000


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("불후의 명작입니다. 눈물이 앞을 가려요", "positive"),
        ("저런...5점 만점에 1점 주기도 힘들어요.", "negative"),
        ("배우들 연기가 최고네요", "positive"),
        ("지루해서 보다가 잠들었다", "negative"),
        ("노잼", "negative"),
    ],
)
def test_plain_opinions_come_out_right(inference: ModuleType, model: object, text: str, label: str) -> None:
    assert inference.predict_fn([text], model)[0]["label"] == label


def test_it_is_better_than_the_small_model_on_the_official_test_split(
    model: object, small: object, official_test: object
) -> None:
    # GIVEN the official split, WHEN both models predict it
    wanted = official_test.labels == 1
    mine = (model.log_odds(official_test.texts) >= 0) == wanted
    other = (small.log_odds(official_test.texts) >= 0) == wanted

    # THEN this one is right at least 0.2 percentage points more often
    assert np.mean(mine) >= np.mean(other) + 0.002

    # AND chance does not explain it: McNemar's test, exact
    better, worse = int(np.sum(mine & ~other)), int(np.sum(other & ~mine))
    tail = sum(comb(better + worse, count) for count in range(worse + 1))
    assert better > worse
    assert 2 * tail * 100 < 2 ** (better + worse)


def test_scores_are_calibrated(model: object, code: SimpleNamespace, official_test: object) -> None:
    # GIVEN predictions for the official split, in ten bins of equal size by the label's probability
    positive = code.polarity.probabilities(model.log_odds(official_test.texts))
    score, right = np.maximum(positive, 1 - positive), (positive >= 0.5) == (official_test.labels == 1)
    bins = np.array_split(np.argsort(score), 10)

    # WHEN each bin's mean score is held against its share of right labels THEN they agree
    gaps = [abs(score[rows].mean() - right[rows].mean()) for rows in bins]
    assert np.mean(gaps) < 0.02


@settings(deadline=None)  # the machine's load is not the code's
@given(texts=st.lists(any_text, min_size=1, max_size=12))
def test_a_text_is_answered_alike_alone_and_among_others(model: object, texts: list[str]) -> None:
    # GIVEN any texts, WHEN they are predicted together THEN each is answered as it is alone, to the bit
    together = model.log_odds(texts)
    assert together.tolist() == [model.log_odds([text])[0] for text in texts]
    assert np.isfinite(together).all()


def test_thousands_of_texts_are_answered_in_order(inference: ModuleType, model: object) -> None:
    # GIVEN more texts than are computed at a time, some of them as long as they may be
    texts = [
        ("정말 재미있다" if number % 3 else "최악이다") + " 영화" * (number % 7) for number in range(3000)
    ]
    texts[1500] = "돈이 아깝다 " * 1400
    texts[1501] = "굿" * 10_000
    # WHEN they are predicted THEN each has its own answer
    answers = inference.predict_fn(texts, model)
    for number in (0, 1, 1499, 1500, 1501, 2999):
        assert answers[number] == inference.predict_fn([texts[number]], model)[0]


def test_no_sum_can_leave_the_range_in_which_it_is_exact(code: SimpleNamespace, model: object) -> None:
    # GIVEN the largest values that a position and a word can have
    most_of_a_position = code.features.COLUMNS * 127
    for name, convolution in model.convolutions.items():
        # WHEN all products of a window have one sign THEN their sum is still a whole number in float32
        largest = most_of_a_position if name == "characters" else convolution.limit()
        assert largest * 127 * len(convolution.weights) < 2**24
        assert convolution.weights.dtype == np.int8


def test_requests_and_answers_are_those_of_the_small_model(
    inference: ModuleType, model: object, load_code: Callable[[str], SimpleNamespace], small: object
) -> None:
    # GIVEN a request in each format WHEN both models get it THEN they read it and answer it alike
    other = load_code("sentiment").inference
    for body, kind, accept in [
        ('{"inputs": ["최고", "최악"]}', "application/json", None),
        ('{"text": "최고"}\n{"text": ["최악"]}', "application/jsonlines", "application/jsonlines"),
        ("최고\n최악\n", "text/csv", "text/csv"),
        ("최고\n최악", "text/plain", "application/json"),
    ]:
        assert inference.input_fn(body, kind) == other.input_fn(body, kind) == ["최고", "최악"]
        mine = inference.output_fn(inference.predict_fn(["최고", "최악"], model), accept)
        theirs = other.output_fn(other.predict_fn(["최고", "최악"], small), accept)
        assert mine[1] == theirs[1]
        assert mine[0].count("positive") == theirs[0].count("positive") == 1
        if mine[1] == "application/json":
            assert [set(entry) for entry in json.loads(mine[0])] == [{"label", "score"}] * 2


def test_a_missing_foreign_or_damaged_model_is_named(
    code: SimpleNamespace, model: object, tmp_path: Path
) -> None:
    # GIVEN a folder without a model THEN loading says what is missing
    with pytest.raises(FileNotFoundError, match=r"model\.npz is missing"):
        code.inference.model_fn(str(tmp_path))

    # GIVEN a saved model WHEN it is loaded THEN it is the same
    model.save(tmp_path)
    assert code.inference.model_fn(str(tmp_path)).log_odds(["굿"]) == model.log_odds(["굿"])
    with np.load(tmp_path / "model.npz") as stored:
        arrays = dict(stored)

    # GIVEN a model of other features, of another size, or with filters that do not fit THEN loading says so
    for change, said in [
        ({"features": "words"}, "was trained for features words"),
        ({"table": np.zeros((3, 2), dtype=np.int8)}, r"the table is int8\(3, 2\)"),
        ({"words.weights": np.zeros((7, 2), dtype=np.int8)}, "the filters over words see 7 numbers"),
    ]:
        np.savez(tmp_path / "model.npz", **(arrays | change))
        with pytest.raises(ValueError, match=said):
            code.inference.model_fn(str(tmp_path))


def test_numpy_and_the_standard_library_are_enough() -> None:
    # GIVEN an interpreter that can import nothing else
    folders = [MODEL_CODE / MODEL, MODEL_CODE / "shared"]
    own = {path.stem for folder in folders for path in folder.glob("*.py")}
    program = f"""
import sys
class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {{"numpy"}} | {own!r}:
            raise ImportError(name)
sys.meta_path.insert(0, OnlyNumpy())
sys.path[:0] = {[str(folder) for folder in folders]!r}
import inference, train
model = inference.model_fn({str(folders[0])!r})
texts = inference.input_fn('{{"text": "최고"}}', None)
print(inference.output_fn(inference.predict_fn(texts, model), None)[0])
"""
    # WHEN the model is loaded and asked THEN it answers
    done = subprocess.run(
        [sys.executable, "-B", "-X", "utf8", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert '"label": "positive"' in done.stdout
