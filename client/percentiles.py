"""Percentiles that are values which really occurred."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least so many percent of all do not exceed.

    Args:
        ordered: Values in ascending order; at least one.
        percent: Above 0, at most 100.

    Raises:
        ValueError: No values, or a percentage out of range.
    """
    if not ordered:
        raise ValueError("no values, so no percentile")
    if not 0 < percent <= 100:
        raise ValueError(f"percent = {percent}: above 0 and at most 100")
    # the tiny slack keeps 99.9 * 1000 / 100 from becoming rank 1000 by rounding
    rank = math.ceil(percent * len(ordered) / 100 - 1e-9)
    return ordered[max(rank, 1) - 1]
