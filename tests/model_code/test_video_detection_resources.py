"""What a clip costs: memory that does not follow its length, threads that follow the container's cores."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import pytest

from tests.model_code.video_truth import make_clip

MODEL = "video_detection"


def peak(inference: ModuleType, body: bytes) -> int:
    """Most bytes that Python and numpy held at once while a clip was processed, the answer left out."""
    model = inference.model_fn("unused")
    tracemalloc.start()
    try:
        prediction = inference.predict_fn(inference.input_fn(body, "video/mp4"), model)
        for _ in prediction.results:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN a clip, and one ten times as long
    size = {"width": 96, "height": 64, "smallest": 10, "largest": 24, "objects": 6}
    short, _ = make_clip(tmp_path / "short.mp4", frames=120, **size)
    long, _ = make_clip(tmp_path / "long.mp4", frames=1200, **size)
    peak(inference, short)  # what is imported and cached at the first time does not count

    # WHEN both are processed THEN the long one takes no more, give or take what tracks happen to be there
    assert peak(inference, long) < 1.25 * peak(inference, short)


def test_samples_stay_few_and_even(code: SimpleNamespace, tmp_path: Path) -> None:
    # GIVEN clips of many lengths WHEN frames are sampled
    for frames in (1, 5, 31, 32, 33, 200):
        body, _ = make_clip(tmp_path / "clip.mp4", width=32, height=32, frames=frames, objects=0)
        survey = code.clip.Clip(body, 640).survey(16)

        # THEN all frames are counted, and never more than twice as many kept as wanted
        assert survey.frames == frames
        assert min(frames, 16) <= len(survey.samples) < 32 or len(survey.samples) == frames


@pytest.fixture
def threads() -> object:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.parametrize(
    ("quota", "workers", "share"),
    [
        ("400000 100000\n", "1", 4),
        ("400000 100000\n", "2", 2),
        ("400000 100000\n", "3", 1),
        ("150000 100000\n", "1", 1),
        ("50000 100000\n", "1", 1),
        ("max 100000\n", "1", 8),
        ("nonsense", "1", 8),
        ("400000 100000\n", "", 1),
        ("400000 100000\n", "many", 1),
    ],
)
def test_threads_are_the_workers_part_of_the_containers_cores(
    code: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    threads: object,
    quota: str,
    workers: str,
    share: int,
) -> None:
    # GIVEN a machine with eight cores, a container's quota, a number of workers
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(code.cores, "_QUOTA_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(code.cores.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", workers)

    # WHEN the model is loaded THEN OpenCV takes its part, one thread at least
    code.inference.model_fn("unused")
    assert cv2.getNumThreads() == share


def test_the_older_kind_of_quota_counts_too(
    code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # GIVEN a container of control groups version 1
    quota, period = tmp_path / "quota", tmp_path / "period"
    quota.write_text("200000\n")
    period.write_text("100000\n")
    monkeypatch.setattr(code.cores, "_QUOTA_V2", tmp_path / "none")
    monkeypatch.setattr(code.cores, "_QUOTA_V1", (quota, period))
    monkeypatch.setattr(code.cores.os, "sched_getaffinity", lambda _: set(range(8)))

    # THEN its quota is read; -1 means that there is none
    assert code.cores.container_cores() == 2
    quota.write_text("-1\n")
    assert code.cores.container_cores() == 8
