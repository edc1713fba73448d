"""Copies of requests for shadow variants: the caller never waits for them and never sees what they answer.

https://docs.aws.amazon.com/sagemaker/latest/dg/shadow-tests.html
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

from sandbox.errors import ServiceError
from sandbox.fleet import Fleet
from sandbox.runtime.observe import Observer
from sandbox.runtime.trip import Trip
from sandbox.traffic import Shadow

log = logging.getLogger(__name__)

# what a slow or hanging shadow variant holds at most; further copies are dropped and counted
MAX_COPIES = 64
MAX_COPIED_BYTES = 64 * 1024 * 1024
# how long dropped copies are counted before the log tells their number
TELL_AFTER_SECONDS = 1.0


@dataclass(slots=True)
class _Lane:
    """The copies of one shadow variant's fleet.

    Args:
        under_way: Copies that are being worked on.
        size: Bytes of their bodies.
        dropped: Copies that were not made since the log last told.
    """

    under_way: int = 0
    size: int = 0
    dropped: int = 0


class ShadowTraffic:
    """Makes copies, within bounds.

    Args:
        send: Takes a copy to its variant and records what came of it; its answer is discarded there.
        observer: Tells the log of dropped copies.
        chance: Gives a number in [0, 1), for sampling.
    """

    def __init__(
        self, send: Callable[[Trip], Awaitable[None]], observer: Observer, *, chance: Callable[[], float]
    ) -> None:
        self._send = send
        self._observer = observer
        self._chance = chance
        self._lanes: dict[Fleet, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, trip: Trip, shadows: Iterable[Shadow]) -> None:
        """Copy a request to those shadow variants whose sample it falls into; returns at once.

        Args:
            trip: The invocation of the production variant.
            shadows: Its shadow variants.
        """
        for shadow in shadows:
            if shadow.share >= 1.0 or self._chance() < shadow.share:
                self._start(trip, shadow)

    async def stop(self) -> None:
        """End all copies."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, trip: Trip, shadow: Shadow) -> None:
        target, size = shadow.target, len(trip.body)
        lane = self._lanes.setdefault(target.variant.fleet, _Lane())
        if lane.under_way >= MAX_COPIES or lane.size + size > MAX_COPIED_BYTES:
            self._drop(trip, shadow, lane)
            return
        lane.under_way += 1
        lane.size += size
        # the task runs when the production variant has its request and is waited for
        copy = Trip(
            trip.endpoint, trip.invocation, trip.body, perf_counter(), trip.deadline, target, copied=True
        )
        task = asyncio.get_running_loop().create_task(
            self._run(copy, target.variant.fleet, lane), name=f"shadow {target.variant.name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, copy: Trip, fleet: Fleet, lane: _Lane) -> None:
        try:
            with contextlib.suppress(ServiceError):  # recorded for the shadow variant, and nobody's affair
                await self._send(copy)
        except Exception:
            log.exception("a copy for shadow variant %s failed", fleet.variant_name)
        finally:
            lane.under_way -= 1
            lane.size -= len(copy.body)
            if not lane.under_way:
                self._lanes.pop(fleet, None)

    def _drop(self, trip: Trip, shadow: Shadow, lane: _Lane) -> None:
        lane.dropped += 1
        if lane.dropped > 1:
            return

        def tell() -> None:
            self._observer.dropped_copies(trip.endpoint, shadow.target, lane.dropped)
            lane.dropped = 0

        asyncio.get_running_loop().call_later(TELL_AFTER_SECONDS, tell)
