"""Points gathered into periods: statistics, order of arrival, what is read again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms import AlarmEvaluator, Point
from sandbox.alarms.series import Bucket, Series
from sandbox.store import Params
from tests.sandbox_api.alarm_source import HOME, LAG, START, Source


@pytest.mark.parametrize(
    ("statistic", "value"),
    [
        ({"Statistic": "Sum"}, 110.0),
        ({"Statistic": "Average"}, 11.0),
        ({"Statistic": "Minimum"}, 2.0),
        ({"Statistic": "Maximum"}, 20.0),
        ({"Statistic": "SampleCount"}, 10.0),
        ({"Statistic": None, "ExtendedStatistic": "p50"}, 11.0),
        ({"Statistic": None, "ExtendedStatistic": "p90"}, 18.2),
        ({"Statistic": "Average", "ExtendedStatistic": "p100"}, 20.0),
        ({"Statistic": None, "ExtendedStatistic": "p0.5"}, 2.09),
    ],
)
def test_a_statistic_is_that_of_the_period(
    source: Source, evaluator: AlarmEvaluator, statistic: Params, value: float
) -> None:
    # GIVEN the values 2, 4 ... 20 in one period and others outside of it, and two alarms around the statistic
    source.publish(START, *(2.0 * n for n in range(1, 11)))
    source.publish(START - 60, 1000.0)
    source.publish(START + 60, -1000.0)
    below = source.alarm("below", Threshold=value - 1e-6, **statistic)
    above = source.alarm("above", Threshold=value + 1e-6, **statistic)

    # WHEN they are evaluated
    evaluator.evaluate(START + 60 + LAG)

    # THEN exactly one is crossed
    assert (below["StateValue"], above["StateValue"]) == ("ALARM", "OK")


def test_percentiles_need_single_values() -> None:
    # GIVEN a bucket with a statistic set of differing values, and one with a negative value
    mixed, negative = Bucket(), Bucket()
    mixed.add(Point(START, 3, 6.0, 1.0, 3.0))
    negative.add(Point.of_value(START, -1.0))

    # WHEN percentiles are asked for
    # THEN there are none, as on CloudWatch; other statistics there are
    assert mixed.statistic("p99") is negative.statistic("p99") is None
    assert (mixed.statistic("Average"), negative.statistic("Minimum")) == (2.0, -1.0)


points = st.lists(
    st.tuples(st.integers(0, 599), st.integers(0, 50), st.integers(1, 4)).map(
        lambda p: Point.of_value(START + p[0], float(p[1]), float(p[2]))
    ),
    max_size=60,
)


@given(points, st.lists(st.integers(0, 60), max_size=4), st.sampled_from([10, 60, 0.5]))
def test_a_series_counts_each_point_once_in_whatever_order_they_come(
    published: list[Point], cuts: list[int], period: float
) -> None:
    # GIVEN points in any order, read in several goes
    series = Series(period)
    first, last = int(START // period), int((START + 599) // period)
    for end in [*sorted(cuts), len(published)]:
        series.absorb(published[:end], first)

    # WHEN statistics are asked for
    # THEN they are those of all points of each period
    for number in range(first, last + 1):
        inside = [p for p in published if number * period <= p.timestamp < (number + 1) * period]
        expected = [p.low for p in inside for _ in range(int(p.samples))]
        (total,) = series.values(number, number, "Sum")
        (count,) = series.values(number, number, "SampleCount")
        (median,) = series.values(number, number, "p50")
        if not expected:
            assert total is count is median is None
            continue
        assert (total, count) == (sum(expected), len(expected))
        ordered = sorted(expected)
        middle = (len(ordered) - 1) / 2
        assert median == (ordered[int(middle)] + ordered[-1 - int(middle)]) / 2


def test_a_list_of_points_that_is_made_anew_is_read_anew() -> None:
    # GIVEN a series that has read some points
    series = Series(60)
    kept = [Point.of_value(START + n, 1.0) for n in range(30)]
    series.absorb(kept, int(START // 60))

    # WHEN the older half is forgotten by CloudWatch and new ones come
    kept = kept[15:] + [Point.of_value(START + 40, 1.0)] * 15
    series.absorb(kept, int(START // 60))

    # THEN the count is that of what is there now
    assert series.values(int(START // 60), int(START // 60), "Sum") == [30.0]


def test_evaluations_read_new_points_only(source: Source, evaluator: AlarmEvaluator) -> None:
    # GIVEN 40 alarms with 5,000 points each that have been evaluated
    class Counting(list[Point]):
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.reads += 1
            return super().__getitem__(index)

    numbers = random.Random(1)
    for n in range(40):
        source.alarm(f"alarm-{n}", Dimensions=[{"Name": "n", "Value": str(n)}], ExtendedStatistic="p99")
        key = (HOME, "N", "m", ("n", str(n)))
        source.metrics[key] = Counting(
            Point.of_value(START + i * 0.05, numbers.random()) for i in range(5_000)
        )
    evaluator.evaluate(START + 300)
    Counting.reads = 0

    # WHEN ten more points come to each and they are evaluated again
    for n in range(40):
        source.publish(START + 300, *[1.0] * 10, n=str(n))
    evaluator.evaluate(START + 301)

    # THEN little more than those points was read
    assert Counting.reads <= 40 * 13
