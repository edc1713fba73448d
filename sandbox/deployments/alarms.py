"""AutoRollbackConfiguration: the alarms that are watched while an update takes traffic."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.deployments.fleets import DeploymentFailed
from sandbox.store import Scope

# how often alarms are looked at: AWS seconds, and real ones at the least
POLL_SECONDS = 10.0
SHORTEST_REAL_POLL = 0.1


class AlarmWatch:
    """Watches alarms by name.

    Args:
        aws: Where CloudWatch is.
        scope: Account and Region of the endpoint.
        names: Alarm names; none means that waiting is only waiting.
        clock: The time scale.
    """

    def __init__(self, aws: LocalAws, scope: Scope, names: tuple[str, ...], clock: Clock) -> None:
        self._aws = aws
        self._scope = scope
        self._names = names
        self._clock = clock

    async def require_all_exist(self) -> None:
        """Check that every alarm is there, as a misspelt name would guard nothing.

        Raises:
            DeploymentFailed: One is missing, or one is in ALARM already.
        """
        states = await self._states()
        if missing := [name for name in self._names if name not in states]:
            raise DeploymentFailed(
                f"The alarms of AutoRollbackConfiguration do not all exist: {', '.join(missing)}. "
                "Create them, or correct their names."
            )
        self._require_quiet(states)

    async def bake(self, seconds: float) -> None:
        """Wait for a duration of AWS time, as long as no alarm is in ALARM.

        Raises:
            DeploymentFailed: An alarm is in ALARM, or the alarms cannot be read.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._clock.real(seconds)
        if not self._names:
            await asyncio.sleep(end - loop.time())
            return
        poll = max(SHORTEST_REAL_POLL, self._clock.real(POLL_SECONDS))
        while True:
            left = end - loop.time()
            self._require_quiet(await self._states())
            if left <= 0:
                return
            await asyncio.sleep(min(poll, left))

    async def _states(self) -> dict[str, str]:
        if not self._names:
            return {}
        try:
            return await asyncio.to_thread(self._describe)
        except Exception as error:
            # blind is not safe: an update that cannot be watched is rolled back
            raise DeploymentFailed(
                f"The alarms of AutoRollbackConfiguration could not be read: {error}"
            ) from error

    def _describe(self) -> dict[str, str]:
        client: Any = self._aws.client("cloudwatch", self._scope)
        answer = client.describe_alarms(
            AlarmNames=list(self._names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        alarms = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}

    def _require_quiet(self, states: dict[str, str]) -> None:
        if red := [name for name in self._names if states.get(name) == "ALARM"]:
            raise DeploymentFailed(f"CloudWatch alarms are in ALARM state: {', '.join(red)}.")
