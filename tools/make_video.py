"""Make a video clip with moving objects whose true positions are known.

    python tools/make_video.py clip.mp4 --seconds 8 --objects 8 --seed 1 --truth truth.jsonl

Textured objects of different shapes, sizes and speeds enter a textured scene, cross each other and leave;
some are there from the first frame. `Conditions` makes it harder: noise, shadows, changes of light, low
contrast, compression. The same conditions give the same clip with the same numpy and OpenCV.

The ending of the file's name chooses the codec: ``.mp4`` is MPEG-4 (mp4v), ``.avi`` is Motion JPEG. The
wheels of opencv-python-headless write and read both without further packages.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Light = Literal["steady", "drift", "switch", "flicker"]
LIGHTS = ("steady", "drift", "switch", "flicker")
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


class Truth(TypedDict):
    """Where an object is in a frame.

    ``object``: its number; ``box``: [x, y, w, h] in pixels of its part inside the frame, hidden or not;
    ``visible``: the share of the whole object that is inside the frame and not hidden by another, 0 to 1.
    """

    object: int
    box: list[float]
    visible: float


@dataclass(frozen=True)
class Conditions:
    """What a clip looks like.

    Args:
        width: Pixels.
        height: Pixels.
        frames: Number of frames.
        rate: Frames per second.
        objects: How many objects come by; about a third of them is there from the first frame.
        smallest: Shorter side of the smallest object, pixels.
        largest: Longer side of the largest object, pixels.
        slowest: Pixels per second.
        fastest: Pixels per second.
        contrast: How far an object's colours are from the scene's, in grey levels.
        noise: Standard deviation of the camera's noise, in grey levels.
        light: ``steady``; ``drift`` (slowly to 65 % and back); ``switch`` (at once to 70 % in mid-clip);
            ``flicker`` (by 4 % at 5 Hz).
        shadows: Objects darken the ground beside them.
        pauses: Objects stop for a second on their way.
        quality: JPEG quality of ``.avi`` files, 1 to 100.
        seed: Chooses scene, objects and noise.
    """

    width: int = 640
    height: int = 360
    frames: int = 200
    rate: float = 25.0
    objects: int = 8
    smallest: int = 28
    largest: int = 110
    slowest: float = 50.0
    fastest: float = 200.0
    contrast: float = 70.0
    noise: float = 2.0
    light: Light = "steady"
    shadows: bool = False
    pauses: bool = False
    quality: int = 90
    seed: int = 1


class Clip:
    """A clip to be: frames and truth come from the same objects.

    Args:
        conditions: What it looks like.
    """

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        rng = np.random.default_rng(conditions.seed)
        self._scene = _scene(conditions, rng)
        self._actors = [_Actor(conditions, number, self._scene, rng) for number in range(conditions.objects)]

    def frames(self) -> Iterator[tuple[Frame, list[Truth]]]:
        """Yield each frame (BGR) with the objects in it, one at a time."""
        given = self.conditions
        noise = _Noise(given)
        for index in range(given.frames):
            canvas = self._scene.copy()
            placed = [(actor, *actor.position(index)) for actor in self._actors]
            if given.shadows:
                for actor, x, y in placed:
                    actor.draw_shadow(canvas, x, y)
            owner = np.full(canvas.shape[:2], -1, np.int16)
            for actor, x, y in placed:
                actor.draw(canvas, owner, x, y)
            canvas *= self._light(index)
            canvas += noise.next()
            yield np.clip(np.rint(canvas), 0, 255).astype(np.uint8), self._truth(placed, owner)

    def write(self, path: Path) -> list[list[Truth]]:
        """Write the clip to a file and return the truth of each frame.

        Raises:
            ValueError: The file's name ends in something else than .mp4 or .avi, or it cannot be written.
        """
        given = self.conditions
        if path.suffix not in CODECS:
            raise ValueError(f"{path}: the name must end in {' or '.join(CODECS)}")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}")
        writer = cv2.VideoWriter(
            str(path),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*CODECS[path.suffix]),
            given.rate,
            (given.width, given.height),
        )
        if not writer.isOpened():
            raise ValueError(f"{path}: OpenCV cannot write there")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, given.quality)
        truth = []
        try:
            for frame, objects in self.frames():
                writer.write(frame)
                truth.append(objects)
        finally:
            writer.release()
        return truth

    def _light(self, index: int) -> np.float32:
        given, share = self.conditions, index / max(1, self.conditions.frames - 1)
        factor = 1.0
        if given.light == "drift":
            factor = 1 - 0.35 * np.sin(np.pi * share)
        elif given.light == "switch":
            factor = 1.0 if share < 0.5 else 0.7
        elif given.light == "flicker":
            factor = 1 - 0.04 * np.sin(2 * np.pi * 5 * index / given.rate)
        return np.float32(factor)

    def _truth(self, placed: list[tuple[_Actor, float, float]], owner: NDArray[np.int16]) -> list[Truth]:
        found: list[Truth] = []
        for actor, x, y in placed:
            box = actor.box(x, y)
            if box is not None:
                visible = np.count_nonzero(owner == actor.number) / actor.pixels
                found.append(
                    {"object": actor.number, "box": box, "visible": round(min(1.0, float(visible)), 3)}
                )
        return found


class _Noise:
    """The camera's noise: a cut-out of one field for each frame, because drawing it anew takes long."""

    _MARGIN = 64

    def __init__(self, given: Conditions) -> None:
        self._rng = np.random.default_rng([given.seed, 1])
        self._shape = given.height, given.width
        shape = (given.height + self._MARGIN, given.width + self._MARGIN, 3)
        self._field = self._rng.standard_normal(shape, np.float32) * np.float32(given.noise)

    def next(self) -> NDArray[np.float32]:
        """The next frame's noise."""
        (top, left), (height, width) = self._rng.integers(0, self._MARGIN, 2), self._shape
        return self._field[top : top + height, left : left + width]


