"""When schedules are due: expressions, time zones, clock changes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from sandbox.ministack_adapter.schedules import occurrences


def times(expression: str, zone: str, after: str, count: int = 3) -> list[str]:
    schedule = {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone}
    found = islice(occurrences(schedule, datetime.fromisoformat(after).timestamp()), count)
    return [f"{datetime.fromtimestamp(moment, UTC):%m-%d %H:%M}" for moment in found]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("cron(30 2 * * ? *)", "UTC", "2026-11-28T02:30Z", ["11-29 02:30", "11-30 02:30", "12-01 02:30"]),
        (
            "cron(30 2 * * ? *)",
            "Asia/Seoul",
            "2026-11-28T00:00Z",
            ["11-28 17:30", "11-29 17:30", "11-30 17:30"],
        ),
        (
            "cron(0 3 ? * MON *)",
            "Asia/Seoul",
            "2026-11-28T00:00Z",
            ["11-29 18:00", "12-06 18:00", "12-13 18:00"],
        ),
        ("rate(2 hours)", "UTC", "2026-11-28T00:10Z", ["11-28 02:10", "11-28 04:10", "11-28 06:10"]),
        ("at(2026-12-24T18:00:00)", "Europe/Berlin", "2026-11-28T00:00Z", ["12-24 17:00"]),
        ("at(2026-11-24T18:00:00)", "UTC", "2026-11-28T00:00Z", []),
        # half past two is skipped on 8 March, and half past one comes twice on 1 November
        (
            "cron(0 4 * * ? *)",
            "America/New_York",
            "2026-03-07T00:00Z",
            ["03-07 09:00", "03-08 08:00", "03-09 08:00"],
        ),
        (
            "cron(30 1 * * ? *)",
            "America/New_York",
            "2026-10-31T12:00Z",
            ["11-01 05:30", "11-02 06:30", "11-03 06:30"],
        ),
    ],
)
def test_a_schedule_is_due_at_its_times(expression: str, zone: str, after: str, expected: list[str]) -> None:
    # GIVEN an expression in a time zone
    # WHEN its next times are asked for
    # THEN they are those on that zone's clocks
    assert times(expression, zone, after) == expected


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("cron(30 2 * * *)", "UTC"),
        ("cron(30 2 * * * *)", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("every day", "UTC"),
        ("at(tomorrow)", "UTC"),
        ("rate(1 hour)", "Asia/Nowhere"),
        ("rate(1 hour)", "../etc/passwd"),
    ],
)
def test_an_expression_or_zone_that_is_none_is_refused(expression: str, zone: str) -> None:
    # GIVEN what is no schedule
    # WHEN its times are asked for
    # THEN it is refused at once
    with pytest.raises(ValueError, match=r".+"):
        occurrences({"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone}, 0.0)
