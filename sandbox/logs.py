"""CloudWatch Logs: what containers and invocations write, sent in batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from sandbox.aws import LocalAws
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

# what PutLogEvents takes at most: events, bytes of messages plus 26 for each, the span from first to last
MAX_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
MAX_SPAN_MS = 24 * 3600 * 1000
EVENT_OVERHEAD = 26
# longer messages are cut; a quarter of the service's limit leaves room in a batch
MAX_MESSAGE_BYTES = 256 * 1024 - EVENT_OVERHEAD


class _Event(NamedTuple):
    scope: Scope
    group: str
    stream: str
    timestamp: int
    message: str


class LogPublisher:
    """Collects log events from any thread and sends them with PutLogEvents; groups and streams are made.

    While CloudWatch Logs is away events wait; when the buffer is full the oldest are dropped, which a later
    event says.

    Args:
        aws: Where CloudWatch Logs is.
        interval: Real seconds between two transmissions.
        capacity: Events that wait at most.
    """

    def __init__(self, aws: LocalAws, *, interval: float = 1.0, capacity: int = 50_000) -> None:
        self._aws = aws
        self._interval = interval
        self._waiting: deque[_Event] = deque()
        self._capacity = capacity
        self._dropped = 0
        self._lock = threading.Lock()
        self._known: set[tuple[Scope, str, str]] = set()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin sending."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what is left and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await asyncio.to_thread(self.flush)
        if not self._failing:
            await asyncio.to_thread(self.flush)  # what the first one had to say

    def write(
        self, scope: Scope, group: str, stream: str, message: str, timestamp: int | None = None
    ) -> None:
        """Add one event; returns at once.

        Args:
            scope: Account and Region.
            group: Log group, for example ``/aws/sagemaker/Endpoints/<endpoint>``.
            stream: Log stream.
            message: One line; empty ones are not kept, as the service refuses them.
            timestamp: Milliseconds since 1970, UTC; now when None.
        """
        if not message:
            return
        when = int(time.time() * 1000) if timestamp is None else timestamp
        with self._lock:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(_Event(scope, group, stream, when, message))

    def flush(self) -> None:
        """Send what waits now. Blocking; never raises."""
        with self._lock:
            events, self._waiting = self._waiting, deque()
            dropped, self._dropped = self._dropped, 0
        streams: defaultdict[tuple[Scope, str, str], list[_Event]] = defaultdict(list)
        for event in events:
            streams[event.scope, event.group, event.stream].append(event)
        unsent: list[_Event] = []
        for (scope, group, stream), waiting in streams.items():
            if unsent:  # nobody is there: no use in asking again for each stream
                unsent += waiting
                continue
            try:
                self._send(scope, group, stream, waiting)
            except ClientError as error:  # would be refused again
                log.warning("CloudWatch Logs refuses events of %s %s: %s", group, stream, error)
            except Exception as error:  # whatever it is, serving goes on
                unsent += waiting
                if not self._failing:
                    log.warning("logs cannot be sent to CloudWatch Logs and wait: %s", error)
        self._failing = bool(unsent)
        if dropped and not unsent and events:
            # goes out with the next ones
            text = f"[sandbox] {dropped} older log events were dropped: more came than could be sent"
            unsent, dropped = [events[-1]._replace(message=text)], 0
        self._put_back(unsent, dropped)

    def _put_back(self, unsent: list[_Event], dropped: int) -> None:
        with self._lock:
            self._dropped += dropped
            room = max(self._capacity - len(self._waiting), 0)
            kept = unsent[len(unsent) - room :] if room < len(unsent) else unsent
            self._dropped += len(unsent) - len(kept)
            self._waiting.extendleft(reversed(kept))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self._waiting:
                await asyncio.to_thread(self.flush)

    def _send(self, scope: Scope, group: str, stream: str, events: list[_Event]) -> None:
        client = self._aws.client("logs", scope)
        key = (scope, group, stream)
        if key not in self._known:
            _create(client, group, stream)
            self._known.add(key)
        for batch in batches(events):
            try:
                client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
            except client.exceptions.ResourceNotFoundException:  # deleted by somebody since
                _create(client, group, stream)
                client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)


def batches(events: list[_Event]) -> Iterator[list[Params]]:
    """Events of one stream in order of time, in batches that PutLogEvents takes."""
    batch: list[Params] = []
    size = 0
    for event in sorted(events, key=lambda event: event.timestamp):
        message = event.message.encode("utf-8", "replace")[:MAX_MESSAGE_BYTES]
        needed = len(message) + EVENT_OVERHEAD
        full = len(batch) == MAX_EVENTS or size + needed > MAX_BATCH_BYTES
        if batch and (full or event.timestamp - batch[0]["timestamp"] >= MAX_SPAN_MS):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": event.timestamp, "message": message.decode("utf-8", "ignore")})
        size += needed
    if batch:
        yield batch


def _create(client: Any, group: str, stream: str) -> None:
    for create, names in (
        (client.create_log_group, {"logGroupName": group}),
        (client.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
    ):
        try:
            create(**names)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