class _Actor:
    """One object: what it looks like and where it goes."""

    def __init__(self, given: Conditions, number: int, scene: NDArray[np.float32], rng: np.random.Generator):
        self.number = number
        self._given = given
        self._size = width, height = _size(given, rng)
        self._alpha = _shape(width, height, rng)
        self._colours = _colours(width, height, scene, given.contrast, rng)
        self.pixels = int(np.count_nonzero(self._alpha > 0.5))
        self._plan(rng, from_start=number % 3 == 0)

    def _plan(self, rng: np.random.Generator, from_start: bool) -> None:
        """From edge to edge, or from inside to an edge, with a slight bend."""
        given, (width, height) = self._given, self._size
        speed = rng.uniform(given.slowest, given.fastest) / given.rate
        slope = rng.uniform(-0.35, 0.35)
        across = rng.random() < 0.75
        step = np.array([1.0, slope]) if across else np.array([slope, 1.0])
        step *= speed / np.linalg.norm(step)
        if rng.random() < 0.5:
            step = -step
        room = np.array([given.width - width, given.height - height], float)
        middle = rng.uniform(0.15, 0.85, 2) * room
        # how many frames it is from the place in the middle back to where it came in
        main = 0 if across else 1
        extent = (width, height)[main]
        way = middle[main] + extent if step[main] > 0 else (given.width, given.height)[main] - middle[main]
        lead = way / abs(step[main])
        when = 0.0 if from_start else lead + rng.uniform(0, 0.6) * given.frames
        self._anchor, self._step, self._when = middle, step, when
        self._swing = rng.uniform(0, 0.06) * min(given.width, given.height)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._pause = when + rng.uniform(0.2, 0.5) * given.frames * 0.5 if given.pauses else None

    def position(self, index: int) -> tuple[float, float]:
        """Top left corner in a frame."""
        time = float(index)
        if self._pause is not None and time > self._pause:
            time = max(self._pause, time - self._given.rate)
        travelled = time - self._when
        side = self._step[::-1] / np.linalg.norm(self._step) * [1, -1]
        swing = self._swing * (np.sin(self._phase + travelled * 0.04) - np.sin(self._phase))
        x, y = self._anchor + self._step * travelled + side * swing
        return float(x), float(y)

    def box(self, x: float, y: float) -> list[float] | None:
        """[x, y, w, h] of the part inside the frame, None when there is none."""
        placed = self._place(x, y, self._given.height, self._given.width)
        if placed is None:
            return None
        rows, columns, alpha, _ = placed
        solid = alpha > 0.5
        if not solid.any():
            return None
        across, down = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
        left, top = columns.start + across[0], rows.start + down[0]
        return [float(v) for v in (left, top, across[-1] - across[0] + 1, down[-1] - down[0] + 1)]

    def draw(self, canvas: NDArray[np.float32], owner: NDArray[np.int16], x: float, y: float) -> None:
        """Paint the object over what is there."""
        placed = self._place(x, y, *owner.shape)
        if placed is None:
            return
        rows, columns, alpha, colours = placed
        canvas[rows, columns] += alpha[..., None] * (colours - canvas[rows, columns])
        owner[rows, columns][alpha > 0.5] = self.number

    def draw_shadow(self, canvas: NDArray[np.float32], x: float, y: float) -> None:
        """Darken the ground to the lower right of the object."""
        width, height = self._size
        placed = self._place(x + 0.35 * width, y + 0.3 * height, *canvas.shape[:2])
        if placed is not None:
            rows, columns, alpha, _ = placed
            canvas[rows, columns] *= 1 - 0.35 * cv2.GaussianBlur(alpha, (0, 0), 1.5)[..., None]

    def _place(self, x: float, y: float, frame_height: int, frame_width: int):  # type: ignore[no-untyped-def]
        """Rows and columns of the frame that the object covers, with its opacity and colours there."""
        left, top = int(np.floor(x)), int(np.floor(y))
        width, height = self._size
        first_column, last_column = max(0, left), min(frame_width, left + width + 1)
        first_row, last_row = max(0, top), min(frame_height, top + height + 1)
        if first_column >= last_column or first_row >= last_row:
            return None
        shift = np.float32([[1, 0, x - left], [0, 1, y - top]])
        size = (width + 1, height + 1)
        alpha = cv2.warpAffine(self._alpha, shift, size)
        colours = cv2.warpAffine(self._colours, shift, size, borderMode=cv2.BORDER_REPLICATE)
        inside = (slice(first_row - top, last_row - top), slice(first_column - left, last_column - left))
        return slice(first_row, last_row), slice(first_column, last_column), alpha[inside], colours[inside]


