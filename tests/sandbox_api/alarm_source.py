"""CloudWatch in memory, for the evaluation of alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.alarms import Point
from sandbox.clock import Clock
from sandbox.store import Params, Scope

HOME, AWAY = Scope("000000000000", "ap-northeast-2"), Scope("000000000000", "us-east-1")
START = 1_800_000_000.0  # a multiple of all periods used here
LAG = Clock().data_lag
HIGH, LOW = 10.0, 1.0  # around the threshold of 5


class Source:
    """CloudWatch in memory."""

    def __init__(self) -> None:
        self.kept: dict[Scope, dict[str, Params]] = {}
        self.metrics: dict[tuple[Any, ...], list[Point]] = {}
        self.changes: list[tuple[str, str, str]] = []
        self.fired: list[tuple[str, str, str, Scope]] = []
        self.broken = ""

    def alarm(self, name: str = "a", scope: Scope = HOME, **more: Any) -> Params:
        made = {
            "AlarmName": name,
            "Namespace": "N",
            "MetricName": "m",
            "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "StateValue": "INSUFFICIENT_DATA",
            "AlarmActions": [],
            **more,
        }
        self.kept.setdefault(scope, {})[name] = {k: v for k, v in made.items() if v is not None}
        return self.kept[scope][name]

    def publish(
        self, at: float, *values: float, metric: str = "m", scope: Scope = HOME, **dimensions: str
    ) -> None:
        key = (scope, "N", metric, *sorted((dimensions or {"EndpointName": "e"}).items()))
        self.metrics.setdefault(key, []).extend(Point.of_value(at, value) for value in values)

    def scopes(self) -> list[Scope]:
        return list(self.kept)

    def alarms(self, scope: Scope) -> list[Params]:
        return list(self.kept[scope].values())

    def points(
        self, scope: Scope, namespace: str, metric: str, dimensions: Mapping[str, str]
    ) -> Sequence[Point]:
        if metric == self.broken:
            raise RuntimeError("broken")
        return self.metrics.get((scope, namespace, metric, *sorted(dimensions.items())), [])

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        self.kept[scope][alarm_name]["StateValue"] = state
        self.changes.append((alarm_name, state, reason))
