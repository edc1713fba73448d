"""A request's body as a clip: in a private temporary file, decoded frame by frame, within limits."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

# no network and no other files, whatever a video's headers say; its errors are told in words of our own
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "protocol_whitelist;file"
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

import cv2
import numpy as np
from client_errors import refuse
from container_format import file_suffix
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""``[height, width, 3]``: blue, green, red."""

#: Bytes of a request at most. The whole body is in memory, as the model server hands it over.
MAX_BODY_BYTES = 512 * 1024 * 1024
#: Pixels of a frame at most: DCI 4K.
MAX_FRAME_PIXELS = 4096 * 2160
#: Frames at most: half an hour at 30 frames per second.
MAX_FRAMES = 54_000
#: Shorter side of a frame at least.
MIN_FRAME_SIDE = 16
#: Frames may be missing at the end, as a share of those announced, before the file counts as damaged: some
#: writers announce an estimate.
_MISSING_FRAMES = 0.05
_DEFAULT_RATE = 25.0
_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@dataclass(frozen=True)
class Survey:
    """What a first pass over a clip found.

    Args:
        frames: How many there are.
        samples: Some of them, evenly spread, in order, reduced to `Clip.working_size`.
    """

    frames: int
    samples: list[Image]


class Clip:
    """A video that can be decoded, from its first frame on, as often as wanted.

    Close it, or let it be collected: both remove its file.

    Args:
        body: The whole file.
        longest_side: Frames are worked on at this size; larger ones are reduced.

    Raises:
        RequestError: 400, 413 or 415: the body is not a video that this code takes.
    """

    def __init__(self, body: bytes | bytearray, longest_side: int) -> None:
        if not body:
            refuse("the body is empty: send a video file (MP4, MOV or AVI)")
        if len(body) > MAX_BODY_BYTES:
            refuse(f"the body has {len(body):,} bytes: at most {MAX_BODY_BYTES:,}", _TOO_LARGE)
        suffix = file_suffix(body)
        folder = tempfile.mkdtemp(prefix="clip-")  # readable for this user only
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        try:
            self._path = Path(folder, f"video{suffix}")
            self._path.write_bytes(body)
            with self._capture() as capture:
                self._read_properties(capture, longest_side)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the file; may be called again."""
        self._remove()

    def _read_properties(self, capture: cv2.VideoCapture, longest_side: int) -> None:
        claimed = [int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if math.prod(claimed) > MAX_FRAME_PIXELS:
            pixels = f"{claimed[0]} x {claimed[1]} pixels"
            refuse(f"frames have {pixels}: at most {MAX_FRAME_PIXELS:,} pixels", _TOO_LARGE)
        rate = capture.get(cv2.CAP_PROP_FPS)
        #: Frames per second.
        self.rate = float(rate) if math.isfinite(rate) and 0 < rate <= 1000 else _DEFAULT_RATE
        self._announced = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        if self._announced > MAX_FRAMES:
            refuse(f"the video has {self._announced:,} frames: at most {MAX_FRAMES:,}", _TOO_LARGE)
        there, first = capture.read()
        if not there or first is None:
            refuse(
                "the video holds no frame that can be decoded: it is empty, damaged or of an unknown codec"
            )
        #: Pixels of a frame, as shown (a turned camera's picture is turned back).
        self.height, self.width = first.shape[:2]
        if min(self.width, self.height) < MIN_FRAME_SIDE:
            refuse(f"frames have {self.width} x {self.height} pixels: at least {MIN_FRAME_SIDE} on each side")
        scale = min(1.0, longest_side / max(self.width, self.height))
        #: Width and height that frames are worked on with.
        self.working_size = max(1, round(self.width * scale)), max(1, round(self.height * scale))

    def survey(self, samples: int) -> Survey:
        """Decode the whole clip once, and keep some frames.

        Args:
            samples: How many to keep at least, if there are as many; at most twice as many are kept.

        Raises:
            RequestError: 400, frames are missing; 413, there are too many.
        """
        kept: list[Image] = []
        every = 1
        frames = 0
        with self._capture() as capture:
            while capture.grab():
                _check_count(frames)
                if frames % every == 0:
                    there, frame = capture.retrieve()
                    if there:
                        kept.append(self._reduced(frame, frames))
                    if len(kept) == 2 * samples:
                        kept = kept[::2]
                        every *= 2
                frames += 1
        self._check_complete(frames)
        if not kept:
            refuse("no frame of the video can be decoded: it is damaged")
        return Survey(frames, kept)

    def frames(self) -> Iterator[tuple[float, Image]]:
        """Yield time in seconds and picture of each frame, reduced to `working_size`.

        Raises:
            RequestError: 400, frames differ in size, or some are missing at the end; 413, too many frames.
        """
        with self._capture() as capture:
            index, last = 0, -1.0
            while True:
                there, frame = capture.read()
                if not there or frame is None:
                    break
                _check_count(index)
                time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # a clock that stands still or goes back is none
                if not math.isfinite(time) or time <= last:
                    time = last + 1 / self.rate if index else 0.0
                last = time
                yield time, self._reduced(frame, index)
                index += 1
        self._check_complete(index)

    def _check_complete(self, frames: int) -> None:
        if frames < self._announced * (1 - _MISSING_FRAMES) - 2:
            refuse(
                f"the video ends after {frames:,} frames, but announces {self._announced:,}: "
                "it is truncated or damaged; send the whole file"
            )

    def _reduced(self, frame: Image, index: int) -> Image:
        if frame.shape[:2] != (self.height, self.width):
            size = f"{frame.shape[1]} x {frame.shape[0]}"
            refuse(f"frame {index} has {size} pixels, the first one {self.width} x {self.height}")
        if self.working_size == (self.width, self.height):
            return frame
        return cv2.resize(frame, self.working_size, interpolation=cv2.INTER_AREA)

    @contextmanager
    def _capture(self) -> Iterator[cv2.VideoCapture]:
        if not self._remove.alive:
            raise ValueError("the clip is closed")
        threads = [cv2.CAP_PROP_N_THREADS, cv2.getNumThreads()]
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, threads)
        try:
            if not capture.isOpened():
                refuse("the video cannot be opened: it is damaged, or has no video track that can be decoded")
            yield capture
        finally:
            capture.release()


def _check_count(frames_before: int) -> None:
    if frames_before >= MAX_FRAMES:
        refuse(f"the video has more than {MAX_FRAMES:,} frames, the most allowed", _TOO_LARGE)
