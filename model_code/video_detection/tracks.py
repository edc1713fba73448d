"""One tracked object: where it was seen, where it will be, how sure that is.

Each edge of the box has a position and a speed, which a Kalman filter follows; the four share one covariance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from background import Image
from boxes import Boxes
from numpy.typing import NDArray

#: Frames that an answer may wait for what comes after it.
LAG = 15
#: Frames without a sighting after which a track ends; gaps up to that are bridged.
MOST_MISSES = LAG
#: Sightings that make a track one that counts; one with fewer ends at its second miss.
CONFIRMED_AFTER = 4
TENTATIVE_MISSES = 2
#: Frames before and after that smooth a box.
SMOOTHING = 3
#: Standard deviations, in pixels: of a speed's change per frame, of a blob's edge, of a place found by looks.
_ACCELERATION, BLOB_ERROR, LOOKS_ERROR = 0.8, 1.0, 2.0
_FIRST_SPEED = 8.0
# how much less a frame counts in a score for each frame that it is away
_NEARNESS = 0.8
# an edge that is off by so many pixels, and such a share of the size, did not get there by moving
_JUMP, _JUMP_SHARE = 8.0, 0.2


@dataclass(frozen=True)
class Sighting:
    """A track in one frame.

    Args:
        frame: Index.
        box: Where.
        evidence: How clearly it was seen, 0 to 1.
        jump: Its size changed at once: one blob became several, or the other way round.
    """

    frame: int
    box: Boxes
    evidence: float
    jump: bool = False


@dataclass(frozen=True)
class Looks:
    """What an object looked like when it was last seen alone."""

    picture: Image
    mask: NDArray[np.bool_]


class Track:
    """An object over time.

    Args:
        first: Its first sighting.
    """

    def __init__(self, first: Sighting) -> None:
        #: Number that an answer gives it; None until it is confirmed.
        self.number: int | None = None
        self.looks: Looks | None = None
        self.misses = 0
        self.sightings = 1
        #: Frames in a row in which only a part of it was seen.
        self.partly_hidden = 0
        #: Width and height when all of it is to be seen.
        self.size = first.box[2:] - first.box[:2]
        self._seen: deque[Sighting] = deque([first], maxlen=LAG + MOST_MISSES + SMOOTHING + 2)
        self._edges: NDArray[np.float64] = np.stack([first.box, np.zeros(4)], axis=1)
        self._covariance = np.diag([BLOB_ERROR**2, _FIRST_SPEED**2])

    @property
    def confirmed(self) -> bool:
        """It was seen often enough to count."""
        return self.sightings >= CONFIRMED_AFTER

    @property
    def alive(self) -> bool:
        """It may still be seen again."""
        return self.misses <= (MOST_MISSES if self.confirmed else TENTATIVE_MISSES)

    @property
    def box(self) -> Boxes:
        """Where it is thought to be now."""
        return np.asarray(self._edges[:, 0])

    @property
    def last_seen(self) -> int:
        """Frame of the last sighting."""
        return self._seen[-1].frame

    def predict(self) -> None:
        """Go on to the next frame."""
        step = np.array([[1.0, 1.0], [0.0, 1.0]])
        push = np.array([[0.25, 0.5], [0.5, 1.0]]) * _ACCELERATION**2
        self._edges = self._edges @ step.T
        self._covariance = step @ self._covariance @ step.T + push

    def see(self, sighting: Sighting, error: float) -> None:
        """Take up where it was seen in this frame.

        Args:
            sighting: Where.
            error: Standard deviation of an edge's place, pixels.
        """
        surprise = sighting.box - self._edges[:, 0]
        if np.abs(surprise).max() > max(_JUMP, _JUMP_SHARE * float((self.box[2:] - self.box[:2]).max())):
            sighting = replace(sighting, jump=True)
            self.keep_size()
            self._edges[:, 0] = sighting.box
        else:
            gain = self._covariance[:, 0] / (self._covariance[0, 0] + error**2)
            self._edges += np.outer(surprise, gain)
            self._covariance -= np.outer(gain, self._covariance[0])
        self._seen.append(sighting)
        self.sightings += 1
        self.misses = 0

    def miss(self) -> None:
        """Go without a sighting in this frame: the box keeps its size and goes on."""
        self.misses += 1
        self.partly_hidden = 0
        self.keep_size()

    def keep_size(self) -> None:
        """Let opposite edges go on at one speed."""
        for low, high in ((0, 2), (1, 3)):
            self._edges[[low, high], 1] = self._edges[[low, high], 1].mean()

    def at(self, frame: int) -> tuple[Boxes, float] | None:
        """Box and score in a frame, from sightings before and after it; None when it was not there."""
        score = self._score(frame)
        around = self._stretch(frame)
        if around:
            return _local_line(around, frame), score
        before = [seen for seen in self._seen if seen.frame < frame]
        after = [seen for seen in self._seen if seen.frame > frame]
        if not before or not after:
            return None
        first, last = before[-1], after[0]
        share = (frame - first.frame) / (last.frame - first.frame)
        return first.box + share * (last.box - first.box), score

    def _stretch(self, frame: int) -> list[Sighting]:
        """Sightings close to a frame, from one jump to the next; none without one of the frame itself."""
        stretch: list[Sighting] = []
        for seen in self._seen:
            if seen.jump:
                if stretch and stretch[-1].frame >= frame:
                    break
                stretch = []
            if abs(seen.frame - frame) <= SMOOTHING:
                stretch.append(seen)
        return stretch if any(seen.frame == frame for seen in stretch) else []

    def _score(self, frame: int) -> float:
        """Mean evidence of the frames around, nearer ones counting more; one without a sighting has none."""
        # frames before its first and after its last sighting tell nothing
        span = range(self._seen[0].frame, self._seen[-1].frame + 1)
        weight = sum(_NEARNESS ** abs(index - frame) for index in span)
        evidence = sum(seen.evidence * _NEARNESS ** abs(seen.frame - frame) for seen in self._seen)
        return float(evidence / weight * (1 - 0.5 ** (self.sightings / 3)))


def _local_line(around: list[Sighting], frame: int) -> Boxes:
    """Smooth a box: the straight line through those around it, nearer ones counting more."""
    when = np.array([seen.frame - frame for seen in around], float)
    boxes = np.array([seen.box for seen in around])
    weights = SMOOTHING + 1 - np.abs(when)
    weights /= weights.sum()
    middle, mean = weights @ when, weights @ boxes
    spread = weights @ (when - middle) ** 2
    if spread == 0:
        return np.asarray(mean)
    slope = (weights * (when - middle)) @ boxes / spread
    return np.asarray(mean - slope * middle)
