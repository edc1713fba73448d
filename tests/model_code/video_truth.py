"""Clips with known truth, for tests of the video model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.make_video import Clip, Conditions, Truth
from tools.measure_video import Score, compare, parse

__all__ = ["Score", "compare", "make_clip", "parse"]


def make_clip(path: Path, **conditions: Any) -> tuple[bytes, list[list[Truth]]]:
    """A clip's file and the truth of its frames."""
    truth = Clip(Conditions(**conditions)).write(path)
    return path.read_bytes(), truth
