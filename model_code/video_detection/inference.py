"""Moving objects in a video: the four handler functions that AWS's model servers call.

In: a video (MP4, MOV or AVI) as the request's body. Out: lines of JSON, see `answer`. Bad requests are
refused with a 4xx status. The work is done while the answer is written, frame by frame, and the clip's file
is removed with it, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import cv2
from answer import write_answer
from client_errors import refuse
from clip import Clip
from cores import worker_cores
from detector import WORKING_SIDE, Detector, FrameResult
from wire import content_kind

#: What a request may call its body. What counts is what the file is.
CONTENT_TYPES = (
    "video/mp4",
    "video/quicktime",
    "video/x-msvideo",
    "video/avi",
    "application/octet-stream",
)


@dataclass(frozen=True)
class Prediction:
    """A clip, and what is in its frames: the frames are worked on as they are asked for."""

    clip: Clip
    results: Iterator[FrameResult]


def model_fn(model_dir: str) -> Detector:
    """Return the detector, which needs no weights, and take the processor cores that the container has."""
    cv2.setNumThreads(worker_cores())
    return Detector()


def input_fn(input_data: bytes | bytearray | str, content_type: str | None) -> Clip:
    """Put the video into a temporary file and look whether it is one.

    Raises:
        RequestError: 415 for another kind of content, 413 over a limit, 400 for a broken file.
    """
    content_kind(content_type or "application/octet-stream", CONTENT_TYPES)
    if isinstance(input_data, str):
        refuse("the body is text: send a video file (MP4, MOV or AVI)")
    return Clip(input_data, WORKING_SIDE)


def predict_fn(clip: Clip, detector: Detector) -> Prediction:
    """Begin to detect; nothing is decoded before the answer is written."""
    return Prediction(clip, detector.detect(clip))


def output_fn(prediction: Prediction, accept: str | None) -> tuple[bytes, str]:
    """Detect, and return the answer's body and content type.

    Raises:
        RequestError: 406 for another kind of answer, 413 over a limit, 400 for a broken file.
    """
    with closing(prediction.clip):
        return write_answer(prediction.clip, prediction.results, accept)
