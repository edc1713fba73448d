"""What an invocation leaves behind: metrics per variant, a log line if it failed, captured data."""

from __future__ import annotations

from time import perf_counter

from sandbox.capture import Payload
from sandbox.errors import ServiceError
from sandbox.fleet import Instance
from sandbox.logs import LogPublisher
from sandbox.metrics import Dimensions, MetricPublisher
from sandbox.runtime.answers import log_group
from sandbox.runtime.request import INFERENCE_ID, Invocation
from sandbox.serverless import ServerlessFleet
from sandbox.store import Endpoint, Scope
from sandbox.traffic import Target

NAMESPACE = "AWS/SageMaker"
COUNT = "Count"
MICROSECONDS = "Microseconds"


class Observer:
    """Records what happened to one invocation after it was routed.

    Metrics and units are those of "Amazon SageMaker AI metrics in Amazon CloudWatch", invocation metrics.
    An invocation without an answer of the model (connection lost, timed out, no instance) counts as 5XX too,
    so that an alarm on Invocation5XXErrors sees a crashing container.

    Args:
        metrics: To CloudWatch.
        logs: To CloudWatch Logs.
    """

    def __init__(self, metrics: MetricPublisher, logs: LogPublisher) -> None:
        self._metrics = metrics
        self._logs = logs

    def invoked(
        self, scope: Scope, target: Target, *, started: float, model_seconds: float, status: int
    ) -> None:
        """Record the metrics of an invocation of a variant.

        Args:
            scope: Account and Region.
            target: The variant that was chosen.
            started: `perf_counter` when the request arrived.
            model_seconds: How long the containers took.
            status: Status of the model; 0 without an answer.
        """
        total = perf_counter() - started
        fleet = target.variant.fleet
        serverless = isinstance(fleet, ServerlessFleet)  # which has no other metrics than those recorded here
        instances = len(fleet.in_service()) or 1
        for dimensions in (target.dimensions, target.config_dimensions):
            if not serverless:
                failed = float(not 200 <= status < 300)
                self._record(scope, "InvocationsPerInstance", COUNT, 1 / instances, dimensions)
                self._record(scope, "InvocationModelErrors", COUNT, failed, dimensions)
            self._record(scope, "ModelLatency", MICROSECONDS, _micro(model_seconds), dimensions)
            self._outcome(scope, dimensions, status, max(0.0, total - model_seconds))

    def container_invoked(
        self, scope: Scope, target: Target, hostname: str, *, seconds: float, overhead: float, status: int
    ) -> None:
        """Record the metrics of one container of several."""
        dimensions = (*target.dimensions, ("ContainerName", hostname))
        self._record(scope, "ContainerLatency", MICROSECONDS, _micro(seconds), dimensions)
        self._outcome(scope, dimensions, status, overhead)

    def failed(
        self, endpoint: Endpoint, target: Target, instance: Instance | None, error: ServiceError
    ) -> None:
        """Write the log line of a failed invocation."""
        stream = target.variant.name if instance is None else f"{target.variant.name}/{instance.id}"
        self._logs.write(
            endpoint.scope,
            log_group(endpoint.name),
            stream,
            f"invocation failed: {error.code}: {error.message}",
        )

    def dropped_copies(self, endpoint: Endpoint, target: Target, count: int) -> None:
        """Write the log line of requests that a shadow variant should have got and did not get."""
        self._logs.write(
            endpoint.scope,
            log_group(endpoint.name),
            target.variant.name,
            f"{count} requests were not copied to shadow variant {target.variant.name}: it is too slow, and "
            "as many copies as the sandbox holds are waiting for it.",
        )

    def capture(
        self, target: Target, invocation: Invocation, body: bytes, content_type: bytes, answer: bytes
    ) -> None:
        """Capture a successful invocation that was sampled."""
        if target.capture is not None:
            target.capture.add(
                target.variant.name,
                Payload(invocation.get(b"content-type") or "", body),
                Payload(content_type.decode("latin-1"), answer),
                invocation.get(INFERENCE_ID),
            )

    def _outcome(self, scope: Scope, dimensions: Dimensions, status: int, overhead: float) -> None:
        self._record(scope, "Invocations", COUNT, 1.0, dimensions)
        self._record(scope, "Invocation4XXErrors", COUNT, float(400 <= status < 500), dimensions)
        self._record(scope, "Invocation5XXErrors", COUNT, float(status == 0 or status >= 500), dimensions)
        self._record(scope, "OverheadLatency", MICROSECONDS, _micro(overhead), dimensions)

    def _record(self, scope: Scope, name: str, unit: str, value: float, dimensions: Dimensions) -> None:
        self._metrics.record(scope, NAMESPACE, name, unit, value, dimensions)


def _micro(seconds: float) -> float:
    return float(round(seconds * 1_000_000))
