"""Blobs to tracks: who is who from frame to frame, also when objects touch, hide each other or break up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from background import Image
from blobs import Blob, Blobs
from boxes import Boxes, areas, assign, box_array, covered, giou, hull, iou
from groups import LARGER, Place, outgrown, tell_apart
from numpy.typing import NDArray
from scene import Scene
from splitting import split, split_unknown
from tracks import BLOB_ERROR, LOOKS_ERROR, MOST_MISSES, Looks, Sighting, Track

#: Least generalised IoU of a track's expected box and the blob that may be it.
LEAST_GIOU = -0.3
#: A track is inside a blob, or a blob part of a track, from this share on.
INSIDE = 0.6
#: A blob with a side that is shorter than this share of what it was, and by more pixels than noise makes it,
#: shows a part of its object only.
SHRUNK, SHRUNK_PIXELS = 0.85, 5.0
#: One that is so short at once was never one object: what moved together has parted.
BROKEN = 0.7
#: An object that goes away becomes smaller by less than this from frame to frame.
SHRINKING = 0.98
#: Fragments leave this share of their object's box empty at most; twice that if together they have its size.
MOST_GAP = 0.2
#: Fragments are so near to the largest one, in pixels; small ones (share of the object's box) half its size.
NEAR, SMALL = 6.0, 0.25
#: Evidence of an object that is known to be in a blob, but was not recognised.
UNRECOGNISED = 0.4
#: Detections of a frame at most, those with the highest scores.
MOST_DETECTIONS = 100


@dataclass(frozen=True)
class Detection:
    """An object in a frame: its box in pixels of the working size, its track's number, its score 0 to 1."""

    box: Boxes
    track: int
    score: float


