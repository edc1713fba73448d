"""Measure the video model on clips with known truth, and print the tables of docs/models/video-detection.md.

    python -m tools.measure_video --seeds 8

Precision and recall count a detection as right from an intersection over union of 0.5 on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.make_video import Clip, Conditions, Truth

MODEL_CODE = Path(__file__).resolve().parents[1] / "model_code"
KINDS: dict[str, dict[str, Any]] = {
    "clean": {},
    "noise, 8 grey levels": {"noise": 8.0},
    "light drifts to 65 % and back": {"light": "drift"},
    "light switches to 70 %": {"light": "switch"},
    "light flickers by 4 %": {"light": "flicker"},
    "cast shadows": {"shadows": True},
    "half the contrast": {"contrast": 35.0},
    "Motion JPEG, quality 25": {"quality": 25},
    "objects of 10 to 24 pixels": {"smallest": 10, "largest": 24},
    "objects stop for a second": {"pauses": True},
    "crowd of 20": {"objects": 20},
}
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
        """Share of the detections that are right, 0 to 1."""
        return len(self.right) / max(1, len(self.right) + len(self.wrong))

    @property
    def recall(self) -> float:
        """Share of the objects that were found, 0 to 1."""
        return len(self.right) / max(1, len(self.right) + self.missed)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.right + other.right,
            self.wrong + other.wrong,
            self.missed + other.missed,
            self.switches + other.switches,
        )


def parse(answer: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The clip's properties and the frames of an answer in JSON lines."""
    first, *frames = (json.loads(line) for line in answer.decode().splitlines())
    return first["clip"], frames


def compare(frames: list[dict[str, Any]], truth: list[list[Truth]]) -> Score:
    """Match each frame's detections with the objects that are to be seen in it.

    Args:
        frames: Frames of an answer.
        truth: What is in them.

    Raises:
        ValueError: The answer has other frames than the clip.
    """
    if [frame["frame"] for frame in frames] != list(range(len(truth))):
        raise ValueError(f"the answer's frames are not 0 to {len(truth) - 1}, in order")
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


def load_model() -> ModuleType:
    """The model's handler functions, imported as in its container."""
    for folder in ("shared", "video_detection"):
        sys.path.insert(0, str(MODEL_CODE / folder))
    import inference  # type: ignore[import-not-found]

    return inference  # type: ignore[no-any-return]


def detect(inference: ModuleType, body: bytes) -> bytes:
    """The answer to a video, in JSON lines."""
    prediction = inference.predict_fn(inference.input_fn(body, None), inference.model_fn(""))
    answer: bytes = inference.output_fn(prediction, "application/jsonlines")[0]
    return answer


def measure_kind(
    inference: ModuleType, conditions: dict[str, Any], seeds: Iterable[int]
) -> tuple[Score, float]:
    """Score over clips of one kind, and frames per second."""
    total, frames, seconds = Score([], [], 0, 0), 0, 0.0
    ending = ".avi" if "quality" in conditions else ".mp4"
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            path = Path(folder, f"clip{ending}")
            truth = Clip(Conditions(seed=seed, **conditions)).write(path)
            body = path.read_bytes()
            started = time.process_time()
            answer = detect(inference, body)
            seconds += time.process_time() - started
            frames += len(truth)
            total += compare(parse(answer)[1], truth)
    return total, frames / seconds


def peak_memory(frames: int, width: int, height: int) -> int:
    """Bytes of a process that detects in a clip so long, at their peak, its imports included (Linux only)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        Clip(Conditions(frames=frames, width=width, height=height)).write(path)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return int(pool.apply(_peak_of_this_process, (path,)))


def _peak_of_this_process(path: Path) -> int:
    detect(load_model(), path.read_bytes())
    # not getrusage: its peak also holds what the process was before it became another program
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main(arguments: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="measure_video.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8, help="clips of each kind (default: 8)")
    seeds = range(1, parser.parse_args(arguments).seeds + 1)
    inference = load_model()
    print("| Clips | Precision | Recall | Changes of track | Frames per second of processor time |")
    print("|---|---|---|---|---|")
    everything = Score([], [], 0, 0)
    for name, conditions in KINDS.items():
        score, rate = measure_kind(inference, conditions, seeds)
        everything += score
        row = f"| {name} | {score.precision:.3f} | {score.recall:.3f} | {score.switches} | {rate:.0f} |"
        print(row, flush=True)
    print("\n| Score | Detections | Of them right |\n|---|---|---|")
    for low in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9):
        high = {0.8: 0.9, 0.9: 1.01}.get(low, low + 0.2)
        right, wrong = (
            sum(low <= score < high for score in scores) for scores in (everything.right, everything.wrong)
        )
        share = f"{right / (right + wrong):.2f}" if right + wrong else ""
        print(f"| {low:.1f} to {min(high, 1):.1f} | {right + wrong:,} | {share} |")
    print("\n| Clip | Peak memory of the process |\n|---|---|")
    for frames, width, height in ((250, 640, 360), (2500, 640, 360), (250, 1920, 1080), (100, 3840, 2160)):
        mib = peak_memory(frames, width, height) / 2**20
        print(f"| {frames:,} frames of {width} x {height} | {mib:.0f} MiB |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
