"""The data points of an alarm: of one metric, or of an expression over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.alarms.metric_math import ExpressionError, TimeSeries, evaluate
from sandbox.alarms.series import Series, is_statistic
from sandbox.alarms.source import Point
from sandbox.clock import Clock

ReadPoints = Callable[[str, str, Mapping[str, str], str], Sequence[Point]]

_DEFAULT_PERIOD = 60
_GROWING = {"Sum", "SampleCount", "Maximum"}


@dataclass(frozen=True)
class AlarmWindow:
    """A run of periods, oldest first.

    Args:
        starts: When each period starts, epoch seconds.
        values: Its data point, or None.
    """

    starts: list[float]
    values: TimeSeries


@dataclass(frozen=True)
class _Query:
    """A metric with a statistic."""

    namespace: str
    metric: str
    dimensions: dict[str, str]
    statistic: str
    series: Series


class AlarmMetric:
    """What an alarm watches, in words of PutMetricAlarm.

    Args:
        alarm: The alarm; `Metrics` wins over a single metric.
        clock: Its scale divides the period.

    Raises:
        ExpressionError: Something that the sandbox does not evaluate.
    """

    def __init__(self, alarm: Mapping[str, Any], clock: Clock) -> None:
        self._definition = _definition(alarm)
        self._expressions: dict[str, str] = {}
        self._queries: dict[str, _Query] = {}
        queries = alarm.get("Metrics") or []
        periods = {_period(query) for query in queries} - {None} or {alarm.get("Period") or _DEFAULT_PERIOD}
        if len(periods) > 1:
            raise ExpressionError("all metrics of an alarm must have the same period")
        self.period = clock.real(float(max(filter(None, periods))))
        if queries:
            self._result = _result_id(queries)
            for query in queries:
                self._add(query)
        else:
            self._result = "m"
            statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
            self._queries["m"] = _query(alarm, statistic, self.period)

    def _add(self, query: Mapping[str, Any]) -> None:
        if query.get("Expression"):
            self._expressions[query["Id"]] = query["Expression"]
        elif query.get("MetricStat"):
            stat = query["MetricStat"]
            self._queries[query["Id"]] = _query(stat["Metric"], stat["Stat"], self.period)
        else:
            raise ExpressionError(f"the query {query.get('Id')!r} has neither MetricStat nor Expression")

    def is_for(self, alarm: Mapping[str, Any]) -> bool:
        """Whether the alarm still watches the same."""
        return self._definition == _definition(alarm)

    def read(self, points: ReadPoints, oldest: int) -> None:
        """Take in new points.

        Args:
            points: Gives the points of a namespace, metric and exact dimensions, for a statistic.
            oldest: Number of the oldest period of interest.
        """
        for query in self._queries.values():
            found = points(query.namespace, query.metric, query.dimensions, query.statistic)
            query.series.absorb(found, oldest)

    def window(self, last: int, count: int) -> AlarmWindow:
        """The data points of the periods up to and including number `last`."""
        first = last - count + 1
        series = {
            id_: query.series.values(first, last, query.statistic) for id_, query in self._queries.items()
        }
        values = series[self._result] if self._result in series else self._compute(series, count)
        return AlarmWindow([number * self.period for number in range(first, last + 1)], values)

    def is_decided(self, number: int, comparison: str, threshold: float) -> bool | None:
        """Whether a period that is not over breaches whatever is still published in it; None if that is open.

        A statistic that only grows stays above a threshold that it has passed, one that only falls below it.
        """
        query = self._queries.get(self._result)
        bucket = query and query.series.buckets.get(number)
        if query is None or not bucket or bucket.count <= 0:
            return None
        value = bucket.statistic(query.statistic)
        if value is None:
            return None
        # "> t" and "<= t" part at values above t, ">= t" and "< t" at values from t
        strict = comparison in ("GreaterThanThreshold", "LessThanOrEqualToThreshold")
        above = value > threshold if strict else value >= threshold
        grows = query.statistic in _GROWING and (query.statistic != "Sum" or bucket.low >= 0)
        if (grows and above) or (query.statistic == "Minimum" and not above):
            return above == comparison.startswith("Greater")
        return None

    def _compute(self, series: dict[str, TimeSeries], count: int) -> TimeSeries:
        known = dict(series)
        waiting = dict(self._expressions)
        while waiting:
            ready = {id_: text for id_, text in waiting.items() if not _mentions(text, set(waiting))}
            if not ready:
                raise ExpressionError(f"the expressions {', '.join(sorted(waiting))} refer to each other")
            for id_, text in ready.items():
                value = evaluate(text, known, series)
                if isinstance(value, list) and any(isinstance(item, list) for item in value):
                    raise ExpressionError(f"the expression {id_!r} gives several time series")
                known[id_] = [value] * count if isinstance(value, float) else value  # type: ignore[assignment]
                del waiting[id_]
        return known[self._result]


def _definition(alarm: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("Metrics", "Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period")
    return tuple(repr(alarm.get(name)) for name in names)


def _period(query: Mapping[str, Any]) -> int | None:
    return (query.get("MetricStat") or {}).get("Period") or query.get("Period")


def _result_id(queries: Sequence[Mapping[str, Any]]) -> str:
    returned = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise ExpressionError("exactly one query of an alarm has ReturnData true")
    return str(returned[0])


def _query(metric: Mapping[str, Any], statistic: str, period: float) -> _Query:
    if not metric.get("Namespace") or not metric.get("MetricName"):
        raise ExpressionError("the alarm names no metric")
    if not is_statistic(statistic):
        raise ExpressionError(f"the sandbox does not compute the statistic {statistic!r}")
    dimensions = {item["Name"]: item["Value"] for item in metric.get("Dimensions") or []}
    return _Query(metric["Namespace"], metric["MetricName"], dimensions, statistic, Series(period))


def _mentions(expression: str, ids: set[str]) -> bool:
    words = set("".join(char if char.isalnum() or char == "_" else " " for char in expression).split())
    return bool(words & ids)
