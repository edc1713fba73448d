"""DeploymentConfig as steps: which share of the traffic the new fleet has, and how long each step bakes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.store import Params

# API_BlueGreenUpdatePolicy, API_RollingUpdatePolicy: 600 to 28,800 s; without a value the longest
DEFAULT_TIMEOUT_SECONDS = 28_800
# LinearStepSize is at least 10 percent, or one instance; the smallest that anybody can write is 1 percent
_MOST_STEPS = 100


@dataclass(frozen=True)
class CapacitySize:
    """A part of a fleet (API_CapacitySize).

    Args:
        kind: ``INSTANCE_COUNT`` or ``CAPACITY_PERCENT``.
        value: Instances, or percent.
    """

    kind: str
    value: int

    def instances(self, count: int, steps: int = 1) -> int:
        """Whole instances of a fleet of `count` after so many steps, as traffic shifts by these.

        A percentage gives the nearest number, the lower one of two (half of three is one), but at least one,
        or nothing would move.
        """
        part = steps * (self.value if self.kind == "INSTANCE_COUNT" else self.value * count / 100)
        return min(count, max(1, math.ceil(part - 0.5)))


@dataclass(frozen=True)
class Rolling:
    """RollingUpdatePolicy.

    Args:
        batch: MaximumBatchSize.
        rollback_batch: RollbackMaximumBatchSize; the whole fleet by default.
    """

    batch: CapacitySize
    rollback_batch: CapacitySize = CapacitySize("CAPACITY_PERCENT", 100)


@dataclass(frozen=True)
class Policy:
    """How an update proceeds (API_DeploymentConfig). All durations in AWS seconds.

    Args:
        routing: ``ALL_AT_ONCE``, ``CANARY`` or ``LINEAR``; unused when rolling.
        step: Size of the canary or of a linear step.
        rolling: Batches instead of a full second fleet, or None.
        wait: How long each step bakes.
        termination_wait: How long the old fleet stays after the last step.
        timeout: Longest execution before the update is rolled back.
        alarms: Names of the alarms that roll the update back.
    """

    routing: str = "ALL_AT_ONCE"
    step: CapacitySize | None = None
    rolling: Rolling | None = None
    wait: float = 0.0
    termination_wait: float = 0.0
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    alarms: tuple[str, ...] = ()

    @staticmethod
    def of(config: Params | None) -> Policy:
        """The policy of a validated DeploymentConfig; all at once without waits if there is none."""
        config = config or {}
        auto_rollback = config.get("AutoRollbackConfiguration") or {}
        alarms = tuple(alarm["AlarmName"] for alarm in auto_rollback.get("Alarms", []))
        if rolling := config.get("RollingUpdatePolicy"):
            batch = _size(rolling["MaximumBatchSize"])
            rollback = rolling.get("RollbackMaximumBatchSize")
            return Policy(
                rolling=Rolling(batch, _size(rollback)) if rollback else Rolling(batch),
                wait=rolling["WaitIntervalInSeconds"],
                timeout=rolling.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS),
                alarms=alarms,
            )
        blue_green = config.get("BlueGreenUpdatePolicy") or {}
        routing = blue_green.get("TrafficRoutingConfiguration") or {}
        step = routing.get("CanarySize") or routing.get("LinearStepSize")
        return Policy(
            routing=routing.get("Type", "ALL_AT_ONCE"),
            step=_size(step) if step else None,
            wait=routing.get("WaitIntervalInSeconds", 0),
            termination_wait=blue_green.get("TerminationWaitInSeconds", 0),
            timeout=blue_green.get("MaximumExecutionTimeoutInSeconds", DEFAULT_TIMEOUT_SECONDS),
            alarms=alarms,
        )

    def shifts(self, counts: Mapping[str, int]) -> list[dict[str, float]]:
        """Traffic shares of the new fleet, step by step, by variant name; the last step is everything.

        Args:
            counts: Instances of each variant in the new fleet.
        """
        whole = dict.fromkeys(counts, 1.0)
        if self.routing == "ALL_AT_ONCE" or self.step is None:
            return [whole]
        shifts: list[dict[str, float]] = []
        for number in range(1, 2 if self.routing == "CANARY" else max(counts.values()) + _MOST_STEPS):
            # a variant without instances, which asynchronous endpoints may have, has nothing to go by steps
            shift = {
                name: self.step.instances(count, number) / count if count else 1.0
                for name, count in counts.items()
            }
            if shift == whole:
                break
            if shift not in shifts:  # ten percent more of three instances may be no instance more
                shifts.append(shift)
        return [*shifts, whole]


def supports_guardrails(variants: Iterable[Params]) -> bool:
    """Whether variants can be deployed by a policy (developer guide, deployment guardrails, "Exclusions").

    Others are deployed all at once without a bake, whatever the policy says, and send no deployment events.

    Args:
        variants: ProductionVariants of the old and of the new configuration.
    """
    return not any(
        "ServerlessConfig" in variant or str(variant.get("InstanceType", "")).startswith("ml.inf1.")
        for variant in variants
    )


def _size(params: Params) -> CapacitySize:
    return CapacitySize(params["Type"], params["Value"])
