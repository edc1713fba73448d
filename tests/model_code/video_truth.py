"""Clips with known truth, and how well a model's answer agrees with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.make_video import Clip, Conditions, Truth

LEAST_VISIBLE = 0.3
"""Objects of which less is to be seen count neither as missed nor as found."""


@dataclass(frozen=True)
class Score:
    """Detections against truth at intersection over union 0.5, over all frames.

    Args:
        right: Scores of the detections that are an object.
        wrong: Scores of those that are none.
        missed: Objects without a detection.
        switches: How often an object got another track than before.
    """

    right: list[float]
    wrong: list[float]
    missed: int
    switches: int

    @property
    def precision(self) -> float:
        return len(self.right) / max(1, len(self.right) + len(self.wrong))

    @property
    def recall(self) -> float:
        return len(self.right) / max(1, len(self.right) + self.missed)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.right + other.right,
            self.wrong + other.wrong,
            self.missed + other.missed,
            self.switches + other.switches,
        )


def make_clip(path: Path, **conditions: Any) -> tuple[bytes, list[list[Truth]]]:
    """A clip's file and the truth of its frames."""
    truth = Clip(Conditions(**conditions)).write(path)
    return path.read_bytes(), truth


def parse(answer: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The clip's properties and the frames of an answer in JSON lines."""
    first, *frames = (json.loads(line) for line in answer.decode().splitlines())
    return first["clip"], frames


def compare(frames: list[dict[str, Any]], truth: list[list[Truth]]) -> Score:
    """Match each frame's detections with the objects that are to be seen in it."""
    assert [frame["frame"] for frame in frames] == list(range(len(truth)))
    right: list[float] = []
    wrong: list[float] = []
    missed, switches = 0, 0
    tracks: dict[int, int] = {}
    for frame, objects in zip(frames, truth, strict=True):
        found = frame["detections"]
        overlap = _overlaps([entry["box"] for entry in objects], [entry["box"] for entry in found])
        matched = _match(overlap)
        hidden = {row for row, entry in enumerate(objects) if entry["visible"] < LEAST_VISIBLE}
        for row, entry in enumerate(objects):
            if row in matched:
                track = found[matched[row]]["track"]
                switches += tracks.get(entry["object"], track) != track
                tracks[entry["object"]] = track
            elif row not in hidden:
                missed += 1
        columns = {column: row for row, column in matched.items()}
        for column, entry in enumerate(found):
            if columns.get(column) in hidden:
                continue
            if column in columns:
                right.append(entry["score"])
            elif not any(overlap[row, column] > 0.2 for row in hidden):
                wrong.append(entry["score"])
    return Score(right, wrong, missed, switches)


def _match(overlap: NDArray[np.float64]) -> dict[int, int]:
    """Row to column, best pairs first."""
    left = overlap.copy()
    pairs: dict[int, int] = {}
    while left.size and left.max() >= 0.5:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        pairs[int(row)] = int(column)
        left[row], left[:, column] = 0, 0
    return pairs


def _overlaps(first: list[list[float]], second: list[list[float]]) -> NDArray[np.float64]:
    one, two = np.array(first).reshape(-1, 1, 4), np.array(second).reshape(1, -1, 4)
    low = np.maximum(one[..., :2], two[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    return shared / (one[..., 2:].prod(axis=-1) + two[..., 2:].prod(axis=-1) - shared)
