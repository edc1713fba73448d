"""Metrics on their way to CloudWatch: counted on the hot path, published once a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from sandbox.aws import LocalAws
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

Dimensions = tuple[tuple[str, str], ...]

# PutMetricData takes 1,000 data of 150 values each (API_PutMetricData, API_MetricDatum)
MAX_DATA_PER_REQUEST = 1_000
MAX_VALUES_PER_DATUM = 150
# further series in one interval are dropped and counted: memory stays bounded while CloudWatch is away
MAX_SERIES = 20_000


class _Series(NamedTuple):
    """Identifies what one datum carries values of."""

    scope: Scope
    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


class MetricPublisher:
    """Collects values and publishes them with PutMetricData, as arrays of distinct values and counts.

    The first 150 distinct values that a series sees in an interval are kept exactly; further ones are
    rounded to three significant digits, so that a burst of latencies costs hundreds of values and not
    tens of thousands. Percentiles stay within 0.5 %.

    Args:
        aws: Where CloudWatch is.
        interval: Real seconds between two publications.
    """

    def __init__(self, aws: LocalAws, *, interval: float = 1.0) -> None:
        self._aws = aws
        self._interval = interval
        self._values: dict[tuple[Scope, str, str, str, Dimensions], dict[float, int]] = {}
        self._since = time.time()
        self._dropped = 0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def record(
        self, scope: Scope, namespace: str, name: str, unit: str, value: float, dimensions: Dimensions
    ) -> None:
        """Note one value. A dictionary update; call it on the engine's thread.

        Args:
            scope: Account and Region whose CloudWatch gets it.
            namespace: For example ``AWS/SageMaker``.
            name: Metric name.
            unit: A CloudWatch unit such as ``Count`` or ``Microseconds``.
            value: The value.
            dimensions: Name and value pairs.
        """
        key = (scope, namespace, name, unit, dimensions)
        counts = self._values.get(key)
        if counts is None:
            if len(self._values) >= MAX_SERIES:
                self._dropped += 1
                return
            counts = self._values[key] = {}
        elif len(counts) >= MAX_VALUES_PER_DATUM and value not in counts:
            value = float(f"{value:.3g}")
        counts[value] = counts.get(value, 0) + 1

    async def start(self) -> None:
        """Publish every interval from now on."""
        self._since = time.time()
        self._task = asyncio.create_task(self._run(), name="metrics")

    async def stop(self) -> None:
        """Publish what is left and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Publish what was collected so far; a failure is logged, never raised."""
        values, since = self._values, self._since
        self._values, self._since = {}, time.time()
        if self._dropped:
            log.warning(
                "%d metric values were dropped: more than %d series in one interval",
                self._dropped,
                MAX_SERIES,
            )
            self._dropped = 0
        if not values:
            return
        # the start of the interval, so that a value never lands in a period after its own
        timestamp = datetime.fromtimestamp(since, UTC)
        try:
            await asyncio.to_thread(
                self._publish, [(_Series(*key), counts) for key, counts in values.items()], timestamp
            )
            self._failing = False
        except Exception as error:
            # serving goes on without its metrics; said once, not every second
            if not self._failing:
                log.warning("metrics could not be published: %s", error)
            self._failing = True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.flush()

    def _publish(self, collected: list[tuple[_Series, dict[float, int]]], timestamp: datetime) -> None:
        """Send everything; runs on a worker thread."""
        data: dict[tuple[Scope, str], list[Params]] = {}
        for series, counts in collected:
            data.setdefault((series.scope, series.namespace), []).extend(_datums(series, counts, timestamp))
        for (scope, namespace), datums in data.items():
            client: Any = self._aws.client("cloudwatch", scope)
            for start in range(0, len(datums), MAX_DATA_PER_REQUEST):
                client.put_metric_data(
                    Namespace=namespace, MetricData=datums[start : start + MAX_DATA_PER_REQUEST]
                )


def _datums(series: _Series, counts: dict[float, int], timestamp: datetime) -> Iterator[Params]:
    """The MetricDatum members of one series, each within the limit on values."""
    pairs = iter(counts.items())
    while chunk := list(islice(pairs, MAX_VALUES_PER_DATUM)):
        yield {
            "MetricName": series.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
            "Timestamp": timestamp,
            "Unit": series.unit,
            "Values": [float(value) for value, _ in chunk],
            "Counts": [float(count) for _, count in chunk],
        }
