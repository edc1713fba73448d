"""Points of one metric, gathered into the periods of an alarm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sandbox.alarms.source import Point

_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d+)?|100)", re.IGNORECASE)


@dataclass
class Bucket:
    """What was published within one period."""

    count: float = 0.0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    samples: dict[float, float] = field(default_factory=dict)  # value -> how often
    only_values: bool = True  # False when a statistic set of differing values came in

    def add(self, point: Point) -> None:
        """Count a point in."""
        self.count += point.samples
        self.total += point.total
        self.low = min(self.low, point.low)
        self.high = max(self.high, point.high)
        if point.low == point.high:
            self.samples[point.low] = self.samples.get(point.low, 0.0) + point.samples
        else:
            self.only_values = False

    def statistic(self, name: str) -> float | None:
        """A statistic by CloudWatch's name, such as ``Average`` or ``p99``; None when it cannot be told.

        Percentiles need single values, as CloudWatch's do: not negative ones, and no statistic sets.
        """
        if self.count <= 0:
            return None
        match name:
            case "SampleCount":
                return self.count
            case "Sum":
                return self.total
            case "Average":
                return self.total / self.count
            case "Minimum":
                return self.low
            case "Maximum":
                return self.high
        if not is_percentile(name) or not self.only_values or self.low < 0:
            return None
        return _percentile(sorted(self.samples.items()), float(name[1:]))


def is_percentile(name: str) -> bool:
    """Whether a statistic's name is a percentile such as ``p99`` or ``p99.9``."""
    return _PERCENTILE.fullmatch(name) is not None


def is_statistic(name: str) -> bool:
    """Whether the evaluation knows a statistic."""
    return name in {"SampleCount", "Sum", "Average", "Minimum", "Maximum"} or is_percentile(name)


def _percentile(ordered: list[tuple[float, float]], percent: float) -> float:
    """Linear interpolation between the nearest ranks of weighted, ordered samples."""
    rank = percent / 100 * max(sum(weight for _, weight in ordered) - 1, 0)
    lower = int(rank)
    at_lower, at_upper = _at_rank(ordered, lower), _at_rank(ordered, lower + 1)
    return at_lower + (rank - lower) * (at_upper - at_lower)


def _at_rank(ordered: list[tuple[float, float]], rank: int) -> float:
    seen = 0.0
    for value, weight in ordered:
        seen += weight
        if rank < seen:
            return value
    return ordered[-1][0]


class Series:
    """Buckets of one metric and one period; reads each point once, in whatever order they were published.

    Args:
        period: Length of a bucket in real seconds; buckets start at multiples of it.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self.buckets: dict[int, Bucket] = {}
        self._read = 0
        self._last: Point | None = None
        self._oldest = 0

    def absorb(self, points: Sequence[Point], oldest: int) -> None:
        """Count in the points that are new since the last call, and forget what is older than a bucket.

        Args:
            points: All points of the metric, in order of arrival.
            oldest: Number of the oldest bucket of interest.
        """
        made_anew = len(points) < self._read or (self._read > 0 and points[self._read - 1] != self._last)
        if made_anew or oldest < self._oldest:
            self.buckets.clear()
            self._read = 0
        self._oldest = oldest
        horizon = oldest * self.period
        for index in range(self._read, len(points)):
            point = points[index]
            if point.timestamp >= horizon:
                number = int(point.timestamp // self.period)
                bucket = self.buckets.get(number)
                if bucket is None:
                    bucket = self.buckets[number] = Bucket()
                bucket.add(point)
        self._read = len(points)
        self._last = points[-1] if self._read else None
        for number in [number for number in self.buckets if number < oldest]:
            del self.buckets[number]

    def values(self, first: int, last: int, statistic: str) -> list[float | None]:
        """A statistic for each bucket from first to last; None where nothing was published."""
        buckets = (self.buckets.get(number) for number in range(first, last + 1))
        return [None if bucket is None else bucket.statistic(statistic) for bucket in buckets]
