"""All queues: one for each asynchronous endpoint, from its creation to its deletion."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox.async_queue.locations import failure_location, output_location
from sandbox.async_queue.measures import Measures
from sandbox.async_queue.notices import TEST_NOTIFICATION, Publisher, topics
from sandbox.async_queue.objects import ObjectStore
from sandbox.async_queue.queue import EndpointQueue
from sandbox.async_queue.request import AsyncRequest, Submission
from sandbox.async_queue.work import Work
from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.logs import LogPublisher
from sandbox.metrics import MetricPublisher
from sandbox.runtime.upstream import Upstream
from sandbox.store import Endpoint, Params

log = logging.getLogger(__name__)

# disk, S3 and SNS block here; more would only wait for the same disk and the same gateway
_THREADS = 16


class TopicRefused(Exception):
    """A topic does not take notifications; the text is the endpoint's FailureReason."""


class AsyncQueues:
    """Makes queues, gives requests to them, and ends them with their endpoints.

    Args:
        folder: Where the queues are on disk. What is there at the start is taken up when the endpoint is
            created again: the process was killed before.
        aws: S3 and SNS.
        metrics: To CloudWatch.
        logs: To CloudWatch Logs.
        clock: The time scale.
    """

    def __init__(
        self, folder: Path, aws: LocalAws, metrics: MetricPublisher, logs: LogPublisher, clock: Clock
    ) -> None:
        self._folder = folder
        self._aws = aws
        self._metrics = metrics
        self._logs = logs
        self._clock = clock
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="async-queue")
        self._upstream = Upstream()
        self._queues: dict[str, EndpointQueue] = {}
        self._measuring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to measure."""
        self._measuring = asyncio.create_task(self._measure(), name="async queue metrics")

    async def stop(self) -> None:
        """End all queues. An account ends with its sandbox, so nothing is kept of them."""
        await self.abandon()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def abandon(self) -> None:
        """End all work and leave the disk as a killed process would."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))
        self._queues.clear()
        self._upstream.close()
        await asyncio.to_thread(self._executor.shutdown)

    async def check_topics(self, endpoint: Endpoint, config: Params) -> None:
        """Send the TestNotification to the topics of a configuration.

        Args:
            endpoint: The endpoint.
            config: The AsyncInferenceConfig.

        Raises:
            TopicRefused: A topic does not take it.
        """
        publisher = Publisher(self._aws, endpoint.scope, self._executor)
        for topic in topics(config):
            error = await publisher.try_publish(topic, TEST_NOTIFICATION)
            if error is not None:
                raise TopicRefused(
                    f'The test notification could not be published to the topic "{topic}": {error}. Please '
                    "ensure that the topic exists in the endpoint's Region and that the model's role has "
                    '"sns:Publish" permissions for it.'
                )

    async def open(self, endpoint: Endpoint) -> None:
        """Make the queue of an endpoint, before it goes into service.

        Raises:
            OSError: The disk does not allow it.
        """
        if endpoint.arn in self._queues:
            return
        scope = endpoint.scope
        folder = self._folder / scope.account / scope.region / endpoint.name.lower()
        measures = Measures(self._metrics, self._logs, endpoint)
        objects = ObjectStore(self._aws, scope, self._executor)
        work = Work(folder, objects, self._upstream, measures, self._executor)
        publisher = Publisher(self._aws, scope, self._executor)
        queue = EndpointQueue(endpoint, folder, self._executor, self._clock, work, publisher, measures)
        await queue.open()
        self._queues[endpoint.arn] = queue

    async def begin_close(self, endpoint: Endpoint) -> None:
        """End what waits for an endpoint that is being deleted; what is worked on goes on."""
        if endpoint.arn in self._queues:
            await self._queues[endpoint.arn].begin_close()

    async def end_close(self, endpoint: Endpoint) -> None:
        """Remove the queue of an endpoint whose instances are gone."""
        queue = self._queues.pop(endpoint.arn, None)
        if queue is not None:
            await queue.end_close()

    async def submit(self, endpoint: Endpoint, submission: Submission) -> AsyncRequest:
        """Accept a request.

        Args:
            endpoint: An asynchronous endpoint in service.
            submission: The request.

        Raises:
            ServiceError: InternalFailure, when the disk does not take it; it was not accepted.
        """
        config, queue = endpoint.async_inference, self._queues[endpoint.arn]
        assert config is not None  # noqa: S101 - only such endpoints have a queue
        inference_id = submission.inference_id or str(uuid.uuid4())
        received_at = time.time()

        def make(number: int) -> AsyncRequest:
            return AsyncRequest(
                number=number,
                inference_id=inference_id,
                received_at=received_at,
                output_location=output_location(
                    config, inference_id, extension=submission.extension, filename=submission.filename
                ),
                failure_location=failure_location(config, inference_id),
                input_location=submission.input_location,
                content_type=submission.content_type,
                accept=submission.accept,
                custom_attributes=submission.custom_attributes,
                ttl_seconds=submission.ttl_seconds,
                timeout_seconds=submission.timeout_seconds,
            )

        try:
            return await queue.accept(make, submission.body)
        except OSError as error:
            log.error("a request for endpoint %s was not accepted: %s", endpoint.name, error)
            raise ServiceError(
                "InternalFailure", f"The request could not be written to the queue: {error.strerror}.", 500
            ) from error

    def backlog(self, endpoint: Endpoint) -> int:
        """Requests of an endpoint that wait or are worked on."""
        queue = self._queues.get(endpoint.arn)
        return queue.backlog if queue is not None else 0

    async def _measure(self) -> None:
        while True:
            for queue in self._queues.values():
                queue.measure()
            await asyncio.sleep(self._clock.publish_interval)
