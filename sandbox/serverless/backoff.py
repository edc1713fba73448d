"""The pause after a start that failed: a broken model must not keep the machine busy with starting it."""

from __future__ import annotations

import time

from sandbox.fleet.fleet import FIRST_BACKOFF, LONGEST_BACKOFF
from sandbox.serverless.failures import StartFailed


class Backoff:
    """Doubles with every start that fails in a row: from half a second to 30 seconds, real time."""

    def __init__(self) -> None:
        self._failure: StartFailed | None = None
        self._in_a_row = 0
        self._until = 0.0

    def failed(self, failure: StartFailed) -> None:
        """A start failed."""
        self._in_a_row += 1
        self._failure = failure
        pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (self._in_a_row - 1))
        self._until = time.monotonic() + pause

    def succeeded(self) -> None:
        """A start succeeded."""
        self._failure, self._in_a_row = None, 0

    def check(self) -> None:
        """Return if the next start may be tried.

        Raises:
            StartFailed: Not yet; as the last start ended, and when the next one may be tried.
        """
        left = self._until - time.monotonic()
        if self._failure is not None and left > 0:
            text = f"{self._failure} It is started again by the first request in {left:.1f} s or later."
            raise type(self._failure)(text)
