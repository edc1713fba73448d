"""Tells while requests are waited for: how many, and whether the endpoint sleeps, wakes or works."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from client.async_inference.sending import Request
from client.async_inference.state import instances_of
from client.async_inference.view import waiting_words
from client.connection import Connection
from client.output import err
from client.patterns import DeployedPattern
from client.status import endpoint_status

_LOOK_SECONDS_SANDBOX = 0.5
_LOOK_SECONDS_AWS = 15.0


class Look(Protocol):
    """Called before each look at the requests that have not ended."""

    def __call__(self, waiting: Sequence[Request], /) -> None:
        """Tell, if it is time to."""


class Instances:
    """How many instances there were, look by look.

    Args:
        seen: Each number that differed from the one before.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []

    @property
    def woke(self) -> bool:
        """Whether there was none, and later one."""
        return 0 in self.seen and any(self.seen[self.seen.index(0) :])

    def note(self, count: int) -> bool:
        """Whether this is another number than before."""
        if self.seen and self.seen[-1] == count:
            return False
        self.seen.append(count)
        return True


@contextmanager
def telling(connection: Connection, deployed: DeployedPattern, instances: Instances) -> Iterator[Look]:
    """A spinner on stderr, and a line where stderr is no terminal, while requests are waited for.

    Args:
        connection: Where.
        deployed: The pattern, which is asked for its instances now and then.
        instances: Is told of them.
    """
    every = _LOOK_SECONDS_SANDBOX if connection.is_sandbox else _LOOK_SECONDS_AWS
    due = 0.0
    with err.status("waiting") as spinner:

        def look(waiting: Sequence[Request], /) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            count = instances_of(endpoint_status(connection, deployed))
            due = time.monotonic() + every
            words = waiting_words(len(waiting), count)
            spinner.update(words)
            if instances.note(count) and not err.is_terminal:
                err.print(words, soft_wrap=True)

        yield look
