"""Two objects that were never seen apart: tell them from the shape and colours of their common blob."""

from __future__ import annotations

import numpy as np
from blobs import Blob, blob_of, least_area
from boxes import box_array, covered
from groups import outgrown
from numpy.typing import NDArray
from scene import Scene
from tracks import Track

#: The boxes of the two parts together have at most this share of the blob's box: they lie diagonally.
MOST_AREA = 0.75
#: The parts' mean colours differ by this much in some channel, in grey levels: they are two things.
LEAST_DIFFERENCE = 20.0
#: A known object of which so much lies in a blob is told apart by its looks instead.
KNOWN_INSIDE = 0.3
_DEPTH = 2


def split_unknown(blobs: list[Blob], tracks: list[Track], scene: Scene) -> list[Blob]:
    """Split blobs in which no objects are expected that can be told apart by their looks."""
    known = [track for track in tracks if track.looks is not None]
    inside = covered(box_array([track.box for track in known]), box_array([blob.box for blob in blobs]))
    result: list[Blob] = []
    for number, blob in enumerate(blobs):
        members = [known[row] for row in np.flatnonzero(inside[:, number] > KNOWN_INSIDE)]
        by_looks = len(members) > 1 or (members and outgrown(members[0], blob))
        result += [blob] if by_looks else split(blob, scene)
    return result


def split(blob: Blob, scene: Scene, depth: int = _DEPTH) -> list[Blob]:
    """Cut a blob in two, and those again, if it looks like more than one object.

    Returns:
        The parts, with numbers of their own in the scene's labels; the blob itself if it is one object.
    """
    left, top, right, bottom = blob.box.astype(int)
    window = slice(top, bottom), slice(left, right)
    pixels = np.isin(scene.blobs.labels[window], blob.labels) & ~scene.taken[window]
    parts = _best_cut(pixels)
    if parts is None:
        return [blob]
    least = 2 * least_area(*scene.taken.shape)
    if min(np.count_nonzero(part) for part in parts) < least:
        return [blob]
    picture = scene.picture[window]
    colours = [picture[part].mean(axis=0) for part in parts]
    if np.abs(colours[0] - colours[1]).max() < LEAST_DIFFERENCE:
        return [blob]
    found: list[Blob] = []
    for part in parts:
        number = scene.new_label()
        scene.blobs.labels[window][part] = number
        shape = blob_of(part, (left, top), np.inf, (number,))
        piece = Blob(shape.box, shape.evidence * blob.evidence, shape.labels)
        found += split(piece, scene, depth - 1) if depth > 1 else [piece]
    return found


def _best_cut(pixels: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """The two sides of the straight cut that leaves the smallest boxes, None if they are not small enough."""
    best: tuple[float, int, int] | None = None
    for axis in (0, 1):
        lines = pixels if axis == 0 else pixels.T
        # a cut lies between two lines
        sizes = _box_areas(lines)[:-1] + _box_areas(lines[::-1])[::-1][1:]
        if len(sizes):
            place = int(np.argmin(sizes))
            if best is None or sizes[place] < best[0]:
                best = float(sizes[place]), axis, place + 1
    if best is None or best[0] > MOST_AREA * pixels.size:
        return None
    _, axis, place = best
    side = np.arange(pixels.shape[axis]) < place
    first = pixels & (side[:, None] if axis == 0 else side[None, :])
    return first, pixels & ~first


def _box_areas(lines: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Area of the box around the first line, the first two, and so on."""
    any_pixel = lines.any(axis=1)
    width = lines.shape[1]
    first = np.where(any_pixel, lines.argmax(axis=1), width)
    last = np.where(any_pixel, width - lines[:, ::-1].argmax(axis=1), 0)
    across = np.maximum.accumulate(last) - np.minimum.accumulate(first)
    start = int(any_pixel.argmax())
    down = np.arange(len(lines)) + 1 - start
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0))
