"""Why a request gets no container. Each is its own error of the service."""

from __future__ import annotations


class Throttled(Exception):
    """So many requests are under way as MaxConcurrency allows.

    Args:
        limit: MaxConcurrency.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} requests are under way")


class StartFailed(Exception):
    """A container did not start; the text says why."""


class NotReady(StartFailed):
    """A container was still starting when its time was over."""


class NoCapacity(Exception):
    """The sandbox runs as many model servers as it may; the text says what to do."""
