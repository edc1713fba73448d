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

    async def sleep(self, seconds: float) -> None:
        """Wait for a duration of AWS time."""
        await asyncio.sleep(self.real(seconds))
