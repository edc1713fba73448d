"""Where alarms and their metrics come from: all that the evaluation needs to know of CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sandbox.store import Scope


class Point(NamedTuple):
    """One published datum: a value that was seen some times, or a statistic set.

    Args:
        timestamp: Epoch seconds.
        samples: SampleCount.
        total: Sum.
        low: Minimum.
        high: Maximum.
    """

    timestamp: float
    samples: float
    total: float
    low: float
    high: float

    @classmethod
    def of_value(cls, timestamp: float, value: float, count: float = 1.0) -> Point:
        """A value that was seen ``count`` times."""
        return cls(timestamp, count, value * count, value, value)


class AlarmSource(Protocol):
    """CloudWatch as the evaluation sees it. Called on one thread only."""

    def scopes(self) -> Iterable[Scope]:
        """Accounts and Regions that have metric alarms."""

    def alarms(self, scope: Scope) -> Iterable[Mapping[str, Any]]:
        """Metric alarms in the words of PutMetricAlarm, plus StateValue; live records, read only."""

    def points(
        self, scope: Scope, namespace: str, metric: str, dimensions: Mapping[str, str]
    ) -> Sequence[Point]:
        """All points of the metric with exactly these dimensions, in order of arrival.

        The sequence only ever grows at its end, or is made anew. A lazy view of the stored list is best: the
        evaluation reads each point once.
        """

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        """Change an alarm's state: record it and call the actions that are not scaling policies."""
