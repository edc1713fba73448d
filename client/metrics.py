"""An endpoint's figures in CloudWatch over a window of time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from client.connection import Connection

SAGEMAKER = "AWS/SageMaker"
_MINUTE = 60
# API GetMetricData takes so many queries at once
_QUERIES_PER_CALL = 500

Dimensions = Mapping[str, str]
# key -> metric, statistic; latencies come in microseconds (guide, monitoring)
Queries = Mapping[str, tuple[str, str]]
Figures = dict[str, float | None]

_COUNTS: Queries = {
    "invocations": ("Invocations", "Sum"),
    "errors_4xx": ("Invocation4XXErrors", "Sum"),
    "errors_5xx": ("Invocation5XXErrors", "Sum"),
}
VARIANT: Queries = {
    **_COUNTS,
    "model_latency_p50_ms": ("ModelLatency", "p50"),
    "model_latency_p99_ms": ("ModelLatency", "p99"),
    "overhead_latency_p99_ms": ("OverheadLatency", "p99"),
}
CONTAINER: Queries = {
    **_COUNTS,
    "latency_p50_ms": ("ContainerLatency", "p50"),
    "latency_p99_ms": ("ContainerLatency", "p99"),
}
FLEET: Queries = _COUNTS


@dataclass(frozen=True)
class Window:
    """The time that figures cover, up to now.

    Args:
        seconds: How long; above 0.
        period: Seconds that one value of CloudWatch covers. AWS publishes endpoint metrics each minute, so
            there it is a multiple of 60.
    """

    seconds: float
    period: int

    @classmethod
    def of(cls, seconds: float) -> Window:
        """So many seconds at least, in whole minutes."""
        period = math.ceil(seconds / _MINUTE) * _MINUTE
        return cls(period, period)

    @classmethod
    def latest(cls, connection: Connection) -> Window:
        """What has just happened: the sandbox publishes each second, AWS each minute and a little late."""
        return cls(3, 1) if connection.is_sandbox else cls(3 * _MINUTE, _MINUTE)

    def bounds(self) -> tuple[datetime, datetime]:
        """Start and end."""
        end = datetime.now(UTC)
        if self.period % _MINUTE == 0:
            # whole minutes: CloudWatch moves a start in the middle of one
            end = end.replace(second=0, microsecond=0) + timedelta(minutes=1)
        else:
            end = end.replace(microsecond=0) + timedelta(seconds=1)
        return end - timedelta(seconds=self.seconds), end


HOUR = Window(3600, 3600)


def figures(
    connection: Connection,
    series: Mapping[str, Dimensions],
    queries: Queries,
    window: Window,
    namespace: str = SAGEMAKER,
) -> dict[str, Figures]:
    """What CloudWatch has of several things that carry the same metrics.

    The window may span several periods: counts are added up, and of percentiles the worst one is taken.

    Args:
        connection: Where to ask.
        series: Dimensions by the name that the answer is to use.
        queries: Which metrics; for example `VARIANT`.
        window: Over which time.
        namespace: Whose metrics; by default SageMaker's.

    Returns:
        By name and key of the query; None where CloudWatch has no data.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: CloudWatch could not be asked.
    """
    values = _values(connection, series, queries, window, namespace)
    return {
        name: {key: _one(key, values.get(_identifier(number, key), [])) for key in queries}
        for number, name in enumerate(series)
    }


def newest_figures(
    connection: Connection, dimensions: Dimensions, queries: Queries, window: Window
) -> Figures:
    """The newest value of each metric of one thing, such as the length of a queue; None where there is none.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: CloudWatch could not be asked.
    """
    values = _values(connection, {"": dimensions}, queries, window, SAGEMAKER)
    # CloudWatch gives the newest first (API GetMetricData, ScanBy)
    return {key: _one(key, values.get(_identifier(0, key), [])[:1]) for key in queries}


def _values(
    connection: Connection,
    series: Mapping[str, Dimensions],
    queries: Queries,
    window: Window,
    namespace: str,
) -> dict[str, list[float]]:
    """All values by the identifier of their query, newest first."""
    wanted = [
        {
            "Id": _identifier(number, key),
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                },
                "Period": window.period,
                "Stat": statistic,
            },
        }
        for number, dimensions in enumerate(series.values())
        for key, (metric, statistic) in queries.items()
    ]
    start, end = window.bounds()
    values: dict[str, list[float]] = {}
    for first in range(0, len(wanted), _QUERIES_PER_CALL):
        pages = (
            connection.client("cloudwatch")
            .get_paginator("get_metric_data")
            .paginate(
                MetricDataQueries=wanted[first : first + _QUERIES_PER_CALL], StartTime=start, EndTime=end
            )
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                values.setdefault(result["Id"], []).extend(result["Values"])
    return values


def variant_figures(
    connection: Connection, endpoint_name: str, variants: Sequence[str], window: Window
) -> dict[str, Figures]:
    """Invocations, errors and latencies by variant; a shadow variant counts as one."""
    series = {variant: _variant(endpoint_name, variant) for variant in variants}
    return figures(connection, series, VARIANT, window)


def container_figures(
    connection: Connection, endpoint_name: str, variant: str, hostnames: Sequence[str], window: Window
) -> dict[str, Figures]:
    """Invocations, errors and latencies by container of a variant."""
    series = {
        hostname: {**_variant(endpoint_name, variant), "ContainerName": hostname} for hostname in hostnames
    }
    return figures(connection, series, CONTAINER, window)


def fleet_figures(
    connection: Connection,
    endpoint_name: str,
    variants: Sequence[str],
    configs: Sequence[str],
    window: Window,
) -> dict[str, Figures]:
    """Invocations and errors by endpoint configuration: while an update runs, old and new fleet."""
    series = {
        f"{config}/{variant}": {**_variant(endpoint_name, variant), "EndpointConfigName": config}
        for config in configs
        for variant in variants
    }
    found = figures(connection, series, FLEET, window)
    return {
        config: {key: _sum([found[f"{config}/{variant}"][key] for variant in variants]) for key in FLEET}
        for config in configs
    }


def _variant(endpoint_name: str, variant: str) -> dict[str, str]:
    return {"EndpointName": endpoint_name, "VariantName": variant}


def _identifier(number: int, key: str) -> str:
    return f"m{number}_{key}"


def _one(key: str, values: Sequence[float]) -> float | None:
    if not values:
        return None
    return round(max(values) / 1000, 3) if key.endswith("_ms") else sum(values)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
