"""Stand-ins for the AWS underneath: CloudWatch, S3, EventBridge, and what publishes to them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sandbox.events import Event
from sandbox.store import Params, Scope


class FakeAws:
    """CloudWatch and S3 as far as they are called; `alarms` holds states by name, `dates` their times."""

    def __init__(self) -> None:
        self.data: list[Params] = []
        self.objects: dict[str, Params] = {}
        self.alarms: dict[str, str] = {}
        self.dates: dict[str, Params] = {}
        self.asked = 0
        self.broken: Exception | None = None

    def client(self, service: str, scope: Scope) -> Any:
        return self

    def put_metric_data(self, **params: Any) -> None:
        self._check()
        assert 0 < len(params["MetricData"]) <= 1000
        self.data += [{**datum, "Namespace": params["Namespace"]} for datum in params["MetricData"]]

    def put_object(self, **params: Any) -> None:
        self._check()
        self.objects[params["Key"]] = params

    def describe_alarms(self, *, AlarmNames: list[str], AlarmTypes: list[str]) -> Params:  # noqa: N803 - boto3's names
        self._check()
        found = [
            {"AlarmName": name, "StateValue": self.alarms[name], **self.dates.get(name, {})}
            for name in AlarmNames
            if name in self.alarms
        ]
        self.asked += 1
        return {"MetricAlarms": found, "CompositeAlarms": []}

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


class FakeBus:
    """EventBridge as the engine sends to it; `failures` are raised by the next calls, one by one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures: list[Exception] = []

    async def put(self, event: Event) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.events.append(event)

    def details(self, detail_type: str, endpoint: str = "ep") -> list[Params]:
        """Details of the events of a kind about an endpoint, in order of arrival."""
        found = [json.loads(event.detail) for event in self.events if event.detail_type == detail_type]
        return [detail for detail in found if detail["EndpointName"] == endpoint]


@dataclass
class FakeMetrics:
    records: list[tuple[Scope, str, str, str, float, tuple[tuple[str, str], ...]]] = field(
        default_factory=list
    )

    def record(self, *record: Any) -> None:
        self.records.append(record)

    def values(self, name: str, **dimensions: str) -> list[float]:
        """Values of a metric with exactly these dimensions."""
        wanted = {(key, value) for key, value in dimensions.items()}
        return [
            value for _, _, metric, _, value, dims in self.records if metric == name and set(dims) == wanted
        ]


@dataclass
class FakeLogs:
    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def write(
        self, scope: Scope, group: str, stream: str, message: str, timestamp: int | None = None
    ) -> None:
        self.lines.append((group, stream, message))
