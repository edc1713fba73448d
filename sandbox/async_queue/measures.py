"""Metrics and logs of asynchronous endpoints.

Names, dimensions and units are those of "Alarms and logs for tracking metrics from asynchronous endpoints" in
the developer guide; what is not in its list, such as Invocations, is not published for these endpoints. One
name differs: the guide writes InvocationsProcesssed, CloudWatch has InvocationsProcessed.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.logs import LogPublisher
from sandbox.metrics import Dimensions, MetricPublisher
from sandbox.store import Endpoint
from sandbox.traffic import Target

NAMESPACE = "AWS/SageMaker"


class Measures:
    """Records what happens at one endpoint.

    Args:
        metrics: To CloudWatch.
        logs: To CloudWatch Logs.
        endpoint: The endpoint.
    """

    def __init__(self, metrics: MetricPublisher, logs: LogPublisher, endpoint: Endpoint) -> None:
        self._metrics = metrics
        self._logs = logs
        self._endpoint = endpoint
        self._by_endpoint: Dimensions = (("EndpointName", endpoint.name),)

    def backlog(self, *, size: int, instances: int, oldest: float) -> None:
        """Record how the queue is at this moment.

        Args:
            size: Requests that wait or are worked on.
            instances: Instances in service.
            oldest: Age of the oldest of these in AWS seconds, 0 without one.
        """
        self._gauge("ApproximateBacklogSize", "Count", size)
        self._gauge("ApproximateBacklogSizePerInstance", "Count", size / max(1, instances))
        self._gauge("ApproximateAgeOfOldestRequest", "Seconds", oldest)
        self._gauge("HasBacklogWithoutCapacity", "Count", float(size > 0 and instances == 0))

    def count(self, name: str, variant: str) -> None:
        """Count one event, for example RequestDownloadFailures, for a variant."""
        self.record(name, "Count", 1.0, variant)

    def record(self, name: str, unit: str, value: float, variant: str) -> None:
        """Record a value for a variant."""
        self._put(name, unit, value, (*self._by_endpoint, ("VariantName", variant)))

    def model_answered(self, target: Target, status: int, seconds: float) -> None:
        """Record an answer of the model, or that none came.

        Args:
            target: The variant that was asked.
            status: HTTP status; 0 without an answer, which counts as 5XX as for real-time endpoints.
            seconds: How long its containers took.
        """
        for dimensions in (target.dimensions, target.config_dimensions):
            self._put("ModelLatency", "Microseconds", round(seconds * 1_000_000), dimensions)
            self._put("Invocation4XXErrors", "None", float(400 <= status < 500), dimensions)
            self._put("Invocation5XXErrors", "None", float(status == 0 or status >= 500), dimensions)

    def log(self, inference_id: str, text: str, variant: str, instance: str | None = None) -> None:
        """Write a line of the platform log, which names the request.

        Args:
            inference_id: InferenceId.
            text: What happened.
            variant: The variant.
            instance: Id of the instance; None if the request had none.
        """
        stream = "/".join(part for part in (variant, instance, "data-log") if part)
        at = datetime.now(UTC)
        self._logs.write(
            self._endpoint.scope,
            f"/aws/sagemaker/Endpoints/{self._endpoint.name}",
            stream,
            f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}:[sagemaker logs] [{inference_id}] {text}",
        )

    def _gauge(self, name: str, unit: str, value: float) -> None:
        self._put(name, unit, value, self._by_endpoint)

    def _put(self, name: str, unit: str, value: float, dimensions: Dimensions) -> None:
        self._metrics.record(self._endpoint.scope, NAMESPACE, name, unit, value, dimensions)
