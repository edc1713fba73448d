"""What a scene looks like without its objects, and where a frame differs from that.

For each pixel: a colour and how much it varies. Both come from frames spread over the whole clip, so that
objects which are there at the start do not become part of the scene; then they follow slow changes. Each
frame is first compared as a whole: a change of light multiplies all colours, and is divided out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

#: Share of a new frame in the scene's colours, where no object is.
LEARNING_RATE = 0.03
#: The same under objects: what stands still for minutes becomes part of the scene.
LEARNING_RATE_UNDER_OBJECTS = 0.0005
#: A difference counts from so many standard deviations, and so many grey levels, on.
WEAK_DEVIATIONS, WEAK_LEVELS = 4.0, 10.0
#: Pixels that differ weakly count if others that hang together with them differ so much.
STRONG_DEVIATIONS, STRONG_LEVELS = 8.0, 22.0
#: If more of a frame differs, then the whole picture changed and not the objects in it.
UPHEAVAL = 0.6
#: After so many such frames in a row it is another scene; fewer are a flash or a disturbance.
PATIENCE = 20
_LEAST_DEVIATION = 1.5
_DARK = 12.0
_LEAST_USABLE = 50
# a black frame, or a white one, is no other light but another picture
_MOST_GAIN = np.float32(8)


@dataclass(frozen=True)
class Difference:
    """Where and how a frame differs from its scene.

    Args:
        weak: Pixels that may belong to objects, 255 or 0.
        strong: Those of them that surely do.
        deviations: How far each pixel is from the scene, in standard deviations.
        frame: The frame, noise reduced.
        scene: The scene as it looks in this frame's light.
    """

    weak: Image
    strong: Image
    deviations: Plane
    frame: Plane
    scene: Plane


class Background:
    """The scene, as learned so far.

    Args:
        samples: Frames spread over the clip, at least one.
    """

    def __init__(self, samples: list[Image]) -> None:
        smooth = [_smoothed(sample) for sample in samples]
        colours, deviations = _middle(smooth)
        self._colours = colours
        self._deviations = deviations
        self._objects = np.zeros(colours.shape[:2], np.uint8)
        self._disturbed: list[Image] = []

    def compare(self, frame: Image) -> Difference | None:
        """Return where a frame differs; None when nearly all of it does, so that it tells nothing."""
        picture = _smoothed(frame).astype(np.float32)
        self._gain = _gain(picture, self._colours, self._objects)
        scene = self._colours * self._gain
        levels = _largest(cv2.absdiff(picture, scene))
        deviations = levels / self._deviations
        weak = _above(deviations, WEAK_DEVIATIONS, levels, WEAK_LEVELS)
        self._picture, self._levels = picture, levels
        if cv2.countNonZero(weak) > UPHEAVAL * weak.size:
            return None
        strong = _above(deviations, STRONG_DEVIATIONS, levels, STRONG_LEVELS)
        return Difference(weak, strong, deviations, picture, scene)

    def learn(self, objects: Image | None) -> None:
        """Follow the frame that was compared last.

        Args:
            objects: 255 where objects are; None after an upheaval: if those last, the scene is learned anew.
        """
        if objects is None:
            self._disturbed.append(self._picture.astype(np.uint8))
            if len(self._disturbed) >= PATIENCE:
                self._colours, self._deviations = _middle(self._disturbed)
                self._objects[:] = 0
                self._disturbed.clear()
            return
        self._disturbed.clear()
        seen = self._picture / self._gain
        free = cv2.bitwise_not(objects)
        # the largest of three absolute normal deviates has a mean of 1.3 standard deviations
        cv2.accumulateWeighted(self._levels / np.float32(1.3), self._deviations, LEARNING_RATE / 2, free)
        np.maximum(self._deviations, _LEAST_DEVIATION, out=self._deviations)
        cv2.accumulateWeighted(seen, self._colours, LEARNING_RATE, free)
        cv2.accumulateWeighted(seen, self._colours, LEARNING_RATE_UNDER_OBJECTS, objects)
        self._objects = objects


def _smoothed(frame: Image) -> Image:
    """Less noise, and less of the blocks that compression leaves."""
    return cv2.GaussianBlur(frame, (3, 3), 0)


def _largest(channels: Plane) -> Plane:
    """The largest channel of each pixel."""
    first, second, third = cv2.split(channels)
    return np.asarray(cv2.max(cv2.max(first, second), third))


def _above(deviations: Plane, least_deviations: float, levels: Plane, least_levels: float) -> Image:
    """255 where both are above their limits."""
    far = cv2.compare(deviations, least_deviations, cv2.CMP_GT)
    return np.asarray(cv2.bitwise_and(far, cv2.compare(levels, least_levels, cv2.CMP_GT)))


def _gain(picture: Plane, scene: Plane, objects: Image) -> Plane:
    """By how much each channel is brighter than the scene, from pixels without objects."""
    apart = _stride(*objects.shape)
    small, base = picture[::apart, ::apart], scene[::apart, ::apart]
    usable = (objects[::apart, ::apart] == 0) & (base > _DARK).all(axis=2)
    if np.count_nonzero(usable) < _LEAST_USABLE:
        return np.ones(3, np.float32)
    ratios = (small[usable] / base[usable]).T
    middle = np.array([np.median(ratio) for ratio in ratios], np.float32)
    return np.clip(middle, 1 / _MOST_GAIN, _MOST_GAIN)


def _stride(height: int, width: int) -> int:
    """Every how many pixels to look, so that some thousands are looked at."""
    return max(1, int((height * width / 4000) ** 0.5))


def _middle(samples: list[Image]) -> tuple[Plane, Plane]:
    """Median colour and robust standard deviation of each pixel, all samples brought to one light."""
    height, width = samples[0].shape[:2]
    # the one of middling brightness sets the light
    reference = sorted(samples, key=lambda sample: float(sample[::8, ::8].mean()))[len(samples) // 2]
    nothing = np.zeros((height, width), np.uint8)
    base = reference.astype(np.float32)
    gains = [_gain(sample.astype(np.float32), base, nothing) for sample in samples]
    colours = np.empty((height, width, 3), np.float32)
    deviations = np.empty((height, width), np.float32)
    rows = max(1, 2_000_000 // (len(samples) * width * 3))  # a few rows at a time bound the memory
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        stack = np.stack(
            [sample[strip] / gain for sample, gain in zip(samples, gains, strict=True)], dtype=np.float32
        )
        middle = np.median(stack, axis=0)
        spread = _largest(np.median(np.abs(stack - middle), axis=0))
        colours[strip], deviations[strip] = middle, 1.4826 * spread
    return colours, np.maximum(deviations, _LEAST_DEVIATION)
