"""docs/models/video-detection.md says what is so: limits, the example, the code for another model."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from client.detections import read_detections
from tests.model_code.video_truth import make_clip, parse

MODEL = "video_detection"

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models" / "video-detection.md").read_text("utf-8")


def block(language: str, holding: str) -> str:
    """The code block of the page that holds some words, without its indentation."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [(indent, text) for indent, text in blocks if holding in text]
    indent, text = found
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def test_the_example_is_an_answer() -> None:
    # GIVEN the page's example WHEN the client reads it THEN it can
    read = read_detections(block("", '"clip"').encode())
    assert (read.width, read.height, len(read.frames)) == (640, 360, 2)
    assert read.frames[0].detections[0].track == 1


def test_the_example_has_the_members_that_answers_have(inference: ModuleType, tmp_path: Path) -> None:
    # GIVEN an answer
    size = {"width": 128, "height": 96, "smallest": 20, "largest": 40}
    body, _ = make_clip(tmp_path / "clip.mp4", frames=40, objects=3, seed=3, **size)
    model = inference.model_fn("unused")
    answer, _ = inference.output_fn(inference.predict_fn(inference.input_fn(body, None), model), None)
    clip, frames = parse(answer)

    # THEN it has the members of the example, no others
    first, second, _ = (json.loads(line) for line in block("", '"clip"').splitlines())
    assert list(clip) == list(first["clip"])
    assert list(frames[0]) == list(second)
    detection = next(entry for frame in frames for entry in frame["detections"])
    assert list(detection) == list(second["detections"][0])


def test_limits_are_those_of_the_code(code: SimpleNamespace) -> None:
    # GIVEN the page's words on limits THEN they are the code's
    assert code.clip.MAX_BODY_BYTES == 512 * 1024**2
    assert code.clip.MAX_FRAME_PIXELS == 4096 * 2160
    for said in (
        "body over 512 MiB",
        "over 4096 x 2160 pixels",
        f"over {code.clip.MAX_FRAMES:,} frames",
        f"frames under {code.clip.MIN_FRAME_SIDE} pixels",
        f"a frame has {code.tracker.MOST_DETECTIONS} at most",
        f"keeps {code.detector.SAMPLES} to {2 * code.detector.SAMPLES - 1} of them",
        f"waits for {code.tracks.LAG} frames",
        f"longer side exceeds {code.detector.WORKING_SIDE} pixels",
        *(f"`{kind}`" for kind in code.inference.CONTENT_TYPES),
    ):
        assert said in " ".join(PAGE.split()), said


class Tensor:
    """As much of torch's tensors as the page's code uses, on an array."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def to(self, device: object) -> Tensor:
        return self

    def permute(self, *order: int) -> Tensor:
        return Tensor(self.array.transpose(order))

    def float(self) -> Tensor:
        return Tensor(self.array.astype(np.float32))

    def double(self) -> Tensor:
        return Tensor(self.array.astype(np.float64))

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self.array

    def __truediv__(self, other: float) -> Tensor:
        return Tensor(self.array / other)

    def __gt__(self, other: float) -> Tensor:
        return Tensor(self.array > other)

    def __getitem__(self, key: Tensor) -> Tensor:
        return Tensor(self.array[key.array])


class Network:
    """Finds what is much redder than the rest, and something doubtful."""

    def __call__(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        (image,) = images
        assert image.array.shape[0] == 3
        assert 0 <= image.array.min() <= image.array.max() <= 1
        rows, columns = np.nonzero(image.array[0] - image.array[2] > 0.5)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [{"boxes": Tensor([box, [0, 0, 5, 5]]), "scores": Tensor([0.9, 0.2])}]

    def load_state_dict(self, weights: str) -> None:
        assert weights == "weights"

    def eval(self) -> Network:
        return self

    def to(self, device: object) -> Network:
        return self


def stand_ins() -> dict[str, ModuleType]:
    """Modules in torch's place."""
    torch, detection = ModuleType("torch"), ModuleType("torchvision.models.detection")
    values = {
        "device": lambda name: name,
        "cuda": SimpleNamespace(is_available=lambda: False),
        "load": lambda path, map_location, weights_only: "weights",
        "inference_mode": lambda: lambda function: function,
        "from_numpy": Tensor,
    }
    for name, value in values.items():
        setattr(torch, name, value)
    detection.maskrcnn_resnet50_fpn_v2 = lambda weights, weights_backbone: Network()  # type: ignore[attr-defined]
    return {
        "torch": torch,
        "torchvision": ModuleType("torchvision"),
        "torchvision.models": ModuleType("torchvision.models"),
        "torchvision.models.detection": detection,
    }


def test_the_code_for_another_detector_fits(
    code: SimpleNamespace, imported: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # GIVEN the page's detector.py, a network in place of Mask R-CNN, and a video of a red thing that moves
    for name, module in stand_ins().items():
        monkeypatch.setitem(sys.modules, name, module)
    detector = ModuleType("detector")
    monkeypatch.setitem(sys.modules, "detector", detector)  # dataclasses look their module up
    exec(compile(block("python", "class Detector"), "detector.py", "exec"), detector.__dict__)
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (128, 96))
    for index in range(20):
        picture = np.full((96, 128, 3), 90, np.uint8)
        picture[32:64, 2 * index : 2 * index + 32] = (20, 20, 230)
        writer.write(picture)
    writer.release()

    # WHEN it takes the place of the model between the handlers that stay
    clip = code.clip.Clip(path.read_bytes(), detector.WORKING_SIDE)
    results = detector.Detector("unused").detect(clip)
    answer, _ = code.answer.write_answer(clip, results, "application/jsonlines")

    # THEN the answer has each frame, the sure detections only, and one track
    _, frames = parse(answer)
    assert len(frames) == 20
    assert {entry["track"] for frame in frames for entry in frame["detections"]} == {1}
    assert frames[10]["detections"][0]["box"] == pytest.approx([20, 32, 32, 32], abs=4)
    assert frames[10]["detections"][0]["score"] == 0.9
