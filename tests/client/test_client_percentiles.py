from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.percentiles import percentile

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200).map(sorted)
PERCENT = st.floats(0.001, 100)


@given(VALUES, PERCENT)
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], percent: float
) -> None:
    # WHEN a percentile is taken
    found = percentile(values, percent)

    # THEN it occurred, at least so many percent do not exceed it, and fewer do not exceed any smaller value
    assert found in values
    slack = 1e-6
    assert sum(value <= found for value in values) >= percent * len(values) / 100 - slack
    assert sum(value < found for value in values) < percent * len(values) / 100 + slack


@given(VALUES, PERCENT, PERCENT)
def test_percentiles_rise(values: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert percentile(values, low) <= percentile(values, high)


def test_known_percentiles() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert [percentile(values, percent) for percent in (50, 90, 99, 99.9, 100)] == [500, 900, 990, 999, 1000]


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_a_percentage_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 100"):
        percentile([1.0], percent)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
