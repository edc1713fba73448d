"""Time that runs faster on request: periods, waits, cooldowns and TTLs all go through here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Turns seconds that AWS would wait into seconds that the sandbox waits.

    Timestamps stay real; only durations shrink.

    Args:
        scale: How many AWS seconds pass in one real second; 60 makes a 300 s bake take 5 s.
    """

    scale: float = 1.0

    def real(self, seconds: float) -> float:
        """Real seconds for a duration of AWS time."""
        return seconds / self.scale

    @property
    def publish_interval(self) -> float:
        """Real seconds between two publications of metrics: 10 s of AWS time, within 0.2 and 1 s.

        Several to an alarm's period of a minute, at every time scale up to 60: a period without a point
        would count as missing data.
        """
        return min(1.0, max(0.2, self.real(10.0)))

    @property
    def data_lag(self) -> float:
        """Real seconds after which all data of a moment are in CloudWatch: one publication, its transport."""
        return self.publish_interval + 1.0

    @property
    def evaluation_interval(self) -> float:
        """Real seconds between two evaluations of an alarm: 10 s of AWS time, at least 0.25 s."""
        return max(0.25, self.real(10.0))

    async def sleep(self, seconds: float) -> None:
        """Wait for a duration of AWS time."""
        await asyncio.sleep(self.real(seconds))
