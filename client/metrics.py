"""The last hour of an endpoint in CloudWatch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from client.connection import Connection

_HOUR = 3600
# key -> metric of namespace AWS/SageMaker, statistic; latencies come in microseconds (guide, monitoring)
_QUERIES = {
    "invocations": ("Invocations", "Sum"),
    "errors_4xx": ("Invocation4XXErrors", "Sum"),
    "errors_5xx": ("Invocation5XXErrors", "Sum"),
    "model_latency_p50_ms": ("ModelLatency", "p50"),
    "model_latency_p99_ms": ("ModelLatency", "p99"),
    "overhead_latency_p99_ms": ("OverheadLatency", "p99"),
}


def last_hour(
    connection: Connection, endpoint_name: str, variants: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Invocations, errors and latencies of each variant over the last hour.

    A clock hour may cut the last hour in two, and CloudWatch then gives two values: counts are added up, and
    of two percentiles the worse one is taken.

    Returns:
        By variant; None where CloudWatch has no data.
    """
    # whole minutes: CloudWatch moves a start in the middle of one
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    queries = [
        _query(f"m{number}_{key}", endpoint_name, variant, *_QUERIES[key])
        for number, variant in enumerate(variants)
        for key in _QUERIES
    ]
    if not queries:
        return {}
    pages = (
        connection.client("cloudwatch")
        .get_paginator("get_metric_data")
        .paginate(MetricDataQueries=queries, StartTime=end - timedelta(seconds=_HOUR), EndTime=end)
    )
    values: dict[str, list[float]] = {}
    for page in pages:
        for result in page["MetricDataResults"]:
            values.setdefault(result["Id"], []).extend(result["Values"])
    return {
        variant: {key: _one(key, values.get(f"m{number}_{key}", [])) for key in _QUERIES}
        for number, variant in enumerate(variants)
    }


def _query(identifier: str, endpoint_name: str, variant: str, metric: str, statistic: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint_name}, {"Name": "VariantName", "Value": variant}]
    stat = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions}
    return {"Id": identifier, "MetricStat": {"Metric": stat, "Period": _HOUR, "Stat": statistic}}


def _one(key: str, values: Sequence[float]) -> float | None:
    if not values:
        return None
    return round(max(values) / 1000, 3) if key.endswith("_ms") else sum(values)