class Tracker:
    """All tracks of a clip.

    Args:
        width: Pixels of a frame.
        height: Pixels of a frame.
    """

    def __init__(self, width: int, height: int) -> None:
        self._frame = np.array([0, 0, width, height], float)
        self._tracks: list[Track] = []
        #: How many objects there have been.
        self.objects = 0

    def expect(self) -> None:
        """Go on to the next frame, of which nothing is known yet."""
        for track in self._living():
            track.predict()

    def miss(self) -> None:
        """Let a frame pass that tells nothing."""
        for track in self._living():
            track.miss()

    def see(self, index: int, blobs: Blobs, picture: Image) -> None:
        """Take up the blobs of a frame, after `expect`."""
        scene = Scene(picture, blobs)
        tracks = self._living()
        confirmed = [track for track in tracks if track.confirmed]
        tentative = [track for track in tracks if not track.confirmed]
        found = split_unknown(_joined(blobs.found, confirmed), confirmed, scene)
        pairs = _match(confirmed, found)
        free = [blob for blob in found if not any(blob is taken for taken in pairs.values())]
        free += self._see_confirmed(index, confirmed, pairs, found, scene)
        pairs = _match(tentative, free)
        for track in tentative:
            if track in pairs:
                track.see(Sighting(index, pairs[track].box, pairs[track].evidence), BLOB_ERROR)
            else:
                track.miss()
        seen = box_array([track.box for track in confirmed if not track.misses])
        for blob in free:
            fragment = len(seen) and covered(blob.box[None], seen).max() > INSIDE
            if not fragment and not any(blob is taken for taken in pairs.values()):
                self._tracks.append(Track(Sighting(index, blob.box, blob.evidence)))

    def detections(self, index: int) -> list[Detection]:
        """What is known of a frame, in the order of the tracks' numbers; forgets all before it."""
        self._tracks = [track for track in self._tracks if track.alive or track.last_seen >= index]
        found = []
        for track in self._tracks:
            place = track.at(index) if track.confirmed else None
            if place is None:
                continue
            if track.number is None:
                self.objects += 1
                track.number = self.objects
            box = np.clip(place[0], self._frame[[0, 1, 0, 1]], self._frame[[2, 3, 2, 3]])
            if areas(box) > 0:
                found.append(Detection(box, track.number, place[1]))
        best = sorted(found, key=lambda detection: -detection.score)[:MOST_DETECTIONS]
        return sorted(best, key=lambda detection: detection.track)

    def _living(self) -> list[Track]:
        return [track for track in self._tracks if track.alive]

    def _see_confirmed(
        self, index: int, tracks: list[Track], pairs: dict[Track, Blob], blobs: list[Blob], scene: Scene
    ) -> list[Blob]:
        """Give each confirmed track its sighting, or none; return blobs that turned out to be others'."""
        groups: dict[int, list[Track]] = {id(blob): [track] for track, blob in pairs.items()}
        by_id = {id(blob): blob for blob in blobs}
        left = [track for track in tracks if track not in pairs]
        inside = covered(box_array([track.box for track in left]), box_array([blob.box for blob in blobs]))
        for track, shares in zip(left, inside, strict=True):
            best = int(shares.argmax()) if len(shares) else -1
            if best >= 0 and shares[best] > INSIDE and id(blobs[best]) in groups:
                groups[id(blobs[best])].append(track)
            else:
                track.miss()
        rest = []
        for key, members in groups.items():
            blob = by_id[key]
            if len(members) > 1 or outgrown(members[0], blob):
                rest += self._see_group(index, members, blob, scene)
            elif self._partly_hidden(members[0], blob, blobs):
                _see_part(index, members[0], blob)
            else:
                self._see_alone(index, members[0], blob, scene)
        return rest

    def _partly_hidden(self, track: Track, blob: Blob, blobs: list[Blob]) -> bool:
        """A track's blob became much smaller, neither at the frame's edge nor because it broke up."""
        if track.looks is None or track.partly_hidden >= MOST_MISSES or self._at_edge(blob.box):
            return False
        side = blob.box[2:] - blob.box[:2]
        shrunk = (side < SHRUNK * track.size) & (side < track.size - SHRUNK_PIXELS)
        at_once = np.any(side < BROKEN * track.size) and not track.partly_hidden and not track.misses
        if at_once or not shrunk.any():
            return False
        others = box_array([other.box for other in blobs if other is not blob])
        return not np.any(_gaps(others, blob.box) < track.size.max() / 2)

    def _at_edge(self, box: Boxes) -> bool:
        return bool((box[:2] <= 1).any() or (box[2:] >= self._frame[2:] - 1).any())

    def _see_alone(self, index: int, track: Track, blob: Blob, scene: Scene) -> None:
        track.see(Sighting(index, blob.box, blob.evidence), BLOB_ERROR)
        size = blob.box[2:] - blob.box[:2]
        # smaller and yet not partly hidden: it leaves the frame, or the size was that of two
        wrong = np.any(size < SHRUNK * track.size)
        track.size = size if wrong else np.maximum(size, SHRINKING * track.size)
        track.partly_hidden = 0
        if not self._at_edge(blob.box) and len(blob.labels) == 1:
            left, top, right, bottom = blob.box.astype(int)
            window = slice(top, bottom), slice(left, right)
            mask = scene.blobs.labels[window] == blob.labels[0]
            track.looks = Looks(scene.picture[window].copy(), mask)

    def _see_group(self, index: int, members: list[Track], blob: Blob, scene: Scene) -> list[Blob]:
        places, rest = tell_apart(blob, members, scene)
        rest = [piece for part in rest for piece in split(part, scene)]
        if len(members) == 1 and not places:
            # it does not look as it did: then it is the object that changed
            self._see_alone(index, members[0], blob, scene)
            return []
        for track, place in places.items():
            track.see(Sighting(index, place.box, blob.evidence * _likeness(place)), LOOKS_ERROR)
        others = [track for track in members if track not in places]
        pairs = _match(others, rest)
        for track in others:
            if track not in pairs:
                track.miss()
                continue
            part = pairs[track]
            box = part.box if track.looks is None else _shifted_over(track.box, part.box)
            track.see(Sighting(index, box, UNRECOGNISED * part.evidence), 2 * LOOKS_ERROR)
        return [part for part in rest if not any(part is taken for taken in pairs.values())]


