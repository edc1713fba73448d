"""The ML pipeline's demo: what it takes for reviews, and what it finds wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.ab import labelled
from client.demos import ml_pipeline
from client.demos.ml_pipeline import Trained, _Reviews, _reviews
from client.pipeline.executions import ExecutionState, StepState
from client.pipeline.versions import Serving

GROUP = "arn:aws:sagemaker:ap-northeast-2:000000000000:model-package/reviews"


def execution(status: str, *, cached: bool = False, registered: bool = True) -> ExecutionState:
    source = "arn:earlier" if cached else ""
    jobs = [
        StepState(name, "Processing", "Succeeded", 1.0, cached_from=source)
        for name in ("Preprocess", "Train", "Evaluate")
    ]
    last = StepState("Register", "RegisterModel", "Succeeded", registered=f"{GROUP}/1" if registered else "")
    return ExecutionState("arn/execution/x", status, 3.0, "", (*jobs, last))


def trained(**changes: Any) -> Trained:
    parts: dict[str, Any] = {
        "first": execution("Succeeded"),
        "again": execution("Succeeded", cached=True),
        "refused": execution("Failed", cached=True, registered=False),
        "labels": ["positive", "negative"],
        **changes,
    }
    return Trained(
        (parts["first"], parts["again"], parts["refused"]),
        [],
        Serving("reviews-live", "InService"),
        parts["labels"],
        _Reviews([], "demo", "some reviews", "0.99"),
        [],
        [],
        in_sandbox=True,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"again": execution("Succeeded")}, "did again what had been done: Preprocess, Train, Evaluate"),
        ({"again": execution("Failed", cached=True)}, "the second execution ended as Failed"),
        ({"refused": execution("Succeeded", cached=True)}, "the threshold 0.99 did not keep the model out"),
        ({"labels": ["negative", "negative"]}, "the reviews were labelled negative, negative"),
    ],
)
def test_the_demo_tells_what_did_not_go_as_promised(changes: dict[str, Any], problem: str | None) -> None:
    outcome = trained(**changes)
    if problem is None:
        assert outcome.problem is None
        outcome.show()
    else:
        assert outcome.problem is not None
        assert problem in outcome.problem.hint


def test_the_demo_works_without_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN no NSMC anywhere
    monkeypatch.setattr(ml_pipeline, "default_file", lambda: labelled._OWN_FILE)
    monkeypatch.setattr(ml_pipeline, "FOLDER", tmp_path)
    # WHEN its reviews are made THEN there are some of both labels, and it is said what they are
    reviews = _reviews()
    rows = [
        line.split("\t")
        for file in reviews.files
        for line in file.read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert {label for _, _, label in rows} == {"0", "1"}
    assert len({identifier for identifier, _, _ in rows}) == len(rows) > 100
    assert len({text for _, text, _ in rows}) == len(rows)  # none is trained on and tested
    assert "says nothing about others" in reviews.note


def test_the_demo_takes_some_thousand_of_the_corpus_and_names_the_folder_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a corpus of more than is taken
    for name, count in (("ratings_train.txt", 40), ("ratings_test.txt", 20)):
        rows = "".join(f"{number}\t글 {number}\t{number % 2}\n" for number in range(count))
        (tmp_path / name).write_text(f"id\tdocument\tlabel\n{rows}", encoding="utf-8")
    monkeypatch.setattr(ml_pipeline, "_TRAIN_ROWS", 30)
    monkeypatch.setattr(ml_pipeline, "_TEST_ROWS", 10)
    monkeypatch.setattr(ml_pipeline, "FOLDER", tmp_path / "out")
    monkeypatch.setenv("NSMC_DIR", str(tmp_path))

    # WHEN its reviews are made twice THEN they are the same, cut, and it is said to how many
    reviews, again = _reviews(), _reviews()
    lengths = [len(file.read_text(encoding="utf-8").splitlines()) for file in reviews.files]
    assert lengths == [31, 11]
    assert "trained on 30 of 40 reviews, tested on 10 of 20" in reviews.note
    assert reviews == again

    # AND other reviews go to another folder
    monkeypatch.setattr(ml_pipeline, "_TEST_ROWS", 11)
    assert _reviews().folder != reviews.folder
