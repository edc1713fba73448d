"""From differing pixels to blobs: what hangs together, without specks and without shadows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from background import Difference, Image
from boxes import Boxes
from numpy.typing import NDArray

#: Smallest blob, as a share of the frame, and in pixels.
LEAST_SHARE, LEAST_PIXELS = 0.0002, 30
#: Blobs of a frame at most, the largest ones: bounds time and answer for hopeless pictures.
MOST_BLOBS = 100
#: Share of a blob's pixels that must differ strongly.
LEAST_STRONG = 0.1
#: A shadow leaves between so much of the light and ...
SHADOW_LIGHT = (0.4, 0.95)
#: ... changes colour and texture by no more than this (ratios to the scene).
SHADOW_COLOUR, SHADOW_TEXTURE = 0.08, 0.05
#: Most of a shadow is equally dark, within this (ratio to the scene).
SHADOW_EVENNESS, SHADOW_SHARE_EVEN = 0.08, 0.8
#: What remains without shadow must be so much of a blob, or it is no shadow but a dark thing.
LEAST_CORE = 0.3
# a box that is filled so far is full evidence; so many deviations are most of it
_FULL, _CLEAR = 0.6, 8.0
_CLOSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_EDGE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
_OPEN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))


@dataclass(frozen=True)
class Blob:
    """Pixels that hang together.

    Args:
        box: Around them.
        evidence: How clearly they are an object, 0 to 1: a filled box, far from the scene's own variation.
        labels: Their numbers in `Blobs.labels`.
    """

    box: Boxes
    evidence: float
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Blobs:
    """Blobs of a frame.

    Args:
        found: The blobs, the largest first.
        labels: Number of the blob that each pixel belongs to, 0 where there is none.
        mask: 255 where blobs and their shadows are, for the background to leave out.
    """

    found: list[Blob]
    labels: NDArray[np.int32]
    mask: Image


def least_area(height: int, width: int) -> float:
    """Pixels of the smallest blob that counts in a frame."""
    return max(LEAST_PIXELS, LEAST_SHARE * height * width)


def find_blobs(difference: Difference) -> Blobs:
    """Return the blobs of a frame."""
    least = least_area(*difference.weak.shape)
    mask = cv2.morphologyEx(difference.weak, cv2.MORPH_OPEN, _OPEN)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _CLOSE)
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    strong = np.bincount(components[difference.strong > 0], minlength=count)
    area = stats[:, cv2.CC_STAT_AREA]
    kept = np.flatnonzero((area >= least) & (strong >= LEAST_STRONG * area))
    kept = kept[kept > 0]
    kept = kept[np.argsort(-area[kept], kind="stable")][:MOST_BLOBS]
    objects = np.zeros_like(mask)
    labels = np.zeros(mask.shape, np.int32)
    found = []
    for component in kept:
        left, top, across, down = stats[component, :4]
        window = slice(top, top + down), slice(left, left + across)
        whole = components[window] == component
        objects[window][whole] = 255
        for part in _without_shadow(difference, window, whole, least):
            number = len(found) + 1
            labels[window][part] = number
            contrast = float(difference.deviations[window][part].mean())
            found.append(blob_of(part, (left, top), contrast, (number,)))
    return Blobs(found, labels, cv2.dilate(objects, _OPEN))


def blob_of(
    pixels: NDArray[np.bool_], corner: tuple[int, int], contrast: float, labels: tuple[int, ...]
) -> Blob:
    """Describe a blob.

    Args:
        pixels: Its pixels in a window of the frame, at least one.
        corner: Left and top of the window.
        contrast: Mean difference of its pixels, in standard deviations.
        labels: See `Blob`.
    """
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    low = np.array([columns[0], rows[0]], float) + corner
    size = np.array([columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1], float)
    filled = min(1.0, np.count_nonzero(pixels) / size.prod() / _FULL)
    return Blob(np.concatenate([low, low + size]), filled * (1 - math.exp(-contrast / _CLEAR)), labels)


def _without_shadow(
    difference: Difference, window: tuple[slice, slice], whole: NDArray[np.bool_], least: float
) -> list[NDArray[np.bool_]]:
    """The parts of a blob that are left without its shadow; the blob itself if it has none.

    Args:
        difference: The frame's.
        window: Rows and columns of the blob's box.
        whole: The blob's pixels in it.
        least: Pixels of a part that counts.
    """
    shadow = _shadow(difference, window, whole)
    if np.count_nonzero(shadow) < 0.1 * np.count_nonzero(whole):
        return [whole]
    core = (whole & ~shadow).astype(np.uint8)
    core = cv2.morphologyEx(core, cv2.MORPH_OPEN, _OPEN)
    core = cv2.morphologyEx(core, cv2.MORPH_CLOSE, _CLOSE) & whole
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA]
    parts = [labels == label for label in range(1, count) if area[label] >= least]
    if sum(np.count_nonzero(part) for part in parts) >= LEAST_CORE * np.count_nonzero(whole):
        return parts
    # all shadow: at the edge of the frame the shadow of something outside, elsewhere a dark thing
    return [] if _at_edge(window, difference.weak) else [whole]


def _at_edge(window: tuple[slice, slice], frame: Image) -> bool:
    pairs = zip(window, frame.shape, strict=True)
    return any(stretch.start <= 1 or stretch.stop >= side - 1 for stretch, side in pairs)


def _shadow(
    difference: Difference, window: tuple[slice, slice], whole: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where in a blob the scene shows through with less light: same colour, same texture, evenly darker."""
    ratio = difference.frame[window] / np.maximum(difference.scene[window], 1)
    light = ratio.mean(axis=2)
    colour = np.abs(ratio - light[..., None]).max(axis=2)
    mean, square = cv2.blur(light, (5, 5)), cv2.blur(light * light, (5, 5))
    texture = np.sqrt(np.maximum(square - mean * mean, 0))
    alike = whole & (light > SHADOW_LIGHT[0]) & (light < SHADOW_LIGHT[1]) & (colour < SHADOW_COLOUR)
    flat = alike & (texture < SHADOW_TEXTURE)
    if not flat.any():
        return flat
    # the ratio of an object's colour to a varied scene varies too
    even = flat & (np.abs(light - np.median(light[flat])) < SHADOW_EVENNESS)
    if np.count_nonzero(even) < SHADOW_SHARE_EVEN * np.count_nonzero(flat):
        return np.zeros_like(whole)
    # the edge of a shadow is neither flat nor even, but it has the scene's colour and adjoins what is
    return alike & (cv2.dilate(even.astype(np.uint8), _EDGE) > 0)
