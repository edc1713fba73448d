"""Requests and answers of the video model: what it takes, says, refuses and leaves behind."""

from __future__ import annotations

import json
import math
import struct
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_code.video_truth import make_clip, parse

MODEL = "video_detection"

LINES, JSON = "application/jsonlines", "application/json"
SMALL = {"width": 128, "height": 96, "frames": 30, "smallest": 14, "largest": 40, "objects": 3, "seed": 3}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same small clip as MP4 and as AVI."""
    folder = tmp_path_factory.mktemp("videos")
    return {ending: make_clip(folder / f"clip{ending}", **SMALL)[0] for ending in (".mp4", ".avi")}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, so that what is left in it can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def answer(
    inference: ModuleType,
    body: bytes | bytearray,
    content_type: str | None = None,
    accept: str | None = LINES,
) -> tuple[bytes, str]:
    model = inference.model_fn("unused")
    return inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), model), accept)


def refused(
    inference: ModuleType, body: bytes | bytearray | str, content_type: str = "video/mp4"
) -> tuple[int, str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (the class is looked at below)
        answer(inference, body, content_type)
    assert type(caught.value).__name__ == "RequestError", repr(caught.value)
    return caught.value.status_code, caught.value.message


@pytest.mark.parametrize(
    ("ending", "content_type"),
    [
        (".mp4", "video/mp4"),
        (".mp4", "application/octet-stream"),
        (".mp4", None),
        (".mp4", "Video/MP4; codecs=mp4v"),
        (".avi", "video/x-msvideo"),
        (".avi", "video/mp4"),
    ],
)
def test_videos_are_read_by_what_they_are(
    inference: ModuleType, videos: dict[str, bytes], ending: str, content_type: str | None
) -> None:
    # GIVEN a video, its type named exactly, vaguely or wrongly WHEN it is sent
    body, kind = answer(inference, videos[ending], content_type)

    # THEN there is a line for the clip and one for each frame
    clip, frames = parse(body)
    assert kind == LINES
    assert clip["frames"] == len(frames) == SMALL["frames"]


def test_the_answer_says_what_the_page_says(inference: ModuleType, videos: dict[str, bytes]) -> None:
    # GIVEN a clip WHEN it is processed
    clip, frames = parse(answer(inference, videos[".mp4"])[0])

    # THEN the first line has the clip's properties
    tracks = {entry["track"] for frame in frames for entry in frame["detections"]}
    assert clip == {
        "width": 128,
        "height": 96,
        "frames_per_second": 25.0,
        "frames": 30,
        "seconds": 1.2,
        "objects": max(tracks),
    }
    # AND the others a frame each, in order and with their time
    assert [frame["frame"] for frame in frames] == list(range(30))
    assert [frame["time"] for frame in frames] == pytest.approx([index / 25 for index in range(30)], abs=1e-3)
    # AND boxes inside the frame, scores, and tracks that are numbered from 1 without gaps
    assert tracks == set(range(1, len(tracks) + 1))
    for entry in (entry for frame in frames for entry in frame["detections"]):
        assert set(entry) == {"box", "score", "track"}
        x, y, w, h = entry["box"]
        assert min(x, y) >= 0
        assert min(w, h) > 0
        assert x + w <= 128.2
        assert y + h <= 96.2
        assert 0 <= entry["score"] <= 1


def test_json_is_the_same_as_a_list(inference: ModuleType, videos: dict[str, bytes]) -> None:
    # GIVEN the answer in lines WHEN it is asked for as JSON
    lines = answer(inference, videos[".mp4"])[0]
    body, kind = answer(inference, videos[".mp4"], accept=JSON)

    # THEN it is a list of what the lines hold, in the same order
    assert kind == JSON
    assert json.loads(body) == [json.loads(line) for line in lines.splitlines()]


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
def test_a_body_may_be_a_bytearray(inference: ModuleType, videos: dict[str, bytes], ending: str) -> None:
    # GIVEN a model server that hands bodies over as it collected them WHEN one is sent
    body = bytearray(videos[ending])

    # THEN it is answered, or refused, like any other
    assert answer(inference, body) == answer(inference, videos[ending])
    assert refused(inference, body[:2000]) == refused(inference, videos[ending][:2000])


def test_the_same_clip_gives_the_same_answer(inference: ModuleType, videos: dict[str, bytes]) -> None:
    assert answer(inference, videos[".avi"]) == answer(inference, videos[".avi"])


def test_large_frames_are_reduced_and_boxes_are_not(
    inference: ModuleType, tmp_path: Path, code: SimpleNamespace
) -> None:
    # GIVEN a clip that is wider than the model works with
    body, truth = make_clip(
        tmp_path / "clip.mp4", width=1280, height=360, frames=80, objects=1, largest=160, smallest=120, seed=3
    )
    assert code.detector.WORKING_SIDE < 1280

    # WHEN it is processed
    clip, frames = parse(answer(inference, body)[0])

    # THEN boxes are in the clip's own pixels
    assert (clip["width"], clip["height"]) == (1280, 360)
    found, expected = frames[10]["detections"][0]["box"], truth[10][0]["box"]
    assert found == pytest.approx(expected, abs=8)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"", "video/mp4", 400, "empty"),
        (b"\x00" * 500, "video/mp4", 400, "not a video"),
        ("some text", "video/mp4", 400, "is text"),
        (b"{}", "application/json", 415, "'application/json' is not supported: send video/mp4"),
        (b"a,b", "text/csv", 415, "not supported"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 60, "application/octet-stream", 415, "a PNG picture"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 60, "video/mp4", 415, "WAV audio"),
        (b"ID3\x04" + b"\x00" * 60, "video/mp4", 415, "MP3 audio"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "video/mp4", 415, "a playlist"),
        (b"\x1aE\xdf\xa3" + b"\x00" * 60, "video/mp4", 415, "Matroska"),
    ],
)
def test_what_is_no_video_is_refused(
    inference: ModuleType, temporary: Path, body: bytes | str, content_type: str, status: int, said: str
) -> None:
    # GIVEN something else WHEN it is sent THEN the status and the words tell why, and no file is left
    found, message = refused(inference, body, content_type)
    assert (found, said in message) == (status, True), message
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("ending", [".mp4", ".avi"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(
    inference: ModuleType, videos: dict[str, bytes], temporary: Path, ending: str, share: float
) -> None:
    # GIVEN the first part of a file WHEN it is sent
    whole = videos[ending]
    status, message = refused(inference, whole[: int(len(whole) * share)])

    # THEN it is named as truncated
    assert status == 400
    assert "truncated" in message
    assert list(temporary.iterdir()) == []


def test_missing_frames_are_noticed(inference: ModuleType, videos: dict[str, bytes], temporary: Path) -> None:
    # GIVEN an AVI whose header announces far more frames than there are
    body = bytearray(videos[".avi"])
    at = body.index(b"avih") + 8 + 16
    assert struct.unpack_from("<I", body, at)[0] == 30
    for place in (at, body.index(b"strh") + 8 + 32):
        struct.pack_into("<I", body, place, 3000)
    # AND the index says so too: it is gone
    body[body.index(b"idx1") :] = b""
    struct.pack_into("<I", body, 4, len(body) - 8)

    # WHEN it is sent THEN it is refused with both numbers
    status, message = refused(inference, bytes(body))
    assert status == 400
    assert "30 frames" in message
    assert "3,000" in message
    assert list(temporary.iterdir()) == []


def test_a_video_without_frames_is_refused(
    inference: ModuleType, videos: dict[str, bytes], temporary: Path
) -> None:
    # GIVEN an AVI whose frames are gone
    body = videos[".avi"]
    movi = body.index(b"movi")
    empty = bytearray(body[: movi + 4])
    struct.pack_into("<I", empty, movi - 4, 4)
    struct.pack_into("<I", empty, 4, len(empty) - 8)

    # WHEN it is sent THEN it is refused
    status, message = refused(inference, bytes(empty))
    assert status == 400
    assert "no frame" in message or "cannot be opened" in message
    assert list(temporary.iterdir()) == []


def test_audio_only_is_refused(inference: ModuleType, videos: dict[str, bytes]) -> None:
    # GIVEN files whose only track says that it is sound
    mp4 = videos[".mp4"].replace(b"\x00\x00\x00\x00vide", b"\x00\x00\x00\x00soun")
    avi = videos[".avi"].replace(b"vids", b"auds")

    # WHEN they are sent THEN both are refused as audio
    for body in (mp4, avi):
        status, message = refused(inference, body)
        assert (status, "only audio" in message) == (400, True), message


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_BODY_BYTES", 1000, "bytes: at most 1,000"),
        ("MAX_FRAME_PIXELS", 5000, "128 x 96 pixels: at most 5,000 pixels"),
        ("MAX_FRAMES", 20, "30 frames: at most 20"),
    ],
)
def test_limits_are_kept(
    inference: ModuleType,
    code: SimpleNamespace,
    videos: dict[str, bytes],
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    said: str,
) -> None:
    # GIVEN a limit WHEN a video over it is sent THEN it is refused as too large
    monkeypatch.setattr(code.clip, limit, value)
    status, message = refused(inference, videos[".mp4"])
    assert status == 413
    assert said in message
    assert list(temporary.iterdir()) == []


def test_frames_are_counted_where_the_file_announces_none(
    inference: ModuleType, code: SimpleNamespace, videos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file that does not say how many frames it has, and a limit
    body = bytearray(videos[".avi"])
    for place in (body.index(b"avih") + 8 + 16, body.index(b"strh") + 8 + 32):
        struct.pack_into("<I", body, place, 0)
    monkeypatch.setattr(code.clip, "MAX_FRAMES", 20)

    # WHEN it is sent THEN the limit is kept all the same
    assert refused(inference, bytes(body))[0] == 413


def test_tiny_frames_are_refused(inference: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "tiny.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (8, 8))
    for _ in range(3):
        writer.write(np.zeros((8, 8, 3), np.uint8))
    writer.release()
    status, message = refused(inference, path.read_bytes())
    assert status == 400
    assert "8 x 8 pixels: at least 16" in message


def test_an_answer_that_cannot_be_written_is_refused_before_the_work(
    inference: ModuleType, videos: dict[str, bytes], temporary: Path
) -> None:
    # GIVEN a detector that must not be asked
    clip = inference.input_fn(videos[".mp4"], "video/mp4")
    asked = []
    results = (asked.append(frame) for frame in [1])

    # WHEN a picture is wanted THEN it is refused, nothing was detected, and the file is gone
    with pytest.raises(Exception, match="no answer can be written as 'image/png'") as caught:
        inference.output_fn(inference.Prediction(clip, results), "image/png")
    assert caught.value.status_code == 406
    assert asked == []
    assert list(temporary.iterdir()) == []


def test_the_file_is_private_and_removed(
    inference: ModuleType, videos: dict[str, bytes], temporary: Path
) -> None:
    # GIVEN a video that is being worked on
    clip = inference.input_fn(videos[".mp4"], "video/mp4")
    (folder,) = temporary.iterdir()
    # THEN only its owner can read it
    assert folder.stat().st_mode & 0o077 == 0

    # WHEN the answer is written THEN it is gone
    inference.output_fn(inference.predict_fn(clip, inference.model_fn("unused")), LINES)
    assert list(temporary.iterdir()) == []

    # AND a clip that nobody answers for is removed too
    clip = inference.input_fn(videos[".mp4"], "video/mp4")
    del clip
    assert list(temporary.iterdir()) == []


def outcome(inference: ModuleType, body: bytes) -> bytes | Exception:
    """The answer to a body, or why there is none."""
    try:
        return answer(inference, body)[0]
    except Exception as error:
        return error


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from([".mp4", ".avi"]),
    changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damaged_files_are_answered_or_refused_never_worse(
    inference: ModuleType,
    videos: dict[str, bytes],
    temporary: Path,
    ending: str,
    changes: list[tuple[float, int]],
) -> None:
    # GIVEN a video with some bytes changed, wherever
    body = bytearray(videos[ending])
    for place, value in changes:
        body[int(place * len(body))] = value

    # WHEN it is sent
    result = outcome(inference, bytes(body))

    # THEN it is answered in full, or refused as the sender's fault
    if isinstance(result, bytes):
        clip, frames = parse(result)
        assert clip["frames"] == len(frames) > 0
        assert all(math.isfinite(frame["time"]) for frame in frames)
    else:
        assert type(result).__name__ == "RequestError", repr(result)
        assert result.status_code in {400, 413, 415}  # type: ignore[attr-defined]
    assert list(temporary.iterdir()) == []
