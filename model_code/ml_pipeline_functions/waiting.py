"""Waiting within the time that a function has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

RESERVE = 15.0
"""Seconds kept for the answer."""

_POLL = 2.0


class Context(Protocol):
    """What Lambda gives a handler, as far as it is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is ended."""
        ...


def seconds_left(context: Context) -> float:
    """Seconds that a call may still work, its answer not counted."""
    return context.get_remaining_time_in_millis() / 1000 - RESERVE


def pause(seconds: float = _POLL) -> None:
    """Wait a moment."""
    time.sleep(seconds)


def wait_until(condition: Callable[[], bool], left: Callable[[], float], longest: float = 900.0) -> bool:
    """Wait until something holds.

    Args:
        condition: What is waited for.
        left: Seconds that the call may still work.
        longest: Seconds at most.

    Returns:
        Whether it holds.
    """
    waited = 0.0
    while not condition():
        if waited + _POLL > longest or left() < _POLL:
            return False
        pause()
        waited += _POLL
    return True
