"""Waiting for a service that has too much to do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from failures import SinkThrottled

#: Seconds kept for telling how far the worker came.
_RESERVE = 20.0


class Backoff:
    """Waits longer each time, and only a random share of that: workers that were refused together do not come
    back together ("full jitter", M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015).

    Args:
        what: What is waited for, for the message.
        seconds_left: How long the worker may go on.
        first: Longest first wait, in seconds.
        longest: Longest wait, in seconds.
    """

    def __init__(
        self, what: str, seconds_left: Callable[[], float], *, first: float = 0.05, longest: float = 10.0
    ) -> None:
        self._what, self._seconds_left = what, seconds_left
        self._next, self._longest = first, longest

    def wait(self, why: str) -> None:
        """Wait.

        Args:
            why: What was refused, for the message.

        Raises:
            SinkThrottled: There is no time left.
        """
        pause = random.uniform(0, self._next)  # noqa: S311  (no secret)
        self._next = min(self._longest, self._next * 2)
        if self._seconds_left() - pause < _RESERVE:
            raise SinkThrottled(
                f"{self._what} refused {why} until the worker's time was over. Give it more capacity, or "
                "lower workflow.land_concurrency. What has landed stays; a repeated worker goes on."
            )
        time.sleep(pause)
