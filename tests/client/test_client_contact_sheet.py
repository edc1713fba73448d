"""The video model's answer, read and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.contact_sheet import PICTURE_WIDTH, choose_frames, track_colour, write_contact_sheet
from client.detections import DetectedFrame, Detection, read_detections
from client.errors import UserError

WIDTH, HEIGHT, FRAMES = 160, 120, 30
GREY = 90


def answer(frames: list[dict[str, Any]], width: int = WIDTH, height: int = HEIGHT) -> bytes:
    lines = [{"clip": {"width": width, "height": height, "frames": len(frames)}}, *frames]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def frame(index: int, *found: tuple[list[float], float, int]) -> dict[str, Any]:
    detections = [{"box": box, "score": score, "track": track} for box, score, track in found]
    return {"frame": index, "time": index / 25, "detections": detections}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures, one after the other a little lighter."""
    path = tmp_path_factory.mktemp("video") / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for index in range(FRAMES):
        writer.write(np.full((HEIGHT, WIDTH, 3), GREY + index, np.uint8))
    writer.release()
    return path


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a colour, nearly."""
    return (np.abs(picture.astype(int) - colour) < 12).all(axis=-1)


def test_an_answer_is_read() -> None:
    # GIVEN an answer with one object in one of two frames WHEN it is read
    read = read_detections(answer([frame(0), frame(1, ([1.5, 2, 30, 40], 0.75, 3))]))

    # THEN it is all there
    assert (read.width, read.height, read.objects) == (WIDTH, HEIGHT, 1)
    assert read.frames == (
        DetectedFrame(0, 0.0, ()),
        DetectedFrame(1, 0.04, (Detection((1.5, 2.0, 30.0, 40.0), 0.75, 3),)),
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"no json\n", "Line 1"),
        (b"[1]\n", "Line 1"),
        (b'{"frame": 0}\n', "Line 1 of the answer does not describe a clip"),
        (b'{"clip": 5}\n', "Line 1 of the answer does not describe a clip"),
        (answer([{"frame": 0, "time": 0}]), "Line 2 of the answer is not a frame (KeyError: 'detections')"),
        (answer([frame(0), frame(1, ([1, 2, 3], 0.5, 1))]), "Line 3 of the answer is not a frame"),  # type: ignore[arg-type]
    ],
)
def test_another_answer_is_refused_with_its_line(body: bytes, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_detections(body)
    assert said in caught.value.message


def test_the_sheet_shows_frames_with_boxes_where_they_are(video: Path, tmp_path: Path) -> None:
    # GIVEN an object that stands in the middle of all frames
    box = [40.0, 30.0, 80.0, 60.0]
    read = read_detections(answer([frame(index, (box, 0.5, 7)) for index in range(FRAMES)]))

    # WHEN four of them are drawn
    shown = write_contact_sheet(video, read, tmp_path / "sheet.png", pictures=4)

    # THEN they are from all parts of the clip, in order
    assert shown == sorted(shown)
    assert [index * 4 // FRAMES for index in shown] == [0, 1, 2, 3]
    # AND the picture has the frames side by side, each with the track's colour around the box
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 4 * PICTURE_WIDTH
    columns = np.flatnonzero(near(sheet, track_colour(7)).any(axis=0))
    scale = PICTURE_WIDTH / WIDTH
    lefts = [group[0] for group in np.split(columns, np.flatnonzero(np.diff(columns) > 60 * scale) + 1)]
    assert columns[0] == pytest.approx(10 + 40 * scale, abs=4)
    assert len(lefts) == 4
    # AND the frames' own grey
    assert near(sheet, (GREY + shown[0],) * 3).sum() > 0.3 * PICTURE_WIDTH * PICTURE_WIDTH * HEIGHT / WIDTH


@pytest.mark.parametrize(
    "box", [[0, 0, 160, 120], [-20, -20, 30, 30], [150, 110, 30, 30], [0, 0, 1, 1], [80, 0, 10, 3]]
)
def test_boxes_and_labels_stay_inside_their_picture(video: Path, tmp_path: Path, box: list[float]) -> None:
    # GIVEN a box at an edge WHEN it is drawn
    read = read_detections(answer([frame(0, (box, 0.999, 123))]))
    write_contact_sheet(video, read, tmp_path / "sheet.png")

    # THEN its colour is only within the picture, and some of it is there
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    coloured = near(sheet, track_colour(123))
    inside = np.zeros_like(coloured)
    inside[44 : 44 + round(HEIGHT * PICTURE_WIDTH / WIDTH), 10 : 10 + PICTURE_WIDTH] = True
    assert coloured.any()
    assert not (coloured & ~inside).any()


def test_fewer_frames_make_a_smaller_sheet(video: Path, tmp_path: Path) -> None:
    read = read_detections(answer([frame(0), frame(1)]))
    assert write_contact_sheet(video, read, tmp_path / "sheet.png") == [0, 1]
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] < 3 * PICTURE_WIDTH


@pytest.mark.parametrize(
    ("frames", "size", "said"),
    [
        ([], (WIDTH, HEIGHT), "no frames"),
        ([frame(FRAMES + 5)], (WIDTH, HEIGHT), f"has no frame {FRAMES + 5}"),
        ([frame(0)], (320, 240), "frames of 160 x 120 pixels, the detections of 320 x 240"),
    ],
)
def test_an_answer_of_another_video_is_refused(
    video: Path, tmp_path: Path, frames: list[dict[str, Any]], size: tuple[int, int], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        write_contact_sheet(video, read_detections(answer(frames, *size)), tmp_path / "sheet.png")
    assert said in caught.value.message
    assert not (tmp_path / "sheet.png").exists()


def test_files_that_cannot_be_used_are_named(video: Path, tmp_path: Path) -> None:
    # GIVEN no video, and a folder that is not there
    read = read_detections(answer([frame(0)]))
    with pytest.raises(UserError, match="cannot be read as a video"):
        write_contact_sheet(tmp_path / "missing.mp4", read, tmp_path / "sheet.png")
    with pytest.raises(UserError, match="cannot be written"):
        write_contact_sheet(video, read, tmp_path / "missing" / "sheet.png")


@given(counts=st.lists(st.integers(0, 5), max_size=80), most=st.integers(1, 20))
def test_frames_come_from_equal_stretches_and_show_most(counts: list[int], most: int) -> None:
    # GIVEN frames with some objects each WHEN some are chosen
    found = Detection((0, 0, 1, 1), 1.0, 1)
    frames = [DetectedFrame(index, index / 25, (found,) * count) for index, count in enumerate(counts)]
    chosen = [frame.index for frame in choose_frames(frames, most)]

    # THEN there are as many as wanted or as there are, in order, and the fullest frame is among them
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(most, len(frames))
    if counts:
        assert max(counts) == max(counts[index] for index in chosen)


def test_neighbouring_tracks_have_colours_of_their_own() -> None:
    # GIVEN the first dozen tracks THEN any two differ clearly in some channel
    colours = [np.array(track_colour(track)) for track in range(1, 13)]
    for number, one in enumerate(colours):
        for other in colours[number + 1 :]:
            assert np.abs(one - other).max() >= 40
