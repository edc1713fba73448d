"""Reads from CloudWatch what an alarm sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.alarms.datapoints import AlarmMetric
from sandbox.alarms.series import is_percentile
from sandbox.alarms.source import Point
from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.store import Params, Scope

_STATISTICS = ["SampleCount", "Sum", "Minimum", "Maximum"]


class MetricReader:
    """Data points of alarms, by way of GetMetricStatistics.

    The API gives whole seconds, so that on a clock of more than 60 AWS seconds to the real one a period of
    a minute is read as one second.
    """

    def __init__(self, aws: LocalAws, clock: Clock) -> None:
        self._aws = aws
        self._clock = clock

    async def values(
        self, alarm: Params, scope: Scope, *, since: float = float("-inf"), with_running: bool = False
    ) -> list[float]:
        """The latest data points of an alarm, for as many periods as it evaluates, oldest first.

        Args:
            alarm: The alarm, in words of PutMetricAlarm.
            scope: Account and Region.
            since: Epoch seconds; periods that started before are left out.
            with_running: Whether periods count that are not over, and whose sums are not complete.

        Raises:
            ExpressionError: The alarm's metric math cannot be computed.
        """
        return await asyncio.to_thread(self._read, alarm, scope, since, with_running)

    async def alarm(self, name: str, scope: Scope) -> Params | None:
        """An alarm's definition, or None."""
        client = self._aws.client
        found = await asyncio.to_thread(
            lambda: client("cloudwatch", scope).describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])
        )
        alarms: list[Params] = found["MetricAlarms"]
        return alarms[0] if alarms else None

    def _read(self, alarm: Params, scope: Scope, since: float, with_running: bool) -> list[float]:
        metric = AlarmMetric(alarm, self._clock)
        now = time.time()
        running = int(now // metric.period)
        settled = int((now - self._clock.data_lag) // metric.period) - 1
        last = running if with_running else settled
        count = int(alarm["EvaluationPeriods"]) + last - settled
        first = last - count + 1
        start = min(first * metric.period, now - 1)

        def points(
            namespace: str, name: str, dimensions: Mapping[str, str], statistic: str
        ) -> Sequence[Point]:
            wanted: Params = {"Statistics": _STATISTICS, "Period": 1}
            if is_percentile(statistic):
                wanted = {"ExtendedStatistics": [statistic], "Period": max(1, int(metric.period))}
            answer = self._aws.client("cloudwatch", scope).get_metric_statistics(
                Namespace=namespace,
                MetricName=name,
                Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
                StartTime=datetime.fromtimestamp(int(start), UTC),
                EndTime=datetime.fromtimestamp(int(now) + 1, UTC),
                **wanted,
            )
            return [point for datapoint in answer["Datapoints"] if (point := _point(datapoint, statistic))]

        metric.read(points, first)
        window = metric.window(last, count)
        dated = zip(window.starts, window.values, strict=True)
        return [value for start, value in dated if value is not None and start >= since]


def _point(datapoint: Mapping[str, Any], statistic: str) -> Point | None:
    at = datapoint["Timestamp"].timestamp()
    if "SampleCount" in datapoint:
        return Point(at, *(datapoint[name] for name in _STATISTICS))
    value = datapoint.get("ExtendedStatistics", {}).get(statistic)
    return None if value is None else Point.of_value(at, value)
