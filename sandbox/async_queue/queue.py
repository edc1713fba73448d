"""The queue of one endpoint: what waits, who works on it, and that each request gets exactly one ending.

A request is in one of three places: waiting, in work, or ended with its notice on the way. The rules:

- it is accepted when the journal has it, and only then answered with 202;
- it goes to the instance with the fewest requests, oldest request first, at most so many at a time;
- when its model server goes away, it goes back to its old place in the queue; from the second time on it gets
  an instance for itself, so that one which kills its server takes no others with it;
- its ending is in the journal, with its notice, before the notice is sent: after a crash the notice is sent,
  but the work is not done again.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

from sandbox.async_queue.exchange import Lost
from sandbox.async_queue.journal import Journal
from sandbox.async_queue.measures import Measures
from sandbox.async_queue.notices import Publisher, compose
from sandbox.async_queue.request import AsyncRequest, Ending, Notice
from sandbox.async_queue.work import Assignment, Work
from sandbox.clock import Clock
from sandbox.runtime.answers import SERVING
from sandbox.store import Endpoint, Params
from sandbox.traffic import Target

log = logging.getLogger(__name__)

# a request that takes its model server with it must not do so for ever, nor harm others
ALONE_AFTER = 2
MAX_LOSSES = 6
_LOST = (
    "ClientError: Received server error (0) from model. "
    "See the SageMaker Endpoint logs in your account for more information."
)
_DELETED = "The endpoint was deleted before the request was processed."
_EXPIRED = "The request expired: it was not processed within the {ttl} s of its RequestTTLSeconds."
# how soon an instance is seen that has come or become free elsewhere
_LOOK_SECONDS = 0.05
# how soon a full disk is tried again, and how long notices of a deleted endpoint are waited for
_DISK_SECONDS = 1.0
_LAST_NOTICES_SECONDS = 5.0
# notices under way; beyond that endings wait, so that a topic that is gone does not fill the memory
_MAX_NOTICES = 128


class EndpointQueue:
    """The queue of one endpoint. Used on the engine's loop only.

    Args:
        endpoint: The endpoint.
        folder: Where the queue is on disk.
        executor: Where disk and AWS block.
        clock: The time scale of RequestTTLSeconds.
        work: Does the work.
        publisher: Sends the notices.
        measures: Metrics and logs.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        folder: Path,
        executor: Executor,
        clock: Clock,
        work: Work,
        publisher: Publisher,
        measures: Measures,
    ) -> None:
        self.endpoint = endpoint
        self._folder = folder
        self._executor = executor
        self._clock = clock
        self._work = work
        self._publisher = publisher
        self._measures = measures
        self._journal = Journal(folder, executor)
        self._last = 0
        self._waiting: dict[int, AsyncRequest] = {}
        self._order: list[int] = []  # a heap of their numbers
        self._expiries: list[tuple[float, int]] = []  # a heap: epoch seconds, number
        self._in_work: dict[int, AsyncRequest] = {}
        self._losses: dict[int, int] = {}
        self._notices = asyncio.Semaphore(_MAX_NOTICES)
        self._wake = asyncio.Event()
        self._closing = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def backlog(self) -> int:
        """Requests that wait or are worked on."""
        return len(self._waiting) + len(self._in_work)

    async def open(self) -> None:
        """Take up what a crash has left on disk, and begin to work.

        Raises:
            OSError: The disk does not allow it.
        """
        loop = asyncio.get_running_loop()
        contents = await loop.run_in_executor(self._executor, self._journal.open)
        await loop.run_in_executor(self._executor, self._work.tidy, contents.waiting.keys())
        self._last = contents.last
        for request in contents.waiting.values():
            self._enqueue(request)
        for request, notice in contents.notices.values():
            await self._notices.acquire()
            self._spawn(self._notify(request, notice))
        if self.backlog:
            log.warning("endpoint %s: %d requests are taken up again", self.endpoint.name, self.backlog)
        self._dispatcher = loop.create_task(self._run(), name=f"async queue {self.endpoint.name}")

    async def accept(self, make: Callable[[int], AsyncRequest], body: bytes | None) -> AsyncRequest:
        """Put a request into the queue; it is durable when this returns.

        Args:
            make: Gives the request, with its number.
            body: What it brought along; None if its input is in S3.

        Raises:
            OSError: The disk does not take it.
        """
        self._last += 1
        request = make(self._last)
        if body is not None:
            file = self._work.body_file(request.number)
            await asyncio.get_running_loop().run_in_executor(self._executor, _write_durably, file, body)
        await self._journal.accepted(request)
        if self._closing:  # deleted meanwhile
            self._in_work[request.number] = request
            await self._end_unserved(request, _DELETED)
        else:
            self._enqueue(request)
        return request

    async def begin_close(self) -> None:
        """The endpoint is deleted: end what waits, let what is in work go on."""
        self._closing = True
        await self._cancel(self._dispatcher)
        waiting, self._waiting = list(self._waiting.values()), {}
        for request in waiting:
            self._in_work[request.number] = request
        await asyncio.gather(*(self._end_unserved(request, _DELETED) for request in waiting))

    async def end_close(self) -> None:
        """The endpoint's instances are gone: wait for the last endings, remove the queue from the disk."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_NOTICES_SECONDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def stop(self) -> None:
        """End all work; what is on disk stays there."""
        await self._cancel(self._dispatcher)
        for task in list(self._tasks):
            await self._cancel(task)
        await self._journal.close()

    def measure(self) -> None:
        """Record the metrics of the queue as it is now."""
        fleets = {target.variant.fleet for target in self._targets()}
        numbers = [*self._in_work, *self._waiting]
        oldest = 0.0
        if numbers:
            number = min(numbers)
            request = self._in_work.get(number) or self._waiting[number]
            oldest = max(0.0, time.time() - request.received_at) * self._clock.scale
        instances = sum(len(fleet.in_service()) for fleet in fleets)
        self._measures.backlog(size=self.backlog, instances=instances, oldest=oldest)

    def _enqueue(self, request: AsyncRequest) -> None:
        self._waiting[request.number] = request
        heapq.heappush(self._order, request.number)
        expires_at = request.received_at + self._clock.real(request.ttl_seconds)
        heapq.heappush(self._expiries, (expires_at, request.number))
        self._wake.set()

    async def _run(self) -> None:
        """Hand requests to instances, and end those that have waited too long."""
        while True:
            self._wake.clear()
            try:
                self._expire()
                while self._start_next():
                    pass
            except Exception:
                log.exception("the queue of endpoint %s stumbled", self.endpoint.name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS if self._waiting else None)

    def _expire(self) -> None:
        now = time.time()
        while self._expiries and self._expiries[0][0] <= now:
            _, number = heapq.heappop(self._expiries)
            request = self._waiting.pop(number, None)
            if request is not None:
                self._in_work[number] = request
                self._spawn(self._end_expired(request))

    def _targets(self) -> list[Target]:
        routes = self.endpoint.routes
        return [] if routes is None or self.endpoint.status not in SERVING else routes.with_weight()

    def _start_next(self) -> bool:
        """Hand the oldest request to an instance, if there is one that is free; whether it was."""
        while self._order and self._order[0] not in self._waiting:
            heapq.heappop(self._order)  # it has expired
        if not self._order:
            return False
        number = self._order[0]
        assigned = self._assign(self._waiting[number], alone=self._losses.get(number, 0) >= ALONE_AFTER)
        if assigned is None:
            return False
        job, places = assigned
        heapq.heappop(self._order)
        self._in_work[number] = self._waiting.pop(number)
        self._spawn(self._serve(job, places))
        return True

    def _assign(self, request: AsyncRequest, *, alone: bool) -> tuple[Assignment, int] | None:
        """An instance that may take a request: of the variant whose turn it is, or else of any other.

        Args:
            request: The request.
            alone: It wants an instance for itself.

        Returns:
            The assignment, and how many places of the instance it takes.
        """
        targets = self._targets()
        if not targets:
            return None
        routes = self.endpoint.routes
        assert routes is not None  # noqa: S101 - it gave the targets
        chosen = routes.choose(random.random)
        for target in (chosen, *(each for each in targets if each is not chosen)):
            fleet = target.variant.fleet
            limit = self._concurrency(fleet.model.request)
            places = limit if alone else 1
            instance = fleet.try_acquire(limit, places)
            if instance is not None:
                return Assignment(request, target, instance, self._config), places
        return None

    def _concurrency(self, model: Params) -> int:
        """MaxConcurrentInvocationsPerInstance, or as many as the model server works on side by side."""
        given = (self._config.get("ClientConfig") or {}).get("MaxConcurrentInvocationsPerInstance")
        if given:
            return int(given)
        containers = [model["PrimaryContainer"]] if "PrimaryContainer" in model else model["Containers"]
        workers = [
            each.get("Environment", {}).get("SAGEMAKER_MODEL_SERVER_WORKERS", "1") for each in containers
        ]
        return min(int(text) if text.isdecimal() and int(text) else 1 for text in workers)

    @property
    def _config(self) -> Params:
        assert self.endpoint.async_inference is not None  # noqa: S101 - only such endpoints have a queue
        return self.endpoint.async_inference

    async def _serve(self, job: Assignment, places: int) -> None:
        request, fleet = job.request, job.target.variant.fleet
        waited = (time.time() - request.received_at) * 1000
        try:
            ending = await self._work.run(job)
        except Lost as lost:
            fleet.report_failure(job.instance)
            self._again(job, received=lost.received)
        except Exception as error:
            log.exception("endpoint %s: request %s failed", self.endpoint.name, request.inference_id)
            text = f"InternalServerError: the sandbox failed, see its log: {error}"
            await self._end_unserved(request, text, job.variant)
        else:
            self._measures.record("TimeInBacklog", "Milliseconds", max(0.0, round(waited)), job.variant)
            await self._end(request, ending, job.variant)
        finally:
            fleet.release(job.instance, places)
            self._wake.set()

    def _again(self, job: Assignment, *, received: bool) -> None:
        """Back into the queue, unless the endpoint goes or the request is to blame."""
        request, number = job.request, job.request.number
        self._losses[number] = self._losses.get(number, 0) + received
        text = "the model server went away while it worked on the request"
        self._measures.log(request.inference_id, text, job.variant, job.instance.id)
        if self._closing or self._losses[number] >= MAX_LOSSES:
            reason = _DELETED if self._closing else _LOST
            self._spawn(self._end_unserved(request, reason, job.variant))
            return
        del self._in_work[number]
        self._enqueue(request)

    async def _end_expired(self, request: AsyncRequest) -> None:
        variant = self._any_variant()
        self._measures.count("ExpiredRequests", variant)
        reason = _EXPIRED.format(ttl=request.ttl_seconds)
        self._measures.log(request.inference_id, reason, variant)
        await self._end(request, Ending("Expired", time.time(), reason), variant)

    async def _end_unserved(self, request: AsyncRequest, reason: str, variant: str | None = None) -> None:
        """End a request as a failure that no model answered."""
        variant = variant or self._any_variant()
        ending = await self._work.fail(request, self._config, reason, variant)
        await self._end(request, ending, variant)

    async def _end(self, request: AsyncRequest, ending: Ending, variant: str) -> None:
        """The one place where a request gets its ending."""
        endpoint, number = self.endpoint, request.number
        notice = compose(self._config, endpoint.scope, endpoint.name, request, ending, variant)
        if notice is None:
            await self._durably(lambda: self._journal.done(number))
        else:
            await self._notices.acquire()
            await self._durably(lambda: self._journal.ended(request, notice))
            self._spawn(self._notify(request, notice))
        del self._in_work[number]
        self._losses.pop(number, None)
        self._executor.submit(self._work.body_file(number).unlink, missing_ok=True)
        if ending.status != "Expired":
            self._measures.count("InvocationsProcessed", variant)
        if notice is None:
            self._note_total(request, variant)
        self._wake.set()

    async def _notify(self, request: AsyncRequest, notice: Notice) -> None:
        """Send a notice; the semaphore was acquired for it."""
        try:
            taken = await self._publisher.publish(
                notice, lambda: self._measures.count("NotificationFailures", notice.variant)
            )
            if not taken:
                text = f"The notification could not be published to {notice.topic}"
                self._measures.log(request.inference_id, text, notice.variant)
            self._note_total(request, notice.variant)
            await self._durably(lambda: self._journal.done(request.number))
        finally:
            self._notices.release()

    def _note_total(self, request: AsyncRequest, variant: str) -> None:
        total = max(0.0, round((time.time() - request.received_at) * 1000))
        self._measures.record("TotalProcessingTime", "Milliseconds", total, variant)

    async def _durably(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the journal, however long the disk is full: an ending that is not noted is none."""
        while True:
            try:
                await write()
            except OSError as error:
                log.error("the queue of endpoint %s cannot be written: %s", self.endpoint.name, error)
                await asyncio.sleep(_DISK_SECONDS)
            else:
                return

    def _any_variant(self) -> str:
        """The variant that a request counts for which none has worked on."""
        return next(iter(self.endpoint.variants), "")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work on the queue of endpoint %s failed", self.endpoint.name, exc_info=error)

    async def _cancel(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _write_durably(file: Path, body: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(body)
        opened.flush()
        os.fsync(opened.fileno())
