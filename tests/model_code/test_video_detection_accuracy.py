"""How well moving objects are found, on clips with known truth."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.model_code.video_truth import Score, compare, make_clip, parse

MODEL = "video_detection"

CLIP: dict[str, Any] = {
    "width": 480,
    "height": 270,
    "frames": 100,
    "largest": 84,
    "smallest": 24,
    "objects": 6,
}


def scored(inference: ModuleType, folder: Path, name: str = "clip.mp4", **conditions: Any) -> Score:
    """Detect in a clip made to order, and compare with its truth."""
    body, truth = make_clip(folder / name, **{**CLIP, **conditions})
    _, frames = parse(detect(inference, body))
    return compare(frames, truth)


def detect(inference: ModuleType, body: bytes) -> bytes:
    model = inference.model_fn("unused")
    prediction = inference.predict_fn(inference.input_fn(body, "video/mp4"), model)
    return inference.output_fn(prediction, "application/jsonlines")[0]


def test_clean_clips_reach_precision_and_recall_of_nine_tenths(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN clips of several scenes, with objects that enter, leave, cross, and are there at the start
    total = Score([], [], 0, 0)

    # WHEN they are processed
    for seed in (11, 12, 13, 14):
        total += scored(inference, tmp_path, seed=seed)

    # THEN nearly all is found and nearly nothing else
    assert len(total.right) > 800
    assert total.precision >= 0.9
    assert total.recall >= 0.9
    # AND objects keep their tracks
    assert total.switches <= 0.01 * len(total.right)


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("clip.mp4", {"noise": 8.0}),
        ("clip.mp4", {"light": "drift"}),
        ("clip.mp4", {"light": "switch"}),
        ("clip.mp4", {"shadows": True}),
        ("clip.mp4", {"contrast": 35.0}),
        ("clip.avi", {"quality": 25}),
    ],
    ids=["noise", "slow-light", "sudden-light", "shadows", "low-contrast", "compression"],
)
def test_harder_clips_are_found_too(
    inference: ModuleType, tmp_path: Path, name: str, conditions: dict[str, Any]
) -> None:
    # GIVEN a clip with one difficulty WHEN it is processed
    score = scored(inference, tmp_path, name, seed=21, **conditions)

    # THEN it makes little difference
    assert score.precision >= 0.85
    assert score.recall >= 0.85


def test_an_empty_scene_gives_no_detection(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN noise and changing light, but no object
    body, _ = make_clip(tmp_path / "clip.avi", **{**CLIP, "objects": 0, "noise": 6.0, "light": "drift"})

    # WHEN it is processed
    clip, frames = parse(detect(inference, body))

    # THEN every frame is there, with nothing in it
    assert clip["objects"] == 0
    assert len(frames) == CLIP["frames"]
    assert not any(frame["detections"] for frame in frames)


def test_objects_are_found_from_the_first_frame_on(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN objects that are there when the clip begins, so that no frame before shows the scene without them
    body, truth = make_clip(tmp_path / "clip.mp4", **{**CLIP, "seed": 12})
    assert len([entry for entry in truth[0] if entry["visible"] > 0.9]) >= 2

    # WHEN it is processed
    _, frames = parse(detect(inference, body))

    # THEN the first frame has them, and nothing else
    first = compare(frames[:1], truth[:1])
    assert (first.missed, first.wrong) == (0, [])


def test_scores_are_higher_for_objects_than_for_mistakes(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN a crowd in faint colours, where mistakes happen
    total = scored(inference, tmp_path, seed=31, frames=60, objects=12, contrast=30.0, shadows=True)
    assert len(total.wrong) >= 10

    # THEN all scores are shares, and the right ones have more
    assert all(0 <= score <= 1 for score in total.right + total.wrong)
    assert np.mean(total.right) > np.mean(total.wrong) + 0.05
