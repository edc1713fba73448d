"""Generated clips: the truth is where the objects are, and the command line writes what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tools.make_video import Clip, Conditions, main

SMALL: dict[str, Any] = {
    "width": 160,
    "height": 96,
    "frames": 40,
    "smallest": 16,
    "largest": 40,
    "objects": 4,
}


def test_the_same_conditions_give_the_same_clip(tmp_path: Path) -> None:
    # GIVEN two clips of one kind and one of another seed WHEN they are written
    truths = [
        Clip(Conditions(**SMALL, seed=seed)).write(tmp_path / f"{n}.mp4") for n, seed in enumerate((5, 5, 6))
    ]
    files = [(tmp_path / f"{n}.mp4").read_bytes() for n in range(3)]

    # THEN the first two are the same to the byte, the third is not
    assert files[0] == files[1] != files[2]
    assert truths[0] == truths[1] != truths[2]


def test_the_truth_is_where_pictures_differ_from_the_scene() -> None:
    # GIVEN a clip with clear objects and no noise, and the scene without them
    conditions = {**SMALL, "noise": 0.0, "contrast": 90.0, "seed": 4}
    empty, _ = next(Clip(Conditions(**{**conditions, "objects": 0})).frames())
    seen = 0

    # WHEN a frame is compared with it
    for frame, objects in Clip(Conditions(**conditions)).frames():
        different = np.abs(frame.astype(int) - empty).max(axis=-1) > 12
        inside = np.zeros_like(different)
        # what covers less than half of a pixel at the frame's edge is not there yet
        inside[[0, -1]] = inside[:, [0, -1]] = True
        for entry in objects:
            x, y, w, h = (int(value) for value in entry["box"])
            assert x >= 0
            assert y >= 0
            assert x + w <= 160
            assert y + h <= 96
            # a pixel of each edge may be half covered
            inside[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1] = True
            if entry["visible"] > 0.95:
                seen += 1
                assert different[y : y + h, x : x + w].mean() > 0.5
        # THEN it differs where the truth has objects, and nowhere else
        assert not (different & ~inside).any()
    assert seen > 20


def test_visible_is_the_share_in_sight() -> None:
    # GIVEN a crowd WHEN it moves THEN shares are shares, and some objects are hidden in part
    truth = [
        entry for _, objects in Clip(Conditions(**{**SMALL, "objects": 12})).frames() for entry in objects
    ]
    assert all(0 <= entry["visible"] <= 1 for entry in truth)
    assert any(0.1 < entry["visible"] < 0.9 for entry in truth)
    assert any(entry["visible"] == 1 for entry in truth)


@pytest.mark.parametrize("light", ["drift", "switch", "flicker"])
def test_light_changes_over_time(light: Any) -> None:
    # GIVEN a scene without objects WHEN its light changes THEN its mean does too, as steady light does not
    def means(kind: Any) -> list[float]:
        clip = Clip(Conditions(**{**SMALL, "objects": 0, "light": kind}))
        return [float(frame.mean()) for frame, _ in clip.frames()]

    assert np.ptp(means(light)) > 5 > 1 > np.ptp(means("steady"))


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_the_command_line_writes_clip_and_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    # GIVEN names for a clip and its truth WHEN the command is given
    clip, truth = tmp_path / f"clip{ending}", tmp_path / "truth.jsonl"
    size = ["--width", "160", "--height", "96", "--smallest", "16", "--largest", "40"]
    status = main([str(clip), "--seconds", "1.2", "--truth", str(truth), "--shadows", *size])

    # THEN both are there, a line of truth for each frame
    assert status == 0
    capture = cv2.VideoCapture(str(clip))
    frames = sum(1 for _ in iter(lambda: capture.read()[0], False))
    capture.release()
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(frames)) == list(range(30))
    assert f"{clip}: 30 frames" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "said"), [("clip.gif", ".mp4 or .avi"), ("missing/clip.mp4", "no folder")])
def test_a_file_that_cannot_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main([str(tmp_path / name), "--seconds", "1"]) == 1
    assert said in capsys.readouterr().err
