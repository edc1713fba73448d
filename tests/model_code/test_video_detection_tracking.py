"""Objects over time: hidden for a moment, crossing each other, standing still, in disturbed frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.model_code.video_truth import parse

MODEL = "video_detection"

WIDTH, HEIGHT, SIZE = 320, 180, 36
Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]


def scene() -> Picture:
    """A still background with some structure."""
    rng = np.random.default_rng(5)
    small = rng.integers(80, 150, (HEIGHT // 12, WIDTH // 12, 3)).astype(np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def place(picture: Picture, x: float, y: float, colour: tuple[int, int, int]) -> None:
    """Draw a square with a pattern."""
    left, top = round(x), round(y)
    cv2.rectangle(picture, (left, top), (left + SIZE - 1, top + SIZE - 1), colour, -1)
    darker = tuple(part * 2 // 3 for part in colour)
    cv2.circle(picture, (left + SIZE // 2, top + SIZE // 2), SIZE // 4, darker, -1)


def process(inference: ModuleType, path: Path, pictures: Iterable[Picture]) -> list[dict[str, Any]]:
    """The frames of the answer to a clip made of pictures."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    clip = inference.input_fn(path.read_bytes(), "video/x-msvideo")
    prediction = inference.predict_fn(clip, inference.model_fn("unused"))
    return parse(inference.output_fn(prediction, "application/jsonlines")[0])[1]


def track_at(frame: dict[str, Any], box: Box, least: float = 0.5) -> int | None:
    """The track whose box overlaps a place, by intersection over union."""
    x, y, w, h = box
    for entry in frame["detections"]:
        a, b, c, d = entry["box"]
        shared = max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
        if shared / (w * h + c * d - shared) >= least:
            return int(entry["track"])
    return None


def right(frame: int) -> float:
    """Where something is that crosses the picture in 80 frames, from left to right."""
    return -SIZE + frame * (WIDTH + SIZE) / 80


@pytest.fixture
def crossing() -> Callable[[int], Picture]:
    """Frame of a clip in which one object crosses the scene."""
    background = scene()

    def frame(index: int) -> Picture:
        picture = background.copy()
        place(picture, right(index), 70, (40, 60, 230))
        return picture

    return frame


def test_a_track_goes_on_behind_a_pillar(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture]
) -> None:
    # GIVEN an object that passes behind a pillar that is wider than itself
    def frame(index: int) -> Picture:
        picture = crossing(index)
        cv2.rectangle(picture, (140, 0), (184, HEIGHT), (90, 110, 70), -1)
        return picture

    # WHEN the clip is processed
    frames = process(inference, tmp_path / "clip.avi", (frame(index) for index in range(80)))

    # THEN it is the same track before and after, the only one, and between them the box goes on
    seen = {index: track_at(frames[index], (right(index), 70, SIZE, SIZE)) for index in (25, 30, 60, 70)}
    assert set(seen.values()) == {1}
    hidden = [index for index in range(80) if 142 <= right(index) <= 182 - SIZE]
    assert hidden
    assert [track_at(frames[index], (right(index), 70, SIZE, SIZE), 0.4) for index in hidden] == [1] * len(
        hidden
    )
    assert {entry["track"] for frame in frames for entry in frame["detections"]} == {1}


def test_what_is_hidden_scores_less(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture]
) -> None:
    # GIVEN an object that is seen throughout, and one that is hidden at times
    def frame(index: int) -> Picture:
        picture = crossing(index)
        cv2.rectangle(picture, (140, 0), (184, HEIGHT), (90, 110, 70), -1)
        return picture

    free = process(inference, tmp_path / "free.avi", (crossing(index) for index in range(80)))
    behind = process(inference, tmp_path / "behind.avi", (frame(index) for index in range(80)))

    # THEN the hidden one's score is lower where it is hidden
    middle = 44
    assert behind[middle]["detections"][0]["score"] < free[middle]["detections"][0]["score"] - 0.1


def test_two_that_meet_keep_their_tracks(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN two objects that cross, the nearer one covering the other
    background = scene()

    def frame(index: int) -> Picture:
        picture = background.copy()
        place(picture, WIDTH - SIZE - right(index), 78, (60, 200, 60))
        place(picture, right(index), 70, (40, 60, 230))
        return picture

    # WHEN the clip is processed
    frames = process(inference, tmp_path / "clip.avi", (frame(index) for index in range(80)))

    # THEN each has its own track before, after, and while they are one blob
    one = [track_at(frames[index], (right(index), 70, SIZE, SIZE)) for index in (20, 36, 44, 48, 60)]
    assert len(set(one)) == 1
    two = [
        track_at(frames[index], (WIDTH - SIZE - right(index), 78, SIZE, SIZE)) for index in (20, 36, 48, 60)
    ]
    assert len(set(two)) == 1
    assert None not in one + two
    assert one[0] != two[0]


def test_something_that_stops_is_still_there(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture]
) -> None:
    # GIVEN an object that stops for four seconds in mid-way
    order = [*range(40), *[40] * 100, *range(41, 80), *[79] * 60]

    # WHEN the clip is processed
    frames = process(inference, tmp_path / "clip.avi", (crossing(index) for index in order))

    # THEN it is found all the time, as the same
    tracks = [track_at(frames[when], (right(order[when]), 70, SIZE, SIZE)) for when in range(20, 170, 5)]
    assert set(tracks) == {1}


@pytest.mark.parametrize("level", [0, 255], ids=["black", "flash"])
def test_disturbed_frames_are_passed_over(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture], level: int
) -> None:
    # GIVEN a clip with a few frames that show nothing
    def frame(index: int) -> Picture:
        disturbed = index < 3 or 40 <= index < 45
        return np.full((HEIGHT, WIDTH, 3), level, np.uint8) if disturbed else crossing(index)

    # WHEN it is processed
    frames = process(inference, tmp_path / "clip.avi", (frame(index) for index in range(80)))

    # THEN there is one object, before, after and in them, and nothing is made up
    assert {entry["track"] for frame in frames for entry in frame["detections"]} == {1}
    assert [track_at(frames[index], (right(index), 70, SIZE, SIZE)) for index in (30, 42, 50, 60)] == [1] * 4


def test_another_scene_is_learned(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture]
) -> None:
    # GIVEN a clip that is cut: the last third has another background
    other = scene()[:, ::-1] // 2 + np.uint8(120)

    def frame(index: int) -> Picture:
        if index < 150:
            return crossing(index)
        picture = other.copy()
        place(picture, right(index - 150), 120, (20, 20, 20))
        return picture

    # WHEN it is processed
    frames = process(inference, tmp_path / "clip.avi", (frame(index) for index in range(225)))

    # THEN the object of the second scene is found too, a while after the cut, and nothing else
    after = (185, 195, 210)
    tracks = [track_at(frames[index], (right(index - 150), 120, SIZE, SIZE)) for index in after]
    assert None not in tracks
    assert len(set(tracks)) == 1
    assert [len(frames[index]["detections"]) for index in after] == [1, 1, 1]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_very_short_clips_are_answered(
    inference: ModuleType, tmp_path: Path, crossing: Callable[[int], Picture], count: int
) -> None:
    # GIVEN a clip of a few frames, too few to tell what moves WHEN it is processed THEN each has its line
    frames = process(inference, tmp_path / "clip.avi", (crossing(40 + index) for index in range(count)))
    assert [frame["frame"] for frame in frames] == list(range(count))
