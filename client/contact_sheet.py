"""A contact sheet: a dozen frames of a video with what was detected in them, as one picture to look at.

Needs numpy and opencv-python-headless, which the rest of the client does not.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from client.detections import DetectedFrame, Detection, Detections
from client.errors import UserError

Picture = NDArray[np.uint8]

COLUMNS = 4
PICTURE_WIDTH = 420
"""Pixels of each picture on the sheet."""
_GAP, _CAPTION, _TITLE = 10, 26, 44
_PAPER, _INK, _FAINT = (250, 250, 250), (30, 30, 30), (110, 110, 110)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_ANOTHER = "The detections are of another video: give the one that they were made from."
_GOLDEN_RATIO = 0.618034


def write_contact_sheet(video: Path, detections: Detections, path: Path, *, pictures: int = 12) -> list[int]:
    """Draw a contact sheet and write it as PNG.

    Args:
        video: The video that the detections are of.
        detections: See `detections.read_detections`.
        path: File to write; the name ends in ``.png``.
        pictures: How many frames to show at most. Default 12.

    Returns:
        Indices of the frames shown.

    Raises:
        UserError: The video cannot be read or is another one, or the file cannot be written.
    """
    chosen = choose_frames(detections.frames, pictures)
    if not chosen:
        raise UserError("The answer holds no frames: there is nothing to draw")
    tiles = [
        _tile(picture, frame, detections)
        for picture, frame in zip(_pictures(video, detections, chosen), chosen, strict=True)
    ]
    sheet = _sheet(tiles, _title(video, detections))
    encoded, data = cv2.imencode(".png", sheet)
    if not encoded:
        raise UserError(f"OpenCV cannot encode a picture of {sheet.shape[1]} x {sheet.shape[0]} pixels")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return [frame.index for frame in chosen]


def choose_frames(frames: Sequence[DetectedFrame], most: int) -> list[DetectedFrame]:
    """Cut the clip in equal stretches and take the frame of each with most objects, of equals the middle one.

    Args:
        frames: All frames, in order.
        most: How many to take at most; at least 1.
    """
    stretches = min(most, len(frames))
    chosen = []
    for number in range(stretches):
        begin, end = number * len(frames) // stretches, (number + 1) * len(frames) // stretches
        middle = (begin + end - 1) / 2
        place = max(range(begin, end), key=lambda at: (len(frames[at].detections), -abs(at - middle)))
        chosen.append(frames[place])
    return chosen


def track_colour(track: int) -> tuple[int, int, int]:
    """Blue, green and red, 0 to 255, of a track: numbers that follow each other differ most."""
    hue = (track * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def _pictures(video: Path, detections: Detections, frames: Sequence[DetectedFrame]) -> Iterator[Picture]:
    """The pictures of some frames, in their order."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise UserError(f"{video} cannot be read as a video")
        at = 0
        for frame in frames:
            while at <= frame.index and capture.grab():
                at += 1
            there, picture = capture.retrieve() if at > frame.index else (False, None)
            if not there or picture is None:
                raise UserError(f"{video} has no frame {frame.index}", _ANOTHER)
            if picture.shape[:2] != (detections.height, detections.width):
                size = f"{picture.shape[1]} x {picture.shape[0]}"
                wanted = f"{detections.width} x {detections.height}"
                raise UserError(f"{video} has frames of {size} pixels, the detections of {wanted}", _ANOTHER)
            yield cast(Picture, picture)
    finally:
        capture.release()


def _tile(picture: Picture, frame: DetectedFrame, detections: Detections) -> Picture:
    """A frame with its boxes, in the sheet's size, above its caption."""
    scale = PICTURE_WIDTH / detections.width
    height = max(1, round(detections.height * scale))
    shrinking = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cast(Picture, cv2.resize(picture, (PICTURE_WIDTH, height), interpolation=shrinking))
    for found in sorted(frame.detections, key=lambda found: found.score):
        _draw_box(small, found, scale)
    tile = _paper(height + _CAPTION, PICTURE_WIDTH)
    tile[:height] = small
    count = len(frame.detections)
    words = f"frame {frame.index}   {frame.time:.2f} s   {count} {'object' if count == 1 else 'objects'}"
    cv2.putText(tile, words, (2, height + 18), _FONT, 0.45, _FAINT, 1, cv2.LINE_AA)
    return tile


def _draw_box(picture: Picture, found: Detection, scale: float) -> None:
    height, width = picture.shape[:2]
    x, y, w, h = (value * scale for value in found.box)
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width - 1, round(x + w)), min(height - 1, round(y + h))
    colour = track_colour(found.track)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
    words = f"#{found.track} {found.score:.2f}"
    (across, up), below = cv2.getTextSize(words, _FONT, 0.42, 1)
    # above the box if there is room, else inside it; never beyond the picture
    floor = top if top >= up + below + 4 else min(height - 1, top + up + below + 4)
    begin = max(0, min(left - 1, width - across - 8))
    cv2.rectangle(picture, (begin, floor - up - below - 4), (begin + across + 7, floor), colour, -1)
    ink = (0, 0, 0) if _brightness(colour) > 120 else (255, 255, 255)
    cv2.putText(picture, words, (begin + 3, floor - below), _FONT, 0.42, ink, 1, cv2.LINE_AA)


def _brightness(colour: tuple[int, int, int]) -> float:
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red


def _title(video: Path, detections: Detections) -> str:
    # OpenCV draws what is not ASCII as question marks
    name = video.name.encode("ascii", "replace").decode()
    last = detections.frames[-1].time
    return (
        f"{name}   {detections.width} x {detections.height}   {len(detections.frames):,} frames   "
        f"{last:.1f} s   {detections.objects} tracks"
    )


def _sheet(tiles: list[Picture], title: str) -> Picture:
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    height, width = tiles[0].shape[:2]
    sheet = _paper(_TITLE + rows * (height + _GAP), _GAP + columns * (width + _GAP))
    cv2.putText(sheet, title, (_GAP, 28), _FONT, 0.6, _INK, 1, cv2.LINE_AA)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = _TITLE + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _paper(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _PAPER, np.uint8)
