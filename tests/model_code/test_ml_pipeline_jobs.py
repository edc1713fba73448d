"""The pipeline's job scripts, run as programs in a container's files."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

MODEL_CODE = Path(__file__).resolve().parents[2] / "model_code"
GOOD, BAD = ["재밌", "감동", "최고", "명작", "눈물"], ["지루", "최악", "아깝", "실망", "쓰레기"]


class Container:
    """One tree for all jobs of a pipeline, with what SageMaker would carry between them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.code = base / "processing" / "input" / "code"
        self.code.mkdir(parents=True)
        for folder in ("sentiment", "shared", "ml_pipeline"):
            for file in (MODEL_CODE / folder).glob("*.py"):
                shutil.copy(file, self.code)
        self.raw = base / "processing" / "raw"
        self.raw.mkdir()

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(self.base)} | variables
        return subprocess.run(
            [sys.executable, "-B", str(self.code / script), *arguments],
            env=own,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def train(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Train on the training split, and pack the model as SageMaker does."""
        model, data = self.base / "model", str(self.base / "processing" / "train")
        done = self.run("training_job.py", *arguments, SM_CHANNEL_TRAIN=data, SM_MODEL_DIR=str(model))
        (self.base / "processing" / "model").mkdir(exist_ok=True)
        if done.returncode == 0:
            with tarfile.open(self.base / "processing" / "model" / "model.tar.gz", "w:gz") as archive:
                archive.add(model, ".")
        return done

    def json(self, name: str) -> dict:
        return json.loads((self.base / "processing" / name).read_text(encoding="utf-8"))


def rows(count: int, seed: int) -> list[str]:
    """Made-up reviews, half of them positive."""
    source = random.Random(seed)
    texts = [f"{source.choice((BAD, GOOD)[n % 2])} 영화{'!' * source.randrange(40)}" for n in range(count)]
    return [f"{seed}-{number}\t{text}\t{number % 2}" for number, text in enumerate(texts)]


def write(file: Path, lines: list[str]) -> None:
    file.write_text("\n".join(["id\tdocument\tlabel", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path / "opt" / "ml")


def test_the_jobs_in_series_end_in_a_servable_model(container: Container, tmp_path: Path) -> None:
    # GIVEN raw data, some of it unusable, one training review also in the test
    train = [*rows(400, 1), "1-0\t지루 영화\t0", "2-3\t최고 영화\t1", "x\t \t1", "broken line"]
    write(container.raw / "ratings_train.txt", train)
    write(container.raw / "ratings_test.txt", rows(100, 2))

    # WHEN the three jobs run
    for done in (
        container.run("preprocess.py"),
        container.train("--epochs", "2"),
        container.run("evaluate.py"),
    ):
        assert (done.returncode, done.stderr) == (0, "")

    # THEN what was dropped is told
    report = container.json("report/preprocessing.json")
    assert report["dropped"] == {"repeated id": 2, "empty document": 1, "malformed": 1}
    assert report["examples"] == ["ratings_train.txt:405"]
    assert report["kept"] == {"train": 400, "test": 100}
    assert report["positive"] == {"train": 200, "test": 50}

    # AND the evaluation agrees with itself and counts every review once
    found = container.json("evaluation/evaluation.json")
    metrics = found["binary_classification_metrics"]
    matrix = metrics["confusion_matrix"]
    assert sum(matrix[a][b] for a in "01" for b in "01") == found["reviews"] == 100
    assert metrics["accuracy"]["value"] == (matrix["0"]["0"] + matrix["1"]["1"]) / 100 == 1.0
    assert sum(part["reviews"] for part in found["slices_by_length"]) == 100
    picture = (container.base / "processing" / "evaluation" / "confusion_matrix.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    begin = picture.index(b"IDAT") + 4
    length = int.from_bytes(picture[begin - 8 : begin - 4], "big")
    assert len(zlib.decompress(picture[begin : begin + length])) == 540 * (540 * 3 + 1)

    # AND the archive alone is enough to serve: nothing of the repository is importable
    served = tmp_path / "served"
    shutil.copytree(container.base / "model", served)
    program = (
        f"import sys; sys.path.insert(0, {str(served / 'code')!r}); import inference as i;"
        f"print([a['label'] for a in i.predict_fn(['명작 영화', '최악 영화'], i.model_fn({str(served)!r}))])"
    )
    asked = subprocess.run(
        [sys.executable, "-B", "-I", "-c", program], cwd="/", capture_output=True, text=True, check=False
    )
    assert (asked.stdout.strip(), asked.stderr) == ("['positive', 'negative']", "")


def test_without_a_test_file_the_split_is_by_id_and_new_data_move_nothing(container: Container) -> None:
    # GIVEN one file WHEN it is split THEN about a quarter is for the test
    write(container.raw / "a.tsv", rows(800, 1))
    assert container.run("preprocess.py").returncode == 0
    before = set((container.base / "processing/test/ratings_test.txt").read_text().splitlines())
    assert 150 < len(before) < 250

    # WHEN more data come THEN what was in the test still is
    write(container.raw / "b.tsv", rows(200, 2))
    assert container.run("preprocess.py").returncode == 0
    after = set((container.base / "processing/test/ratings_test.txt").read_text().splitlines())
    assert before < after


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "holds no *.txt or *.tsv files"),
        (["1;good;1"] * 30, "30 of 30 lines are malformed (a.tsv:2, a.tsv:3"),
        ([f"{n}\tgood\t1" for n in range(60)], "positive and 0 negative reviews: need both"),
    ],
)
def test_bad_raw_data_fail_the_job_with_a_reason(
    container: Container, lines: list[str] | None, said: str
) -> None:
    if lines is not None:
        write(container.raw / "a.tsv", lines)
    done = container.run("preprocess.py")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (container.base / "processing" / "train").exists()


@pytest.mark.parametrize(("content", "said"), [(None, "is missing"), (b"no archive", "no model that can be")])
def test_evaluation_without_a_model_fails_with_a_reason(
    container: Container, content: bytes | None, said: str
) -> None:
    (container.base / "processing" / "model").mkdir()
    if content is not None:
        (container.base / "processing" / "model" / "model.tar.gz").write_bytes(content)
    done = container.run("evaluate.py")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (container.base / "processing" / "evaluation").exists()


def test_training_on_nothing_fails_and_leaves_no_code(container: Container) -> None:
    done = container.train()
    assert done.returncode == 1
    assert "train.py:" in done.stderr
    assert not (container.base / "model").exists()


def test_accuracy_on_the_official_split(container: Container, nsmc: Path) -> None:
    # GIVEN NSMC WHEN the jobs run on it
    for name in ("ratings_train.txt", "ratings_test.txt"):
        (container.raw / name).symlink_to(nsmc / name)
    for done in (container.run("preprocess.py"), container.train(), container.run("evaluate.py")):
        assert (done.returncode, done.stderr) == (0, "")

    # THEN at least 86.5 % of all 50,000 are right, dropped ones counted as wrong
    matrix = container.json("evaluation/evaluation.json")["binary_classification_metrics"]["confusion_matrix"]
    assert (matrix["0"]["0"] + matrix["1"]["1"]) / 50_000 >= 0.865
