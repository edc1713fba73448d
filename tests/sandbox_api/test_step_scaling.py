"""Step scaling: which step covers a breach, and how adjustments round."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.autoscaling.capacity import step, step_findings
from sandbox.store import Params
from tests.sandbox_api.scaled import Scaled

CHANGE, PERCENT, EXACT = "ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"


def test_step_scaling_takes_the_step_that_covers_the_breach(scaled: Scaled) -> None:
    # GIVEN a policy with two steps, called by an alarm of the user
    scaled.step(
        AdjustmentType="ChangeInCapacity",
        MetricAggregationType="Maximum",
        StepAdjustments=[
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 50.0, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 50.0, "ScalingAdjustment": 3},
        ],
    )
    scaled.traffic(160)

    # WHEN the alarm with threshold 100 fires, and goes on firing within the cooldown
    scaled.fire("mine")
    scaled.settled()
    scaled.fire("mine")

    # THEN the second step was taken, once
    assert scaled.count == 5


def test_step_scaling_scales_in_too(scaled: Scaled) -> None:
    # GIVEN a policy for an alarm that fires under its threshold
    scaled.step(
        AdjustmentType="ExactCapacity",
        StepAdjustments=[{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": 1}],
    )
    scaled.traffic(10)

    # WHEN it fires, and an alarm that is gone
    scaled.fire("gone")
    unchanged = scaled.count
    scaled.fire("mine")

    # THEN the capacity is the exact one
    assert (unchanged, scaled.count) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "adjustment", "least", "capacity", "expected"),
    [
        (CHANGE, 3, None, 2, 5),
        (CHANGE, -3, None, 2, 0),
        (EXACT, 7, None, 2, 7),
        (PERCENT, 50, None, 10, 15),
        (PERCENT, 127, None, 10, 22),  # 12.7 becomes 12
        (PERCENT, 10, None, 3, 4),  # 0.3 becomes 1
        (PERCENT, -10, None, 3, 2),  # -0.3 becomes -1
        (PERCENT, -67, None, 10, 4),  # -6.7 becomes -6
        (PERCENT, 10, 2, 3, 5),
        (PERCENT, -10, 2, 3, 1),
        (PERCENT, 0, 2, 3, 3),
    ],
)
def test_adjustments_round_as_documented(
    kind: str, adjustment: int, least: int | None, capacity: int, expected: int
) -> None:
    # GIVEN one step without bounds
    config: Params = {"AdjustmentType": kind, "StepAdjustments": [{"ScalingAdjustment": adjustment}]}
    if least is not None:
        config["MinAdjustmentMagnitude"] = least

    # WHEN it is applied
    # THEN the capacity is rounded as the API documents
    assert step(config, capacity, 1.0) == expected


@pytest.mark.parametrize(
    ("breach", "adjustment"), [(0.0, 1), (9.9, 1), (10.0, 2), (99.0, 2), (-0.1, -1), (-10.0, -2), (-99.0, -2)]
)
def test_bounds_of_steps_are_inclusive_towards_the_threshold(breach: float, adjustment: int) -> None:
    # GIVEN steps on both sides of the threshold
    config = {
        "AdjustmentType": CHANGE,
        "StepAdjustments": [
            {"MetricIntervalUpperBound": -10.0, "ScalingAdjustment": -2},
            {"MetricIntervalLowerBound": -10.0, "MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1},
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 2},
        ],
    }
    assert not list(step_findings(config))

    # WHEN the metric lies so far from the threshold
    # THEN exactly that step is taken
    assert step(config, 10, breach) == 10 + adjustment


@pytest.mark.parametrize(
    ("steps", "finding"),
    [
        ([], "StepAdjustments needs at least one step"),
        ([(0, 10), (5, None)], "one ends at 10, the next starts at 5"),
        ([(0, 10), (20, None)], "one ends at 10, the next starts at 20"),
        ([(10, 10)], "a step needs a lower bound below its upper bound, not 10 and 10"),
        ([(None, None), (0, 1)], "a step without bounds must be the only one"),
    ],
)
def test_steps_that_overlap_or_leave_gaps_are_refused(steps: list[Any], finding: str) -> None:
    # GIVEN steps with one mistake
    bounds = ("MetricIntervalLowerBound", "MetricIntervalUpperBound")
    adjustments = [
        {"ScalingAdjustment": 1}
        | {name: float(value) for name, value in zip(bounds, pair, strict=True) if value is not None}
        for pair in steps
    ]

    # WHEN they are checked
    # THEN the mistake is named
    findings = list(step_findings({"AdjustmentType": CHANGE, "StepAdjustments": adjustments}))
    assert any(finding in text for text in findings)


def test_a_step_that_does_not_cover_the_breach_changes_nothing() -> None:
    # GIVEN a step above the threshold only
    config = {
        "AdjustmentType": CHANGE,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    }

    # WHEN the metric lies under it
    # THEN there is no new capacity
    assert step(config, 3, -5.0) is None
