"""Carries scaling out: reacts to alarms, honours cooldowns and suspensions, records activities."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from sandbox.alarms.metric_math import ExpressionError
from sandbox.autoscaling.capacity import step, track_in, track_out
from sandbox.autoscaling.metric_reader import MetricReader
from sandbox.autoscaling.records import Activity, Policy, Registry, Target, now
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

_COOLDOWN = 300  # AWS's default for SageMaker variants, in seconds
_PAUSE_AFTER_FAILURE = 60
_POLL = 0.1  # real seconds
_SAME_EVALUATION = 2.5  # a low alarm that fired within so many evaluations is still firing


class SageMaker(Protocol):
    """The part of the control plane that scaling needs."""

    async def call(self, operation: str, params: Params, scope: Scope) -> Params:
        """Run an operation of the `sagemaker` API."""


class Scaler:
    """Changes instance counts of variants on behalf of scaling policies."""

    def __init__(self, registry: Registry, sagemaker: SageMaker, metrics: MetricReader, clock: Clock) -> None:
        self._registry = registry
        self._sagemaker = sagemaker
        self._metrics = metrics
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def variant(self, target: Target) -> tuple[str, Params | None]:
        """The endpoint's status and the variant's summary as of now; None when either is gone."""
        endpoint, name = target.endpoint_and_variant
        try:
            answer = await self._sagemaker.call("DescribeEndpoint", {"EndpointName": endpoint}, target.scope)
        except ServiceError:
            return "", None
        variants = [*answer.get("ProductionVariants", []), *answer.get("ShadowProductionVariants", [])]
        return answer["EndpointStatus"], next((v for v in variants if v["VariantName"] == name), None)

    async def move_into_range(self, target: Target) -> None:
        """Change a capacity that lies outside a target's range, if the endpoint is in service."""
        status, variant = await self.variant(target)
        if status != "InService" or variant is None:
            return
        current = variant["DesiredInstanceCount"]
        wanted = target.clamp(current)
        if wanted != current:
            bound = "minimum" if wanted > current else "maximum"
            await self._set(target, current, wanted, f"{bound} capacity was set to {wanted}", current)

    async def react(self, policy: Policy, alarm_name: str) -> None:
        """Do what a policy wants while an alarm is in ALARM; nothing while the target is busy or cooling
        down."""
        target = policy.target
        if target.busy or time.monotonic() < target.not_before:
            return
        target.busy = True
        try:
            await self._react(policy, alarm_name)
        except ExpressionError as error:
            log.warning("policy %s cannot read the metric of alarm %s: %s", policy.name, alarm_name, error)
            self._pause(target)
        except Exception:
            log.exception("policy %s could not react to alarm %s", policy.name, alarm_name)
            self._pause(target)
        finally:
            target.busy = False

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that nobody waits for; `stop` ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("scaling work in the background failed", exc_info=error)

    async def stop(self) -> None:
        """End all work in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _react(self, policy: Policy, alarm_name: str) -> None:
        target = policy.target
        status, variant = await self.variant(target)
        if status != "InService" or variant is None:
            return
        current = variant["DesiredInstanceCount"]
        basis = self._basis(policy, current)
        if policy.kind == "StepScaling":
            wanted = await self._stepped(policy, alarm_name, current, basis)
        elif alarm_name == policy.alarms[0]["AlarmName"]:
            wanted = await self._tracked_out(policy, current, basis)
        else:
            wanted = await self._tracked_in(policy, current)
        if wanted is None or wanted == current:
            return
        cause = f"monitor alarm {alarm_name} in state ALARM triggered policy {policy.name}"
        capacity = target.clamp(wanted)
        if self._registry.policy_by_arn(policy.arn) is not policy or self._suspended(
            target, wanted - current
        ):
            return
        if capacity == current:
            self._note_not_scaled(policy, wanted, current, cause)
        else:
            await self._set(target, current, capacity, cause, basis)

    async def _tracked_out(self, policy: Policy, current: int, basis: int) -> int | None:
        """Capacity that brings the metric down to its target, or None to wait."""
        target = policy.target
        if current >= target.maximum:
            return current + 1  # needs no metric to be told that there is no more
        # while cooling down, the old capacity with the old metric: only a greater need scales out again
        since = target.changed_at if basis == current else float("-inf")
        values = await self._metrics.values(policy.alarms[0], target.scope, since=since, with_running=True)
        wanted = track_out(basis, max(values), policy.config["TargetValue"]) if values else current
        return max(wanted, current)

    async def _tracked_in(self, policy: Policy, current: int) -> int | None:
        """Fewest instances that keep the metric under its target, or None to wait."""
        target, config = policy.target, policy.config
        if config.get("DisableScaleIn", False):
            return None
        if current <= target.minimum:
            policy.ready_to_scale_in = (time.monotonic(), current)
            return current - 1
        if self._cooling(target.scaled_in_at, config.get("ScaleInCooldown", _COOLDOWN)):
            return None
        values = await self._metrics.values(policy.alarms[1], target.scope, since=target.changed_at)
        wanted = track_in(current, max(values), config["TargetValue"]) if values else current
        policy.ready_to_scale_in = (time.monotonic(), wanted)
        return max([wanted, *self._wishes_of_others(policy, current)])

    def _wishes_of_others(self, policy: Policy, current: int) -> list[int]:
        """Capacities of the other target tracking policies: all must be ready before any scales in."""
        longest = _SAME_EVALUATION * self._clock.evaluation_interval
        wishes = []
        for other in self._registry.policies_of(policy.target):
            tracks = other.kind == "TargetTrackingScaling" and not other.config.get("DisableScaleIn", False)
            if other is not policy and tracks:
                fired_at, wish = other.ready_to_scale_in
                wishes.append(wish if time.monotonic() - fired_at <= longest else current)
        return wishes

    async def _stepped(self, policy: Policy, alarm_name: str, current: int, basis: int) -> int | None:
        """Capacity that step scaling wants, or None to wait."""
        target, config = policy.target, policy.config
        alarm = await self._metrics.alarm(alarm_name, target.scope)
        if alarm is None:
            return None
        values = await self._metrics.values(alarm, target.scope, with_running=True)
        aggregate = {"Minimum": min, "Maximum": max}.get(config.get("MetricAggregationType", "Average"))
        # without data it is their absence that breaches, and there is no size to the breach
        value = (
            (aggregate(values) if aggregate else sum(values) / len(values)) if values else alarm["Threshold"]
        )
        wanted = step(config, basis, value - alarm["Threshold"])
        if wanted is None or wanted >= basis:
            return None if wanted is None else max(wanted, current)
        cooling = basis != current or self._cooling(target.scaled_in_at, config.get("Cooldown", _COOLDOWN))
        return None if cooling else wanted

    def _basis(self, policy: Policy, current: int) -> int:
        """Capacity that a scale-out starts from: within the cooldown, that before the last one."""
        target = policy.target
        name = "Cooldown" if policy.kind == "StepScaling" else "ScaleOutCooldown"
        cooling = self._cooling(target.scaled_out_at, policy.config.get(name, _COOLDOWN))
        return min(target.capacity_before, current) if cooling else current

    def _cooling(self, since: float, cooldown: int) -> bool:
        return time.monotonic() < since + self._clock.real(cooldown)

    def _suspended(self, target: Target, change: int) -> bool:
        name = "DynamicScalingOutSuspended" if change > 0 else "DynamicScalingInSuspended"
        return change != 0 and target.suspended[name]

    def _pause(self, target: Target) -> None:
        target.not_before = time.monotonic() + self._clock.real(_PAUSE_AFTER_FAILURE)

    def _note_not_scaled(self, policy: Policy, wanted: int, current: int, cause: str) -> None:
        target = policy.target
        code = "AlreadyAtMaxCapacity" if wanted > current else "AlreadyAtMinCapacity"
        if (policy.arn, code) in target.not_scaled:
            return
        target.not_scaled.add((policy.arn, code))
        bound = {"MaxCapacity": target.maximum} if wanted > current else {"MinCapacity": target.minimum}
        activity = Activity(
            target.resource_id, "Attempting to scale due to alarm triggered", cause, "Failed", ended_at=now()
        )
        activity.not_scaled_reasons = [{"Code": code, "CurrentCapacity": current, **bound}]
        self._registry.note(target.scope, activity)

    async def _set(self, target: Target, current: int, capacity: int, cause: str, basis: int) -> None:
        """Ask SageMaker for a capacity and follow the change up in the background.

        Args:
            target: What to scale.
            current: The capacity now.
            capacity: The capacity wanted.
            cause: Why, for the activity.
            basis: The capacity that the scale-outs of this cooldown started from.
        """
        endpoint, variant = target.endpoint_and_variant
        activity = Activity(
            target.resource_id, f"Setting desired instance count to {capacity}.", cause, "InProgress"
        )
        self._registry.note(target.scope, activity)
        desired = [{"VariantName": variant, "DesiredInstanceCount": capacity}]
        try:
            await self._sagemaker.call(
                "UpdateEndpointWeightsAndCapacities",
                {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired},
                target.scope,
            )
        except ServiceError as error:
            self._failed(target, activity, capacity, error.message)
            return
        activity.message = (
            f"Successfully set desired instance count to {capacity}. "
            "Waiting for change to be fulfilled by sagemaker."
        )
        target.not_scaled.clear()
        if capacity > current:
            target.capacity_before, target.scaled_out_at = basis, time.monotonic()
        else:
            target.scaled_in_at = time.monotonic()
        self.in_background(self._follow(target, activity, current, capacity))

    async def _follow(self, target: Target, activity: Activity, before: int, capacity: int) -> None:
        """Wait for a change to end; cooldowns count from there."""
        while True:
            status, variant = await self.variant(target)
            if variant is None or status not in {"Updating", "SystemUpdating", "RollingBack"}:
                break
            await asyncio.sleep(_POLL)
        if variant is None:
            self._failed(target, activity, capacity, "The endpoint or the variant was deleted.")
        elif variant["DesiredInstanceCount"] != capacity:
            activity.end(
                "Overridden", f"Another change set the instance count to {variant['DesiredInstanceCount']}."
            )
        elif variant["CurrentInstanceCount"] < capacity:
            self._failed(target, activity, capacity, "SageMaker could not provide the instances.")
        else:
            activity.end(
                "Successful",
                f"Successfully set desired instance count to {capacity}. "
                "Change successfully fulfilled by sagemaker.",
            )
            target.changed_at = time.time()
            if capacity > before:
                target.scaled_out_at = time.monotonic()
            else:
                target.scaled_in_at = time.monotonic()

    def _failed(self, target: Target, activity: Activity, capacity: int, reason: str) -> None:
        activity.end("Failed", f"Failed to set desired instance count to {capacity}. Reason: {reason}")
        self._pause(target)
