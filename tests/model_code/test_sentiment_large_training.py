"""How the larger model learns: right features and gradients, the same bytes twice, clear about bad data."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "sentiment_large"

MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
GOOD, BAD = ["재밌", "감동", "최고", "명작", "눈물"], ["지루", "최악", "아깝", "실망", "쓰레기"]
SMALL = ("--depth", "4", "--filters", "8", "--epochs", "8", "--learning-rate", "0.01", "--table-rate", "0.02")
some_texts = st.lists(
    st.text("가나힣a !ㅋ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=6
)


def corpus(path: Path, rows: int, seed: int) -> None:
    """Made-up reviews in NSMC's format, half of them positive."""
    source = random.Random(seed)
    lines = ["id\tdocument\tlabel"]
    for number in range(rows):
        words = [source.choice(GOOD if number % 2 else BAD), source.choice(["영화", "배우", "연기", "음악"])]
        source.shuffle(words)
        lines.append(f"{number}\t{' '.join(words)} {'!' * source.randrange(3)}\t{number % 2}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel directory with training and test data."""
    folder = tmp_path_factory.mktemp("nsmc")
    corpus(folder / "ratings_train.txt", 400, seed=1)
    corpus(folder / "ratings_test.txt", 100, seed=2)
    return folder


def run(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    own = {"PYTHONPATH": MODEL_CODE / "shared", "OPENBLAS_NUM_THREADS": 1} | variables
    return subprocess.run(
        [sys.executable, "-B", str(MODEL_CODE / MODEL / "train.py"), *map(str, arguments)],
        env=kept | {name: str(value) for name, value in own.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_runs_as_a_sagemaker_training_job_and_twice_gives_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    # GIVEN SageMaker's environment, WHEN the script runs twice in it
    for name in ("one", "two"):
        done = run(*SMALL, SM_CHANNEL_TRAIN=data, SM_CHANNEL_TEST=data, SM_MODEL_DIR=tmp_path / name)
        # THEN it ends well, has learned, prints its metrics
        assert (done.returncode, done.stderr) == (0, "")
        assert "validation:accuracy=1.0000" in done.stdout
        assert "test:accuracy=1.0000" in done.stdout

    # THEN both models are the same to the last byte
    assert (tmp_path / "one" / "model.npz").read_bytes() == (tmp_path / "two" / "model.npz").read_bytes()


def test_bad_data_and_bad_arguments_are_named(tmp_path: Path) -> None:
    # GIVEN data that cannot be trained on, and arguments out of range
    (tmp_path / "bad.txt").write_text("id\tdocument\tlabel\n1\tgood\t1\n2\tbad\n", encoding="utf-8")
    for arguments, said in [
        (("--train", tmp_path / "bad.txt"), "bad.txt:3:"),
        (("--train", "nowhere"), "nowhere"),
        (("--train", "x", "--row-dropout", "1"), "not a number from 0 to 1"),
        (("--train", "x", "--depth", "0"), "not a whole number from 1 to 64"),
    ]:
        # WHEN the script runs THEN it says what is wrong
        done = run(*arguments, "--model-dir", tmp_path / "out")
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_gradients_are_the_slopes_of_the_loss(code: SimpleNamespace) -> None:
    # GIVEN a small network in float64, without dropout, and three texts
    learning = code.learning
    hyperparameters = learning.Hyperparameters(
        depth=3, filters=4, row_dropout=0, value_dropout=0, filter_dropout=0
    )
    source = np.random.default_rng(5)
    parameters = learning.started(hyperparameters, source)
    parameters.table = 5 * parameters.table.astype(np.float64)
    parameters.dense = {name: array.astype(np.float64) for name, array in parameters.dense.items()}
    learner = learning._Learner(parameters, hyperparameters, source)
    batch = code.features.text_batch(["정말 재밌는 영화", "별로", "돈 아깝다 최악 ㅋㅋ"])
    labels = np.array([1.0, 0.0, 0.0])

    def loss() -> float:
        odds = learner._forward(batch).log_odds
        return float(np.mean(np.logaddexp(0, np.where(labels == 1, -odds, odds))))

    def slope(array: np.ndarray, place: tuple[int, ...]) -> float:
        kept, step = array[place], 1e-3
        array[place] = kept + step
        above = loss()
        array[place] = kept - step
        below = loss()
        array[place] = kept
        return (above - below) / (2 * step)

    # WHEN the gradients are computed
    forward = learner._forward(batch)
    gradients, positions = learner._backward(forward, (1 / (1 + np.exp(-forward.log_odds)) - labels) / 3)

    # THEN each is the change of the loss over a small change of its parameter
    for name, array in parameters.dense.items():
        for _ in range(5):
            place = tuple(int(source.integers(size)) for size in array.shape)
            assert gradients[name][place] == pytest.approx(slope(array, place), abs=2e-4), name
    for row in batch.rows[3:8, 1]:
        total = sum(positions[place] for place, _ in np.argwhere(batch.rows == row))
        assert total[1] == pytest.approx(slope(parameters.table, (int(row), 1)), abs=2e-4)


def test_whole_numbers_say_nearly_what_the_learned_ones_say(code: SimpleNamespace) -> None:
    # GIVEN a network that has learned nothing, hence with outputs of all sizes
    hyperparameters = code.learning.Hyperparameters(row_dropout=0, value_dropout=0, filter_dropout=0)
    source = np.random.default_rng(6)
    parameters = code.learning.started(hyperparameters, source)
    texts = ["정말 재밌는 영화", "별로", "돈 아깝다 최악 ㅋㅋ", "a", "연기가 최고다!!"]
    exact = code.learning._Learner(parameters, hyperparameters, source)._forward(
        code.features.text_batch(texts)
    )

    # WHEN it is made whole numbers THEN the log-odds stay, and follow the calibration
    network = code.train.quantised(parameters)
    assert network.log_odds(texts) == pytest.approx(exact.log_odds, abs=0.03)
    assert code.train.quantised(parameters, 0.5).log_odds(texts) == pytest.approx(network.log_odds(texts) / 2)


def test_the_dead_row_never_learns(code: SimpleNamespace, data: Path) -> None:
    # GIVEN texts that are no Korean syllables and rows that are left out, WHEN a network learns
    reviews = code.reviews.read_corpus(data, "ratings_train.txt")
    hyperparameters = code.learning.Hyperparameters(depth=4, filters=4, epochs=1)
    learned = code.learning.fit(code.features.text_batch(reviews.texts), reviews.labels, hyperparameters)
    # THEN the row that stands for nothing is still 0
    assert not learned.table[code.features.DEAD_ROW].any()


@given(texts=some_texts)
def test_rows_of_a_text_do_not_depend_on_the_others(code: SimpleNamespace, texts: list[str]) -> None:
    # GIVEN any texts WHEN they are hashed together THEN each has the rows and words that it has alone
    together = code.features.text_batch(texts)
    for index, text in enumerate(texts):
        alone, part = code.features.text_batch([text]), together.take(np.array([index]))
        assert {name: array.tolist() for name, array in vars(part).items()} == {
            name: array.tolist() for name, array in vars(alone).items()
        }
    assert together.word_lengths.sum() == together.lengths.sum() == len(together.rows)
    assert together.words.tolist() == [len(text.split()) for text in texts]


def test_a_position_knows_its_grams_and_letters(code: SimpleNamespace) -> None:
    # GIVEN two words that differ in one final consonant WHEN they are hashed
    one, other = (code.features.text_batch([text]).rows for text in ("밌다", "밋다"))
    # THEN they share the first consonant and the vowel, and from there on the 1-gram of the next syllable
    assert (one[0] == other[0]).tolist() == [False, False, False, True, True, False]
    assert (one[1] == other[1]).tolist() == [True, False, False, True, True, True]
    # THEN what is no syllable has no letters
    assert (code.features.text_batch(["ㅋa"]).rows[:, 3:] == code.features.DEAD_ROW).all()
