"""Reads the video model's answer: a line of JSON for the clip, then one for each frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from client.errors import UserError

_EXPECTED = (
    'Expected {"frame": 0, "time": 0.0, "detections": [{"box": [x, y, w, h], "score": 0.9, "track": 1}]}.'
)


@dataclass(frozen=True)
class Detection:
    """An object in a frame: box [x, y, w, h] in pixels of the video, score 0 to 1, number of its track."""

    box: tuple[float, float, float, float]
    score: float
    track: int


@dataclass(frozen=True)
class DetectedFrame:
    """What was detected in a frame: its index from 0, its time in seconds, the objects."""

    index: int
    time: float
    detections: tuple[Detection, ...]


@dataclass(frozen=True)
class Detections:
    """An answer of the video model.

    Args:
        width: Pixels of the video's frames.
        height: Pixels of the video's frames.
        frames: One entry for each frame.
    """

    width: int
    height: int
    frames: tuple[DetectedFrame, ...]

    @property
    def objects(self) -> int:
        """How many tracks there are."""
        return len({found.track for frame in self.frames for found in frame.detections})


def read_detections(answer: bytes) -> Detections:
    """Read an answer in JSON lines: the clip first, then a line for each frame.

    Raises:
        UserError: It is something else; the message tells the line.
    """
    lines = answer.splitlines()
    if not lines:
        raise UserError("The answer is empty", "Expected a line of JSON for the clip and one for each frame.")
    clip = _line(lines[0], 1)
    try:
        width, height = int(clip["clip"]["width"]), int(clip["clip"]["height"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            "Line 1 of the answer does not describe a clip",
            'Expected {"clip": {"width": 640, "height": 360}}.',
        ) from None
    frames = tuple(_frame(_line(text, number), number) for number, text in enumerate(lines[1:], 2))
    return Detections(width, height, frames)


def _line(text: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"Line {number} of the answer is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"Line {number} of the answer is not a JSON object")
    return value


def _frame(value: dict[str, Any], number: int) -> DetectedFrame:
    try:
        detections = tuple(
            Detection(_box(found["box"]), float(found["score"]), int(found["track"]))
            for found in value["detections"]
        )
        return DetectedFrame(int(value["frame"]), float(value["time"]), detections)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"Line {number} of the answer is not a frame ({type(error).__name__}: {error})", _EXPECTED
        ) from None


def _box(value: Any) -> tuple[float, float, float, float]:
    x, y, w, h = (float(part) for part in value)
    return x, y, w, h
