"""PutScalingPolicy, DescribeScalingPolicies, DeleteScalingPolicy, and the alarms behind target tracking."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.autoscaling.capacity import step_findings
from sandbox.autoscaling.records import (
    DIMENSION,
    NAMESPACE,
    Policy,
    Registry,
    Target,
    check_resource,
    page_size,
)
from sandbox.autoscaling.tracking import alarms_of, tracking_findings
from sandbox.aws import LocalAws
from sandbox.errors import ServiceError
from sandbox.paging import page
from sandbox.store import Params, Scope
from sandbox.validation import raise_findings

_CONFIGS = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "PredictiveScaling": "PredictiveScalingPolicyConfiguration",
}


class Policies:
    """Scaling policies of the registered targets."""

    def __init__(self, registry: Registry, aws: LocalAws) -> None:
        self._registry = registry
        self._aws = aws

    async def put(self, params: Params, scope: Scope) -> Params:
        """PutScalingPolicy: makes or replaces a policy; target tracking makes its two alarms."""
        check_resource(params)
        target = self._registry.target(params["ResourceId"], scope)
        known = self._registry.find_policy(target, params["PolicyName"])
        kind = params.get("PolicyType", known.kind if known else "StepScaling")
        raise_findings([*_findings(params, kind, known)])
        policy = Policy(
            target=target,
            name=params["PolicyName"],
            arn=known.arn if known else _new_arn(target, params["PolicyName"]),
            kind=kind,
            config=params[_CONFIGS[kind]],
            alarms=known.alarms if known else [],
        )
        if known:
            policy.created_at = known.created_at
        if kind == "TargetTrackingScaling":
            policy.alarms = alarms_of(policy)
            await asyncio.to_thread(self._put_alarms, policy)
        if self._registry.find_target(target.resource_id, scope) is not target:
            await self.delete_alarms([policy])  # deregistered meanwhile
            self._registry.target(target.resource_id, scope)
        self._registry.add_policy(policy)
        return {"PolicyARN": policy.arn, "Alarms": _alarms(policy)}

    async def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeScalingPolicies."""
        check_resource(params)
        names, resource = params.get("PolicyNames"), params.get("ResourceId")
        policies, token = page(
            [
                policy
                for policy in self._registry.policies(scope)
                if (not names or policy.name in names or policy.arn in names)
                and resource in (None, policy.target.resource_id)
            ],
            order="policies",
            key=lambda policy: (policy.target.resource_id, policy.name),
            limit=page_size(params),
            token=params.get("NextToken"),
            error_code="InvalidNextTokenException",
        )
        return {"ScalingPolicies": [_describe(policy) for policy in policies]} | (
            {"NextToken": token} if token else {}
        )

    async def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteScalingPolicy, with the alarms that it made."""
        check_resource(params)
        name, resource_id = params["PolicyName"], params["ResourceId"]
        target = self._registry.find_target(resource_id, scope)
        policy = self._registry.find_policy(target, name) if target else None
        if policy is None:
            raise ServiceError(
                "ObjectNotFoundException",
                f"No scaling policy found for service namespace: {NAMESPACE}, resource ID: {resource_id}, "
                f"scalable dimension: {DIMENSION}, policy name: {name}",
            )
        self._registry.remove_policy(policy)
        await self.delete_alarms([policy])
        return {}

    async def delete_alarms(self, policies: Iterable[Policy]) -> None:
        """Delete the alarms that target tracking policies made.

        Raises:
            ServiceError: FailedResourceAccessException, when CloudWatch refuses.
        """
        for policy in policies:
            names = [alarm["AlarmName"] for alarm in policy.alarms]
            if names:
                await asyncio.to_thread(self._delete_alarms, names, policy.target.scope)

    def _put_alarms(self, policy: Policy) -> None:
        try:
            client = self._aws.client("cloudwatch", policy.target.scope)
            for alarm in policy.alarms:
                client.put_metric_alarm(**alarm)
        except (ClientError, BotoCoreError) as error:
            raise _no_access("put", error) from error

    def _delete_alarms(self, names: list[str], scope: Scope) -> None:
        try:
            self._aws.client("cloudwatch", scope).delete_alarms(AlarmNames=names)
        except (ClientError, BotoCoreError) as error:
            raise _no_access("delete", error) from error


def _no_access(verb: str, error: Exception) -> ServiceError:
    return ServiceError("FailedResourceAccessException", f"CloudWatch refused to {verb} the alarms: {error}")


def _findings(params: Params, kind: str, known: Policy | None) -> Iterator[str]:
    for other, member in _CONFIGS.items():
        if (member in params) != (other == kind):
            yield f"PolicyType {kind} {'needs' if other == kind else 'does not take'} {member}"
    if known and known.kind != kind:
        yield f"the policy exists with PolicyType {known.kind}, which cannot change: delete it first"
    config = params.get(_CONFIGS[kind])
    match kind:
        case "PredictiveScaling":
            yield "SageMaker variants take StepScaling or TargetTrackingScaling, not PredictiveScaling"
        case "TargetTrackingScaling" if config is not None:
            yield from tracking_findings(config)
        case "StepScaling" if config is not None:
            yield from step_findings(config)


def _new_arn(target: Target, name: str) -> str:
    resource = f"resource/{NAMESPACE}/{target.resource_id}:policyName/{name}"
    return target.scope.arn(f"scalingPolicy:{uuid.uuid4()}:{resource}", "autoscaling")


def _alarms(policy: Policy) -> list[Params]:
    return [
        {
            "AlarmName": alarm["AlarmName"],
            "AlarmARN": policy.target.scope.arn(f"alarm:{alarm['AlarmName']}", "cloudwatch"),
        }
        for alarm in policy.alarms
    ]


def _describe(policy: Policy) -> Params:
    return {
        "PolicyARN": policy.arn,
        "PolicyName": policy.name,
        "ServiceNamespace": NAMESPACE,
        "ResourceId": policy.target.resource_id,
        "ScalableDimension": DIMENSION,
        "PolicyType": policy.kind,
        _CONFIGS[policy.kind]: policy.config,
        "Alarms": _alarms(policy),
        "CreationTime": policy.created_at,
    }