def _size(given: Conditions, rng: np.random.Generator) -> tuple[int, int]:
    long = rng.uniform(max(given.smallest, given.largest * 0.35), given.largest)
    short = max(given.smallest, long * rng.uniform(0.5, 1.0))
    width, height = (long, short) if rng.random() < 0.6 else (short, long)
    return round(width), round(height)


def _shape(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Opacity, 0 to 1: an ellipse, a rectangle with rounded corners, or a box with a smaller one on top."""
    scale = 4
    mask = np.zeros((height * scale, width * scale), np.uint8)
    w, h = width * scale - 1, height * scale - 1
    kind = rng.integers(3)
    if kind == 0:
        cv2.ellipse(mask, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, 255, -1)
    elif kind == 1:
        r = min(w, h) // 4
        cv2.rectangle(mask, (r, 0), (w - r, h), 255, -1)
        cv2.rectangle(mask, (0, r), (w, h - r), 255, -1)
        for centre in ((r, r), (w - r, r), (r, h - r), (w - r, h - r)):
            cv2.circle(mask, centre, r, 255, -1)
    else:
        cv2.rectangle(mask, (0, h * 2 // 5), (w, h), 255, -1)
        cv2.rectangle(mask, (w // 5, 0), (w * 4 // 5, h // 2), 255, -1)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _colours(
    width: int, height: int, scene: NDArray[np.float32], contrast: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A base colour away from the scene's mean, with texture and stripes."""
    mean = scene.mean(axis=(0, 1))
    direction = rng.normal(size=3)
    direction /= np.abs(direction).max()
    base = mean + contrast * direction
    texture = _smooth_noise(height, width, max(2, width // 8), rng) * 0.25 * contrast
    stripes = np.sin(np.arange(height) / height * np.pi * rng.integers(2, 6))[:, None, None] * 0.15 * contrast
    return np.clip(base + texture + stripes, 5, 250).astype(np.float32)


def _scene(given: Conditions, rng: np.random.Generator) -> NDArray[np.float32]:
    """A background: slopes of colour, texture of three sizes, and things that stand around."""
    height, width = given.height, given.width
    tint = rng.uniform(90, 150, 3)
    scene = np.full((height, width, 3), tint, np.float32)
    scene += np.linspace(-18, 18, height, dtype=np.float32)[:, None, None]
    for grain, strength in ((80, 14.0), (20, 9.0), (4, 7.0)):
        scene += _smooth_noise(height, width, grain, rng) * strength
    for _ in range(8):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        w, h = (int(v) for v in rng.uniform(0.04, 0.16, 2) * (width, height))
        scene[y : y + h, x : x + w] += rng.uniform(-30, 30, 3).astype(np.float32)
    return np.clip(scene, 10, 245)


def _smooth_noise(height: int, width: int, grain: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of unit deviation whose blotches are about ``grain`` pixels wide, one channel."""
    small = rng.normal(size=(height // grain + 2, width // grain + 2)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]


def main(arguments: list[str]) -> int:
    """Write a clip, and its truth when asked to: a JSON line for each frame."""
    parser = argparse.ArgumentParser(prog="make_video.py", description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="clip to write, .mp4 or .avi")
    parser.add_argument("--truth", type=Path, help="where to write the true boxes, as JSON lines")
    parser.add_argument("--seconds", type=float, default=8.0, help="length (default: 8)")
    standard = Conditions()
    for field in fields(Conditions):
        value = getattr(standard, field.name)
        if field.name == "frames":
            continue
        if isinstance(value, bool):
            parser.add_argument(f"--{field.name}", action="store_true")
        else:
            choices = LIGHTS if field.name == "light" else None
            parser.add_argument(f"--{field.name}", type=type(value), default=value, choices=choices)
    options = vars(parser.parse_args(arguments))
    path, truth_path, seconds = options.pop("path"), options.pop("truth"), options.pop("seconds")
    conditions = Conditions(frames=max(1, round(seconds * options["rate"])), **options)
    try:
        truth = Clip(conditions).write(path)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if truth_path is not None:
        lines = (json.dumps({"frame": index, "objects": objects}) for index, objects in enumerate(truth))
        truth_path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"wrote {path}: {conditions.frames} frames, {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
