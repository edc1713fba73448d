"""Metrics of asynchronous endpoints: names, dimensions and units of the developer guide, and no others."""

from __future__ import annotations

from tests.sandbox_async.containers import Gate
from tests.sandbox_async.plane import AsyncPlane

OF_ENDPOINT = {
    "ApproximateBacklogSize": "Count",
    "ApproximateBacklogSizePerInstance": "Count",
    "ApproximateAgeOfOldestRequest": "Seconds",
    "HasBacklogWithoutCapacity": "Count",
}
OF_VARIANT = {
    "RequestDownloadFailures": "Count",
    "ResponseUploadFailures": "Count",
    "NotificationFailures": "Count",
    "RequestDownloadLatency": "Microseconds",
    "ResponseUploadLatency": "Microseconds",
    "ExpiredRequests": "Count",
    "InvocationFailures": "Count",
    "InvocationsProcessed": "Count",
    "TimeInBacklog": "Milliseconds",
    "TotalProcessingTime": "Milliseconds",
    "Invocation4XXErrors": "None",
    "Invocation5XXErrors": "None",
    "ModelLatency": "Microseconds",
}


def latest(plane: AsyncPlane, name: str) -> float:
    values = plane.metric(name, EndpointName="ep")
    return values[-1] if values else -1.0


def test_what_is_published_of_a_request(plane: AsyncPlane) -> None:
    # GIVEN an endpoint on which a request has completed and one has failed
    endpoint = plane.serve_async()
    plane.submit(InputLocation=plane.upload(b"x"))
    plane.submit(InputLocation="s3://data/none")
    plane.endings(2)
    plane.quiet(endpoint)
    plane.until(lambda: len(plane.metric("TotalProcessingTime")) == 2)

    # WHEN all that was recorded is looked at
    recorded = {
        (namespace, name, unit, tuple(dimension for dimension, _ in dimensions))
        for _, namespace, name, unit, _, dimensions in plane.metrics.records
    }

    # THEN every metric is one of the list, with its unit and dimensions
    legal = {("AWS/SageMaker", name, unit, ("EndpointName",)) for name, unit in OF_ENDPOINT.items()}
    for name, unit in OF_VARIANT.items():
        legal.add(("AWS/SageMaker", name, unit, ("EndpointName", "VariantName")))
    for name in ("Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency"):
        # of one fleet, for rollback alarms, as for real-time endpoints
        dimensions = ("EndpointName", "VariantName", "EndpointConfigName")
        legal.add(("AWS/SageMaker", name, OF_VARIANT[name], dimensions))
    assert recorded <= legal
    # and these are there
    assert plane.metric("InvocationsProcessed") == [1.0, 1.0]
    assert plane.metric("Invocation5XXErrors") == [0.0]
    assert plane.metrics.values(
        "ModelLatency", EndpointName="ep", VariantName="AllTraffic", EndpointConfigName="config"
    ) == plane.metric("ModelLatency")
    for name in ("RequestDownloadLatency", "ResponseUploadLatency", "ModelLatency"):
        assert [value > 0 for value in plane.metric(name)] == [True]
    assert len(plane.metric("TimeInBacklog")) == 2


def test_the_backlog_while_there_are_instances(plane: AsyncPlane) -> None:
    # GIVEN two instances that work on one request each
    gate = Gate()
    endpoint = plane.serve_async(gate, count=2, concurrency=1)

    # WHEN five requests are there
    for _ in range(5):
        plane.submit(b"x")

    # THEN what waits and what is in work is the backlog, shared by the instances
    plane.until(lambda: latest(plane, "ApproximateBacklogSize") == 5)
    plane.until(lambda: latest(plane, "ApproximateBacklogSizePerInstance") == 2.5)
    assert latest(plane, "HasBacklogWithoutCapacity") == 0
    # and the age is in seconds of AWS time, of which sixty pass in one
    plane.until(lambda: latest(plane, "ApproximateAgeOfOldestRequest") > 30)
    gate.open = True
    plane.quiet(endpoint)
    plane.until(lambda: latest(plane, "ApproximateBacklogSize") == 0)
    plane.until(lambda: latest(plane, "ApproximateAgeOfOldestRequest") == 0)


def test_the_backlog_without_instances(plane: AsyncPlane) -> None:
    # GIVEN an endpoint at zero instances
    endpoint = plane.serve_async()
    plane.scale(endpoint, 0)
    plane.metrics.records.clear()
    plane.until(lambda: latest(plane, "HasBacklogWithoutCapacity") == 0)

    # WHEN requests wait
    plane.submit(b"x")
    plane.submit(b"x")

    # THEN the metric that wakes it says so, and the backlog counts as that of one instance
    plane.until(lambda: latest(plane, "HasBacklogWithoutCapacity") == 1)
    plane.until(lambda: latest(plane, "ApproximateBacklogSizePerInstance") == 2)
    plane.scale(endpoint, 1)
    plane.until(lambda: latest(plane, "HasBacklogWithoutCapacity") == 0)
