"""AutoRollbackConfiguration: the alarms that are watched while an update takes traffic."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.deployments.fleets import DeploymentFailed
from sandbox.store import Params, Scope

# how often alarms are looked at: AWS seconds, and real ones at the least
POLL_SECONDS = 10.0
SHORTEST_REAL_POLL = 0.1
# how long a changed alarm is given to be evaluated on what it watches now
EVALUATIONS_TO_WAIT_FOR = 3


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

    async def require_ready(self) -> None:
        """Check that every alarm is there, as a misspelt name would guard nothing, and that none is red.

        An alarm that is in ALARM for what it watches ends the update before anything starts ("Auto-Rollback
        Configuration and Monitoring": if the old fleet trips the alarm, the deployment is terminated).
        An alarm that was given something else to watch after it went into ALARM, such as the new fleet
        in place of the old one, keeps that state until CloudWatch has evaluated it again: that is
        waited for.

        Raises:
            DeploymentFailed: One is missing, or one is in ALARM already.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + EVALUATIONS_TO_WAIT_FOR * self._clock.evaluation_interval
        while True:
            alarms = await self._alarms()
            if missing := [name for name in self._names if name not in alarms]:
                raise DeploymentFailed(
                    f"The alarms of AutoRollbackConfiguration do not all exist: {', '.join(missing)}. "
                    "Create them, or correct their names."
                )
            red = [alarm for alarm in alarms.values() if alarm["StateValue"] == "ALARM"]
            if not all(_is_outdated(alarm) for alarm in red) or loop.time() >= deadline:
                _require_quiet(alarms)
            if not red:
                return
            await asyncio.sleep(SHORTEST_REAL_POLL)

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
            _require_quiet(await self._alarms())
            if left <= 0:
                return
            await asyncio.sleep(min(poll, left))

    async def _alarms(self) -> dict[str, Params]:
        if not self._names:
            return {}
        try:
            return await asyncio.to_thread(self._describe)
        except Exception as error:
            # blind is not safe: an update that cannot be watched is rolled back
            raise DeploymentFailed(
                f"The alarms of AutoRollbackConfiguration could not be read: {error}"
            ) from error

    def _describe(self) -> dict[str, Params]:
        client: Any = self._aws.client("cloudwatch", self._scope)
        answer = client.describe_alarms(
            AlarmNames=list(self._names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        alarms = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
        return {alarm["AlarmName"]: alarm for alarm in alarms}


def _require_quiet(alarms: dict[str, Params]) -> None:
    if red := sorted(name for name, alarm in alarms.items() if alarm["StateValue"] == "ALARM"):
        raise DeploymentFailed(f"CloudWatch alarms are in ALARM state: {', '.join(red)}.")


def _is_outdated(alarm: Params) -> bool:
    """Whether an alarm's state is older than its definition; to the second, as CloudWatch notes it."""
    defined, judged = alarm.get("AlarmConfigurationUpdatedTimestamp"), alarm.get("StateUpdatedTimestamp")
    return defined is not None and judged is not None and defined >= judged
