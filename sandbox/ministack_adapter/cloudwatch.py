"""ministack's CloudWatch: what alarms read, and what is repaired in it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, overload

from sandbox.alarms import Point
from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params, Scope

# CloudWatch keeps points of a second for 3 hours and then less and less (API_GetMetricData); this is what
# fits into memory under constant load, newest first
MAX_POINTS_PER_SERIES = 100_000
MAX_POINT_AGE = 14 * 24 * 3600
EVICTION_INTERVAL = 60.0


class CloudWatchAlarms:
    """The alarms and metrics of ministack's CloudWatch (`sandbox.alarms.AlarmSource`)."""

    def __init__(self) -> None:
        self._cloudwatch = module("services.cloudwatch")
        self._responses = module("core.responses")

    def scopes(self) -> Iterable[Scope]:
        """Accounts and Regions that have metric alarms."""
        return {Scope(account, region) for account, region, _ in self._cloudwatch._alarms.to_dict()}

    def alarms(self, scope: Scope) -> Iterable[Mapping[str, Any]]:
        """Live records of metric alarms."""
        alarms: list[Mapping[str, Any]] = self._cloudwatch._alarms.values_scoped(*scope)
        return alarms

    def points(
        self, scope: Scope, namespace: str, metric: str, dimensions: Mapping[str, str]
    ) -> Sequence[Point]:
        """All points of a metric with exactly these dimensions, in order of arrival."""
        key = (namespace, metric, self._cloudwatch._dims_key(dict(dimensions)))
        stored = self._cloudwatch._metrics.get_scoped(*scope, key, ())
        return _Points(stored, self._cloudwatch._point_stats)

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        """What SetAlarmState does: history, SNS actions, composite alarms."""
        request = {"AlarmName": alarm_name, "StateValue": state, "StateReason": reason}
        with self._responses.request_scope(*scope):
            self._cloudwatch._set_alarm_state({}, request, False, True)


class _Points(Sequence[Point]):
    """A view of ministack's list of points."""

    def __init__(self, stored: Sequence[Params], statistics: Callable[[Params], tuple[float, ...]]) -> None:
        self._stored = stored
        self._statistics = statistics

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...

    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        if isinstance(index, slice):
            return [self._point(stored) for stored in self._stored[index]]
        return self._point(self._stored[index])

    def _point(self, stored: Params) -> Point:
        return Point(stored["Timestamp"], *self._statistics(stored))


def repair_cloudwatch(cloudwatch: Any) -> None:
    """Leave alarm evaluation to `sandbox.alarms`, keep metric math alarms, and bound what metrics take."""
    # ministack compares an alarm with all metrics of its name, whatever their dimensions
    cloudwatch._evaluate_alarm = lambda alarm: None
    cloudwatch._evaluate_all_alarms = lambda: None
    cloudwatch._evict_old_metrics = _Eviction(cloudwatch._metrics)
    put = cloudwatch._put_metric_alarm

    @functools.wraps(put)
    def put_metric_alarm(params: Params, request: Params, is_cbor: bool, is_json: bool = False) -> Any:
        answer = put(params, request, is_cbor, is_json)
        if answer[0] < 300 and request.get("Metrics"):
            _watch_expression(cloudwatch._alarms[request["AlarmName"]], request["Metrics"])
        return answer

    cloudwatch._put_metric_alarm = put_metric_alarm


class _Eviction:
    """Forgets old points once a minute; ministack walks through all of them at every request."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self._next = 0.0

    def __call__(self) -> None:
        now = time.time()
        if now < self._next:
            return
        self._next = now + EVICTION_INTERVAL
        for (account, region, key), points in self._metrics.to_dict().items():
            young = points
            if points and points[0]["Timestamp"] < now - MAX_POINT_AGE:
                young = [point for point in points if point["Timestamp"] >= now - MAX_POINT_AGE]
            if len(young) > MAX_POINTS_PER_SERIES:
                young = young[-MAX_POINTS_PER_SERIES // 2 :]
            if not young:
                self._metrics.pop_scoped(account, region, key)
            elif len(young) != len(points):
                self._metrics.set_scoped(account, region, key, young)


def _watch_expression(alarm: Params, queries: list[Params]) -> None:
    """Let an alarm's record say that it watches metric math, as DescribeAlarms shows it."""
    single = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")
    for name in single:
        alarm.pop(name, None)
    alarm["Metrics"] = queries


def repair_alarms_of_templates(provisioners: ModuleType) -> None:
    """ministack refuses AWS::CloudWatch::Alarm with Metrics (metric math)."""
    record = provisioners._cw_metric_alarm_record

    @functools.wraps(record)
    def with_metric_math(name: str, props: Params) -> Params:
        if not props.get("Metrics"):
            plain: Params = record(name, props)
            return plain
        others = {key: value for key, value in props.items() if key != "Metrics"}
        alarm: Params = record(name, others | {"MetricName": "expression", "Namespace": "expression"})
        _watch_expression(alarm, [_metric_query(query) for query in props["Metrics"]])
        return alarm

    provisioners._cw_metric_alarm_record = with_metric_math  # type: ignore[attr-defined]


def _metric_query(query: Params) -> Params:
    """A MetricDataQuery of a template, whose numbers and booleans may be strings, with the API's types."""
    typed = dict(query)
    if "ReturnData" in typed:
        typed["ReturnData"] = str(typed["ReturnData"]).lower() == "true"
    if "Period" in typed:
        typed["Period"] = int(typed["Period"])
    if "MetricStat" in typed:
        typed["MetricStat"] = {**typed["MetricStat"], "Period": int(typed["MetricStat"]["Period"])}
    return typed
