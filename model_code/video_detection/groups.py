"""Objects that touch or hide each other are one blob: tell them apart by what they looked like before."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from blobs import Blob, blob_of, least_area
from boxes import Boxes, areas
from numpy.typing import NDArray
from scene import Scene
from tracks import Looks, Track

#: Mean difference from its looks, in grey levels, up to which an object is recognised.
MOST_DIFFERENT = 22.0
#: Share of an object that must be unhidden for it to be recognised.
LEAST_VISIBLE = 0.25
#: A blob that is larger than its object's looks by this factor on a side holds something else too.
LARGER = 1.25
_REACH, _COARSE = 8, 2
_PIXELS = 500
# differences beyond this are all the same: a few very different pixels must not decide
_CLIPPED = 60


@dataclass(frozen=True)
class Place:
    """Where an object was recognised: its box, and how well, 0 to 1."""

    box: Boxes
    likeness: float


def outgrown(track: Track, blob: Blob) -> bool:
    """A track's blob is so much larger than its object that there must be another one in it."""
    if track.looks is None:
        return False
    size = np.array(track.looks.mask.shape[::-1])
    return bool(np.any(blob.box[2:] - blob.box[:2] > LARGER * size + 4))


def tell_apart(blob: Blob, members: list[Track], scene: Scene) -> tuple[dict[Track, Place], list[Blob]]:
    """Find tracks inside a blob that holds several objects.

    Args:
        blob: The blob.
        members: Tracks that are thought to be in it.
        scene: Its frame; pixels of recognised objects are marked as taken.

    Returns:
        The tracks that were recognised, and blobs of what is left without them.
    """
    found: dict[Track, Place] = {}
    known = [(track, track.looks) for track in members if track.looks is not None]
    # the one that is seen best is in front
    first = {track: recognise(track, looks, scene) for track, looks in known}
    for track, looks in sorted(known, key=lambda pair: _unlike(first[pair[0]])):
        place = recognise(track, looks, scene) if found else first[track]
        if place is not None:
            found[track] = place
            _take(place, looks, scene)
    return found, _leftovers(blob, scene)


def recognise(track: Track, looks: Looks, scene: Scene) -> Place | None:
    """Where, near its expected place, something looks like a track's object."""
    rows, columns = np.nonzero(looks.mask)
    step = max(1, len(rows) // _PIXELS)
    rows, columns = rows[::step], columns[::step]
    colours = looks.picture[rows, columns].T.astype(np.int16)
    corner = np.rint(track.box[:2]).astype(int)
    reach = _REACH + 2 * min(track.misses, 6)
    shifts = _grid(reach, _COARSE)
    rough = _differences(scene, rows, columns, colours, corner + shifts)
    if not np.isfinite(rough).any():
        return None
    fine = shifts[int(np.argmin(rough))] + _grid(_COARSE - 1, 1)
    difference = _differences(scene, rows, columns, colours, corner + fine)
    best = int(np.argmin(difference))
    if not difference[best] <= MOST_DIFFERENT:
        return None
    low = (corner + fine[best]).astype(float)
    size = np.array(looks.mask.shape[::-1], float)
    return Place(np.concatenate([low, low + size]), 1 - float(difference[best]) / MOST_DIFFERENT)


def _unlike(place: Place | None) -> float:
    return 2.0 if place is None else 1 - place.likeness


def _grid(reach: int, step: int) -> NDArray[np.int_]:
    """Shifts in x and y, ``[n, 2]``, nearest first, so that of equal ones the nearest is taken."""
    line = np.arange(-reach, reach + 1, step)
    shifts = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return np.asarray(shifts[np.argsort((shifts**2).sum(axis=1), kind="stable")])


def _differences(
    scene: Scene,
    rows: NDArray[np.int_],
    columns: NDArray[np.int_],
    colours: NDArray[np.int16],
    corners: Boxes,
) -> NDArray[np.float64]:
    """Mean difference of an object's pixels at each place, infinite where too few of them are to be seen."""
    height, width = scene.taken.shape
    down, across = corners[:, 1, None] + rows, corners[:, 0, None] + columns
    usable = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    down, across = np.clip(down, 0, height - 1), np.clip(across, 0, width - 1)
    pixels = down * width + across
    usable &= ~scene.taken.ravel()[pixels]
    levels = np.zeros(pixels.shape, np.int16)
    for plane, colour in zip(scene.planes, colours, strict=True):
        np.maximum(levels, np.abs(plane[pixels] - colour), out=levels)
    levels = np.minimum(levels, _CLIPPED) * usable
    count = usable.sum(axis=1)
    mean = levels.sum(axis=1) / np.maximum(count, 1)
    return np.where(count >= LEAST_VISIBLE * len(rows), mean, np.inf)


def _take(place: Place, looks: Looks, scene: Scene) -> None:
    left, top = place.box[:2].astype(int)
    height, width = looks.mask.shape
    mask = cv2.dilate(looks.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    inside = (
        slice(max(0, -top), scene.taken.shape[0] - top),
        slice(max(0, -left), scene.taken.shape[1] - left),
    )
    scene.taken[max(0, top) : top + height, max(0, left) : left + width] |= mask[inside]


def _leftovers(blob: Blob, scene: Scene) -> list[Blob]:
    """Blobs of the pixels that no recognised object explains."""
    left, top, right, bottom = blob.box.astype(int)
    window = slice(top, bottom), slice(left, right)
    rest = np.isin(scene.blobs.labels[window], blob.labels) & ~scene.taken[window]
    mask = cv2.morphologyEx(rest.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    least = 2 * least_area(*scene.taken.shape)
    found = []
    for component in range(1, count):
        if stats[component, cv2.CC_STAT_AREA] >= least:
            part = blob_of(components == component, (left, top), np.inf, blob.labels)
            found.append(Blob(part.box, part.evidence * blob.evidence, blob.labels))
    return sorted(found, key=lambda part: -float(areas(part.box)))
