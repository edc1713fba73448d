"""Typed settings of a start by the clock."""

from __future__ import annotations

from typing import Any, Literal

from sagemaker_serving.errors import Findings
from sagemaker_serving.schedules import Day, Schedule

from .settings import Section


class ScheduleSettings(Section):
    """A start by the clock: each day, once a week, or by a cron expression."""

    every: Literal["day", "week", "cron"]
    at: str | None = None
    day: Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"] | None = None
    expression: str | None = None
    time_zone: str = "UTC"
    flexible_minutes: int = 0

    def build(self) -> Schedule:
        """As triggers take it."""
        needed = {"day": ("at",), "week": ("day", "at"), "cron": ("expression",)}[self.every]
        findings = Findings("schedule")
        for key in ("at", "day", "expression"):
            given = getattr(self, key)
            findings.require(
                (given is not None) == (key in needed),
                key,
                given,
                f"every: {self.every} takes {' and '.join(needed)}, and none of the others",
                f"give {key}" if given is None else "remove it",
            )
        findings.raise_if_any()
        zone: dict[str, Any] = {"time_zone": self.time_zone, "flexible_minutes": self.flexible_minutes}
        if self.every == "cron":
            return Schedule.cron(str(self.expression), **zone)
        if self.every == "week":
            return Schedule.weekly(Day(str(self.day)), str(self.at), **zone)
        return Schedule.daily(str(self.at), **zone)
