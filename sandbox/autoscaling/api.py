"""The operations of the `application-autoscaling` API, and the alarms that call its policies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sandbox.autoscaling.activities import Activities
from sandbox.autoscaling.idle import IdleMetrics
from sandbox.autoscaling.metric_reader import MetricReader
from sandbox.autoscaling.policies import Policies
from sandbox.autoscaling.records import Registry
from sandbox.autoscaling.scaler import Scaler
from sandbox.autoscaling.targets import Targets
from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.store import Params, Scope
from sandbox.validation import ApiModel

if TYPE_CHECKING:
    from sandbox.control_plane import ControlPlane


class ApplicationAutoScaling:
    """Application Auto Scaling for the instance counts of SageMaker variants. Call it on the engine's loop
    only.

    Args:
        control_plane: SageMaker, which is asked for other instance counts.
        aws: The AWS underneath, for alarms and metrics.
        clock: Its scale divides cooldowns.
    """

    def __init__(self, control_plane: ControlPlane, aws: LocalAws, clock: Clock) -> None:
        self._registry = registry = Registry()
        self._scaler = scaler = Scaler(registry, control_plane, MetricReader(aws, clock), clock)
        self._policies = policies = Policies(registry, aws)
        self._idle = IdleMetrics(registry, aws, clock)
        self._reports_idle = False
        targets, activities = Targets(registry, control_plane, scaler, policies), Activities(registry)
        self.operations: dict[str, Callable[[Params, Scope], Awaitable[Params]]] = {
            "RegisterScalableTarget": targets.register,
            "DescribeScalableTargets": targets.describe,
            "DeregisterScalableTarget": targets.deregister,
            "PutScalingPolicy": policies.put,
            "DescribeScalingPolicies": policies.describe,
            "DeleteScalingPolicy": policies.delete,
            "DescribeScalingActivities": activities.describe,
            "PutScheduledAction": _no_schedules,
            "TagResource": targets.tag,
            "UntagResource": targets.untag,
            "ListTagsForResource": targets.list_tags,
        }
        self._model = ApiModel("application-autoscaling", self.operations)
        control_plane.watch_scaling(self)

    async def call(self, operation: str, params: Params, scope: Scope) -> Params:
        """Run an operation.

        Args:
            operation: Its name in the API, for example ``PutScalingPolicy``.
            params: The request, in the API's own words.
            scope: Account and Region of the caller.

        Raises:
            ServiceError: As the API would answer.
        """
        self._model.require(operation)
        answer = await self.operations[operation](self._model.validate(operation, params), scope)
        if operation == "PutScalingPolicy" and not self._reports_idle:
            self._reports_idle = True
            self._scaler.in_background(self._idle.run())
        return answer

    async def alarm_fired(self, policy_arn: str, alarm_name: str, state: str, scope: Scope) -> None:
        """Let a policy act on an alarm; called at each evaluation while the alarm is in the state.

        Args:
            policy_arn: The alarm's action.
            alarm_name: The alarm.
            state: Its state; only ALARM makes a policy act.
            scope: Account and Region of the alarm.
        """
        policy = self._registry.policy_by_arn(policy_arn)
        if state == "ALARM" and policy is not None and policy.target.scope == scope:
            await self._scaler.react(policy, alarm_name)

    async def stop(self) -> None:
        """End all work in the background."""
        await self._scaler.stop()

    def scaled_variants(self, endpoint_name: str, scope: Scope) -> set[str]:
        """Names of an endpoint's variants that are scalable targets."""
        names = (target.endpoint_and_variant for target in self._registry.targets(scope))
        return {variant for endpoint, variant in names if endpoint == endpoint_name}

    def forget_endpoint(self, endpoint_name: str, scope: Scope) -> None:
        """Deregister an endpoint's targets; their alarms are deleted in the background."""
        for target in list(self._registry.targets(scope)):
            if target.endpoint_and_variant[0] == endpoint_name:
                self._scaler.in_background(self._policies.delete_alarms(self._registry.remove_target(target)))


async def _no_schedules(params: Params, scope: Scope) -> Params:
    raise ServiceError(
        "ValidationException",
        "The sandbox does not run scheduled actions yet; target tracking and step scaling policies work.",
    )
