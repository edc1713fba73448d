"""What SageMaker tells EventBridge about endpoints and transform jobs.

Shapes: developer guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge". In them statuses are
written IN_SERVICE where DescribeEndpoint says InService (those of jobs are as in the API), and times are
epoch milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from sandbox.store import Endpoint, Params, Pending, Scope, Stores, TransformJob, Variant

log = logging.getLogger(__name__)

SOURCE = "aws.sagemaker"
STATE_CHANGE = "SageMaker Endpoint State Change"
DEPLOYMENT_CHANGE = "SageMaker Endpoint Deployment State Change"
TRANSFORM_JOB_CHANGE = "SageMaker Transform Job State Change"

# real seconds; an event that EventBridge does not take within some three seconds is given up
ATTEMPTS = 6
FIRST_PAUSE = 0.1
ATTEMPT_LIMIT = 10.0
STOP_LIMIT = 2.0


class Event(NamedTuple):
    """An event for the default bus.

    Args:
        scope: Account and Region of the bus.
        detail_type: `STATE_CHANGE`, `DEPLOYMENT_CHANGE` or `TRANSFORM_JOB_CHANGE`.
        resource: ARN of the endpoint or job.
        detail: JSON.
    """

    scope: Scope
    detail_type: str
    resource: str
    detail: str


Send = Callable[[Event], Awaitable[None]]


class EventPublisher:
    """Sends events: those of one resource in order, nobody waits, a failure is retried and logged.

    Use it on the engine's thread.

    Args:
        stores: Where tags are.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._send: Send | None = None
        self._queues: dict[str, deque[Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, send: Send) -> None:
        """Say how an event gets to EventBridge.

        Args:
            send: Returns when EventBridge has the event; raises when it has not.
        """
        self._send = send

    def publish(self, endpoint: Endpoint, detail_type: str) -> None:
        """Tell EventBridge how an endpoint is at this moment; returns at once."""
        tags = self._stores.of(endpoint.scope).tags.get(endpoint.arn, {})
        detail = state(endpoint, tags) if detail_type == STATE_CHANGE else deployment(endpoint, tags)
        self._publish(endpoint.scope, detail_type, endpoint.arn, detail)

    def publish_transform_job(self, job: TransformJob) -> None:
        """Tell EventBridge how a transform job is at this moment; returns at once."""
        tags = self._stores.of(job.scope).tags.get(job.arn, {})
        self._publish(job.scope, TRANSFORM_JOB_CHANGE, job.arn, transform_job(job, tags))

    def publish_change(self, scope: Scope, detail_type: str, arn: str, detail: Params) -> None:
        """Tell EventBridge of a change of another resource; returns at once.

        Args:
            scope: Account and Region of the bus.
            detail_type: Kind of change.
            arn: ARN of the resource; its tags become the detail's Tags where the detail has a place for them.
            detail: JSON.
        """
        if "Tags" in detail:
            detail = detail | {"Tags": dict(self._stores.of(scope).tags.get(arn, {}))}
        self._publish(scope, detail_type, arn, detail)

    def _publish(self, scope: Scope, detail_type: str, arn: str, detail: Params) -> None:
        event = Event(scope, detail_type, arn, json.dumps(detail, ensure_ascii=False))
        queue = self._queues.get(arn)
        if queue is not None:
            queue.append(event)
            return
        self._queues[arn] = deque([event])
        task = asyncio.get_running_loop().create_task(self._deliver(arn), name="events")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Send what is left, as far as that is quick, and end."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_LIMIT)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, arn: str) -> None:
        queue = self._queues[arn]
        try:
            while queue:
                await self._deliver_one(queue[0])
                queue.popleft()
        finally:
            del self._queues[arn]

    async def _deliver_one(self, event: Event) -> None:
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if self._send is None:
                    raise ConnectionError("EventBridge is not there")
                async with asyncio.timeout(ATTEMPT_LIMIT):
                    await self._send(event)
            except Exception as error:
                if attempt == ATTEMPTS:
                    log.warning(
                        "the event %r of %s could not be sent: %r", event.detail_type, event.resource, error
                    )
                    return
                await asyncio.sleep(pause)
                pause *= 2
            else:
                return


def state(endpoint: Endpoint, tags: dict[str, str]) -> Params:
    """The detail of "SageMaker Endpoint State Change".

    Args:
        endpoint: The endpoint.
        tags: Its tags.
    """
    detail: Params = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config_name,
        "ProductionVariants": [_variant(variant) for variant in endpoint.variants.values()],
        "EndpointStatus": spelled(endpoint.status),
        "CreationTime": _milliseconds(endpoint.created_at),
        "LastModifiedTime": _milliseconds(endpoint.modified_at),
        "Tags": dict(tags),
    }
    if endpoint.failure_reason:
        detail["FailureReason"] = endpoint.failure_reason
    return detail


def deployment(endpoint: Endpoint, tags: dict[str, str]) -> Params:
    """The detail of "SageMaker Endpoint Deployment State Change": the same, with the running update."""
    detail = state(endpoint, tags)
    if endpoint.pending is not None:
        detail["PendingDeploymentSummary"] = _pending(endpoint.pending)
    return detail


def transform_job(job: TransformJob, tags: dict[str, str]) -> Params:
    """The detail of "SageMaker Transform Job State Change".

    Args:
        job: The job.
        tags: Its tags.
    """
    detail: Params = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "TransformJobStatus": job.status,
        **{name: value for name, value in job.request.items() if name != "TransformJobName"},
        "CreationTime": _milliseconds(job.created_at),
        "Tags": dict(tags),
    }
    for name, time in (("TransformStartTime", job.started_at), ("TransformEndTime", job.ended_at)):
        if time is not None:
            detail[name] = _milliseconds(time)
    if job.failure_reason:
        detail["FailureReason"] = job.failure_reason
    return detail


def spelled(status: str) -> str:
    """An EndpointStatus as events spell it: InService is IN_SERVICE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status).upper()


def _variant(variant: Variant) -> Params:
    summary: Params = {
        "VariantName": variant.name,
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.desired_weight,
        "CurrentInstanceCount": len(variant.fleet.in_service()),
        "DesiredInstanceCount": variant.desired_instance_count,
    }
    if variant.stage is not None:
        summary["VariantStatus"] = [
            {
                "Status": variant.stage.status,
                "StatusMessage": variant.stage.message,
                "StartTime": _milliseconds(variant.stage.started_at),
            }
        ]
    return summary


def _pending(pending: Pending) -> Params:
    return {
        "EndpointConfigName": pending.config_name,
        "StartTime": _milliseconds(pending.started_at),
        "ProductionVariants": [_variant(variant) for variant in pending.variants.values()],
    }


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
