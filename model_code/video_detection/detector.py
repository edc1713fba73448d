"""The model: moving objects of a clip, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from background import Background
from blobs import find_blobs
from clip import Clip
from tracker import Detection, Tracker
from tracks import LAG

#: Frames are reduced so that their longer side has at most so many pixels.
WORKING_SIDE = 640
#: Frames at least, if there are as many, from which the scene without objects is made.
SAMPLES = 16


@dataclass(frozen=True)
class FrameResult:
    """What is in a frame: its index from 0, its time in seconds, the objects."""

    index: int
    time: float
    detections: list[Detection]


class Detector:
    """Detects objects by what moves before a still camera."""

    def detect(self, clip: Clip) -> Iterator[FrameResult]:
        """Yield the result of each frame, in order; memory does not grow with the clip's length.

        Raises:
            RequestError: 400 or 413, the clip is damaged or too long.
        """
        survey = clip.survey(SAMPLES)
        background = Background(survey.samples)
        del survey
        tracker = Tracker(*clip.working_size)
        waiting: deque[tuple[int, float]] = deque()
        for index, (time, picture) in enumerate(clip.frames()):
            tracker.expect()
            difference = background.compare(picture)
            if difference is None:
                tracker.miss()
                background.learn(None)
            else:
                blobs = find_blobs(difference)
                tracker.see(index, blobs, picture)
                background.learn(blobs.mask)
            waiting.append((index, time))
            if len(waiting) > LAG:
                yield _result(tracker, *waiting.popleft())
        while waiting:
            yield _result(tracker, *waiting.popleft())


def _result(tracker: Tracker, index: int, time: float) -> FrameResult:
    return FrameResult(index, time, tracker.detections(index))
