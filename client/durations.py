"""Durations as people type them."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}


def parse_duration(text: str) -> float:
    """Seconds in ``30s``, ``1.5m``, ``500ms``, ``2h``, ``1d`` or a plain number of seconds.

    Raises:
        ValueError: It is none of these, or not more than zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError(f"{text!r} is no duration; write for example 30s, 5m or 1h")
    return seconds


def shown(seconds: float) -> str:
    """Seconds in the largest unit that leaves no remainder: ``15m``, ``2h``, ``90s``."""
    for unit, size in sorted(_UNITS.items(), key=lambda entry: -entry[1]):
        if unit and size >= 1 and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
