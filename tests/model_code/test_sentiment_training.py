"""The training script: reproducible, usable from SageMaker, clear about bad data."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

MODEL = "sentiment"

GOOD, BAD = ["재밌", "감동", "최고", "명작", "눈물"], ["지루", "최악", "아깝", "실망", "쓰레기"]


def corpus(path: Path, rows: int, seed: int) -> Path:
    """Made-up reviews in NSMC's format, half of them positive."""
    source = random.Random(seed)
    lines = ["id\tdocument\tlabel"]
    for number in range(rows):
        words = [source.choice(GOOD if number % 2 else BAD), source.choice(["영화", "배우", "연기", "음악"])]
        source.shuffle(words)
        lines.append(f"{number}\t{' '.join(words)} {'!' * source.randrange(3)}\t{number % 2}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
SCRIPT = MODEL_CODE / "sentiment" / "train.py"


def run(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    return subprocess.run(
        [sys.executable, "-B", str(SCRIPT), *map(str, arguments)],
        env=kept
        | {"PYTHONPATH": str(MODEL_CODE / "shared")}
        | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel directory with training and test data."""
    folder = tmp_path_factory.mktemp("nsmc")
    corpus(folder / "ratings_train.txt", 400, seed=1)
    corpus(folder / "ratings_test.txt", 100, seed=2)
    return folder


def test_it_runs_as_a_sagemaker_training_job_and_twice_gives_the_same_bytes(
    data: Path, tmp_path: Path
) -> None:
    # GIVEN SageMaker's environment, WHEN the script runs twice in it
    for name in ("one", "two"):
        done = run(SM_CHANNEL_TRAIN=data, SM_CHANNEL_TEST=data, SM_MODEL_DIR=tmp_path / name)
        # THEN it ends well, prints its metrics
        assert (done.returncode, done.stderr) == (0, "")
        assert "validation:accuracy=1.0000" in done.stdout
        assert "test:accuracy=1.0000" in done.stdout

    # THEN both models are the same to the last byte
    assert (tmp_path / "one" / "model.npz").read_bytes() == (tmp_path / "two" / "model.npz").read_bytes()


def test_hyperparameters_change_the_model(data: Path, tmp_path: Path) -> None:
    # GIVEN data WHEN it is trained on with another seed THEN the model is another
    for seed in (1, 2):
        assert run("--train", data, "--model-dir", tmp_path / str(seed), "--seed", seed).returncode == 0
    assert (tmp_path / "1" / "model.npz").read_bytes() != (tmp_path / "2" / "model.npz").read_bytes()


def test_a_trained_model_is_served(code: SimpleNamespace, data: Path, tmp_path: Path) -> None:
    # GIVEN a model that the script wrote
    assert code.train.main(["--train", str(data), "--model-dir", str(tmp_path)]) == 0

    # WHEN the handler functions load and ask it
    model = code.inference.model_fn(str(tmp_path))
    answers = code.inference.predict_fn(["명작 영화", "최악 배우"], model)

    # THEN it knows what it was taught
    assert [answer["label"] for answer in answers] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"id\tdocument\tlabel\n1\tgood\t1\n2\tbad\n3\tso so\t7\n",
            ["bad.txt:3:", "bad.txt:4:", "label (0 or 1)"],
        ),
        (b"id\tdocument\tlabel\n1\t\xff\t1\n", ["bad.txt", "utf-8"]),
        (b"id\tdocument\tlabel\n" + b"1\tgood\t1\n" * 30, ["30 texts with labels [1.0]", "both labels"]),
        (b"", ["0 texts", "need 20 texts"]),
    ],
)
def test_bad_data_is_named(tmp_path: Path, content: bytes, said: list[str]) -> None:
    # GIVEN data that cannot be trained on
    (tmp_path / "bad.txt").write_bytes(content)

    # WHEN the script runs
    done = run("--train", tmp_path / "bad.txt", "--model-dir", tmp_path / "out")

    # THEN it fails, says what and where, and writes no model
    assert done.returncode == 1
    assert all(part in done.stderr for part in said), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "model.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--train"),
        (["--train", "nowhere", "--model-dir", "out"], "nowhere"),
        (["--train", "x", "--model-dir", "y", "--epochs", "0"], "not a whole number from 1 to 100"),
        (["--train", "x", "--model-dir", "y", "--holdout", "0.9"], "not a number from 0 to 0.5"),
        (["--train", "x", "--model-dir", "y", "--learning-rate", "nan"], "not a number"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_lines_end_at_line_feeds_only(code: SimpleNamespace, tmp_path: Path) -> None:
    # GIVEN reviews that hold characters which Unicode counts as line ends, and empty documents
    rows = [f"{n}\t한\u2028줄\x85{n}\t{n % 2}" for n in range(30)] + ["90\t\t1", "91\t \t0"]
    (tmp_path / "a.tsv").write_bytes("\r\n".join(["id\tdocument\tlabel", *rows]).encode() + b"\r\n")

    # WHEN the folder is read THEN there is a text per row that has one
    found = code.train.read_corpus(tmp_path, "ratings_train.txt")
    assert found.texts == [f"한\u2028줄\x85{n}" for n in range(30)]
    assert found.labels.tolist() == [n % 2 for n in range(30)]


def test_the_arithmetic_sigmoid_is_close_to_the_true_one(code: SimpleNamespace) -> None:
    z = np.linspace(-8, 8, 1001)
    assert np.abs(code.train.sigmoid(z) - 1 / (1 + np.exp(-z))).max() < 1e-4
    assert code.train.sigmoid(np.array([-1e300, 0.0, 1e300])) == pytest.approx([0, 0.5, 1], abs=4e-4)


def test_calibration_finds_the_factor_that_made_the_labels(code: SimpleNamespace) -> None:
    # GIVEN log-odds twice as bold as the labels they stand for
    source = np.random.default_rng(3)
    honest = source.normal(0, 2, 20_000)
    labels = (source.random(20_000) < 1 / (1 + np.exp(-honest))).astype(float)

    # WHEN they are calibrated THEN they are halved
    assert code.train.calibrated_sharpness(2 * honest, labels) == pytest.approx(0.5, abs=0.03)