def _see_part(index: int, track: Track, blob: Blob) -> None:
    """Take up the part of a track that is not hidden: its box keeps its size and goes on as expected."""
    track.partly_hidden += 1
    visible = float(areas(blob.box) / track.size.prod())
    middle = (track.box[:2] + track.box[2:]) / 2
    box = _shifted_over(np.concatenate([middle - track.size / 2, middle + track.size / 2]), blob.box)
    track.keep_size()
    track.see(Sighting(index, box, blob.evidence * min(1.0, visible)), 2 * LOOKS_ERROR)


def _likeness(place: Place) -> float:
    return 0.5 + 0.5 * place.likeness


def _match(tracks: list[Track], blobs: list[Blob]) -> dict[Track, Blob]:
    if not tracks or not blobs:
        return {}
    expected, found = box_array([track.box for track in tracks]), box_array([blob.box for blob in blobs])
    pairs = assign(giou(expected, found), LEAST_GIOU)
    return {tracks[row]: blobs[column] for row, column in pairs}


def _joined(blobs: list[Blob], tracks: list[Track]) -> list[Blob]:
    """Put fragments of one known object together."""
    for track in tracks:
        if len(blobs) < 2:
            break
        boxes = box_array([blob.box for blob in blobs])
        parts = np.flatnonzero(covered(boxes, track.box[None])[:, 0] > INSIDE)
        parts = parts[_fragments(boxes[parts], track.box)]
        if len(parts) < 2:
            continue
        together = hull(boxes[parts])
        alone = iou(boxes[parts], track.box[None]).max()
        filled = areas(boxes[parts]).sum() / areas(together)
        if filled > _least_filled(track, together) and iou(together[None], track.box[None])[0, 0] > alone:
            pieces = [blobs[part] for part in parts]
            labels = tuple(label for piece in pieces for label in piece.labels)
            one = Blob(together, max(piece.evidence for piece in pieces), labels)
            blobs = [blob for index, blob in enumerate(blobs) if index not in parts] + [one]
    return blobs


def _fragments(boxes: Boxes, expected: Boxes) -> NDArray[np.bool_]:
    """Which boxes may be fragments of one object: things of some size with room between them are not."""
    if len(boxes) == 0:
        return np.zeros(0, bool)
    largest = boxes[areas(boxes).argmax()]
    gaps = _gaps(boxes, largest)
    small = areas(boxes) < SMALL * areas(expected)
    near = np.where(small, max(NEAR, (largest[2:] - largest[:2]).max() / 2), NEAR)
    return np.asarray(gaps <= near)


def _gaps(boxes: Boxes, box: Boxes) -> NDArray[np.float64]:
    """Pixels between each box and another one, across or down, whichever are more; negative in an overlap."""
    return np.asarray(np.maximum(boxes[:, :2] - box[2:], box[:2] - boxes[:, 2:]).max(axis=1))


def _least_filled(track: Track, together: Boxes) -> float:
    """Share of a box that fragments must fill to be one object: less if together they have its size."""
    if track.looks is None:
        return 1 - MOST_GAP
    fits = np.all(together[2:] - together[:2] < LARGER * track.size)
    return 1 - 2 * MOST_GAP if fits else 1.0


def _shifted_over(box: Boxes, part: Boxes) -> Boxes:
    """Move a box as little as makes it cover a part of it, as far as that fits."""
    over = np.minimum(part[:2] - box[:2], 0) + np.maximum(part[2:] - box[2:], 0)
    fits = part[2:] - part[:2] <= box[2:] - box[:2]
    shift = np.where(fits, over, (part[:2] + part[2:] - box[:2] - box[2:]) / 2)
    return np.asarray(box + np.concatenate([shift, shift]))
