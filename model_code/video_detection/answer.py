"""The answer: a line of JSON for the clip, then one for each frame.

    {"clip": {"width": 640, "height": 360, "frames_per_second": 25.0, "frames": 200, ...}}
    {"frame": 0, "time": 0.0, "detections": [{"box": [104.2, 51.0, 82.1, 54.3], "score": 0.97, "track": 1}]}

`docs/models/video-detection.md` of the repository explains each member.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from clip import Clip
from detector import FrameResult
from wire import JSON, JSON_LINES, answer_kind


def write_answer(clip: Clip, results: Iterable[FrameResult], accept: str | None) -> tuple[bytes, str]:
    """Return body and content type.

    Args:
        clip: Where the results come from; its pixels are those of the boxes.
        results: What is in each frame, taken as they come.
        accept: The Accept header: ``application/jsonlines``, or ``application/json`` for a list of the same
            objects.

    Raises:
        RequestError: 406, neither is accepted; and what `results` raises.
    """
    kind = answer_kind(accept or JSON_LINES, (JSON_LINES, JSON))
    scale = clip.width / clip.working_size[0], clip.height / clip.working_size[1]
    # one growing text, not an object for each frame: this is all that grows with the clip
    text = bytearray()
    between = b",\n" if kind == JSON else b"\n"
    frames, objects, end = 0, 0, 0.0
    for result in results:
        text += between + _dumps(_frame(result, scale))
        frames, end = frames + 1, result.time + 1 / clip.rate
        objects = max([objects, *(detection.track for detection in result.detections)])
    first = {
        "clip": {
            "width": clip.width,
            "height": clip.height,
            "frames_per_second": round(clip.rate, 3),
            "frames": frames,
            "seconds": round(end, 3),
            "objects": objects,
        }
    }
    opening, closing = (b"[", b"]") if kind == JSON else (b"", b"\n")
    text[:0] = opening + _dumps(first)
    text += closing
    return bytes(text), kind


def _frame(result: FrameResult, scale: tuple[float, float]) -> dict[str, Any]:
    detections = []
    for detection in result.detections:
        left, top, right, bottom = (float(edge) for edge in detection.box)
        box = left * scale[0], top * scale[1], (right - left) * scale[0], (bottom - top) * scale[1]
        detections.append(
            {
                "box": [round(value, 1) for value in box],
                "score": round(detection.score, 3),
                "track": detection.track,
            }
        )
    return {"frame": result.index, "time": round(result.time, 3), "detections": detections}


def _dumps(value: Any) -> bytes:
    return json.dumps(value).encode()
