"""How many instances a policy wants: arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from sandbox.store import Params

_HAIR = 1e-9


def track_out(capacity: int, metric: float, target: float) -> int:
    """Instances that bring the metric back to its target: in proportion, and one more at least."""
    return max(capacity + 1, _needed(capacity, metric, target))


def track_in(capacity: int, metric: float, target: float) -> int:
    """Fewest instances that keep the metric at or under its target; never more than there are."""
    return min(capacity, _needed(capacity, metric, target))


def _needed(capacity: int, metric: float, target: float) -> int:
    # sums of thirds and the like lie a hair off: that must not cost an instance
    return math.ceil(capacity * metric / target * (1 - _HAIR))


def step(config: Params, capacity: int, breach: float) -> int | None:
    """Capacity after a step adjustment (API_StepScalingPolicyConfiguration).

    Args:
        config: StepScalingPolicyConfiguration.
        capacity: The capacity to start from.
        breach: Metric minus the alarm's threshold.

    Returns:
        The new capacity, or None when no step covers the breach.
    """
    adjustment = next((s["ScalingAdjustment"] for s in config["StepAdjustments"] if _covers(s, breach)), None)
    if adjustment is None:
        return None
    match config["AdjustmentType"]:
        case "ExactCapacity":
            return int(adjustment)
        case "PercentChangeInCapacity":
            change = _round_percent(capacity * adjustment / 100)
            least = config.get("MinAdjustmentMagnitude", 0)
            if adjustment and abs(change) < least:
                change = math.copysign(least, adjustment)
            return max(0, capacity + int(change))
    return max(0, capacity + int(adjustment))


def step_findings(config: Params) -> Iterator[str]:
    """What is wrong with the steps of a step scaling policy."""
    if "AdjustmentType" not in config:
        yield "AdjustmentType is required"
    elif config["AdjustmentType"] == "ExactCapacity" and any(
        adjustment["ScalingAdjustment"] < 0 for adjustment in config.get("StepAdjustments", [])
    ):
        yield "with AdjustmentType ExactCapacity no ScalingAdjustment may be negative"
    if "MinAdjustmentMagnitude" in config and config.get("AdjustmentType") != "PercentChangeInCapacity":
        yield "MinAdjustmentMagnitude is for AdjustmentType PercentChangeInCapacity"
    if config.get("Cooldown", 0) < 0:
        yield f"Cooldown must not be negative; it is {config['Cooldown']}"
    steps = sorted(_bounds(adjustment) for adjustment in config.get("StepAdjustments", []))
    if not steps:
        yield "StepAdjustments needs at least one step"
    for lower, upper in steps:
        if lower >= upper:
            yield f"a step needs a lower bound below its upper bound, not {lower:g} and {upper:g}"
        if math.isinf(lower) and math.isinf(upper) and len(steps) > 1:
            yield "a step without bounds must be the only one"
    for (_, upper), (lower, _) in pairwise(steps):
        if lower != upper:
            yield f"steps must follow on one another: one ends at {upper:g}, the next starts at {lower:g}"


def _bounds(adjustment: Params) -> tuple[float, float]:
    lower = adjustment.get("MetricIntervalLowerBound", -math.inf)
    return lower, adjustment.get("MetricIntervalUpperBound", math.inf)


def _covers(adjustment: Params, breach: float) -> bool:
    """Above the threshold the lower bound belongs to a step, below it the upper bound does."""
    lower, upper = _bounds(adjustment)
    return lower <= breach < upper if breach >= 0 else lower < breach <= upper


def _round_percent(change: float) -> float:
    """Towards zero, but a part of an instance is one instance."""
    return math.copysign(1, change) if 0 < abs(change) < 1 else math.trunc(change)
