"""RegisterScalableTarget, DescribeScalableTargets, DeregisterScalableTarget, and tags of targets."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sandbox.autoscaling.policies import Policies
from sandbox.autoscaling.records import DIMENSION, NAMESPACE, Registry, Target, check_resource, page_size
from sandbox.autoscaling.scaler import SageMaker, Scaler
from sandbox.errors import ServiceError
from sandbox.paging import page
from sandbox.store import Params, Scope
from sandbox.validation import raise_findings

_MAX_TAGS = 50
_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Targets:
    """Scalable targets: which variants may be scaled, and between which bounds."""

    def __init__(self, registry: Registry, sagemaker: SageMaker, scaler: Scaler, policies: Policies) -> None:
        self._registry = registry
        self._sagemaker = sagemaker
        self._scaler = scaler
        self._policies = policies

    async def register(self, params: Params, scope: Scope) -> Params:
        """RegisterScalableTarget: makes or changes a target, and moves the capacity into its range."""
        check_resource(params)
        known = self._registry.find_target(params["ResourceId"], scope)
        raise_findings([*_range_findings(params, known)])
        target = known or Target(
            scope, params["ResourceId"], params["MinCapacity"], params["MaxCapacity"], _new_arn(scope)
        )
        await self._require_scalable(target)
        if known is None:
            _set_tags(target, params.get("Tags", {}))
            self._registry.add_target(target)
        elif params.get("Tags"):
            raise ServiceError(
                "ValidationException", "Tags of a registered target are changed by TagResource."
            )
        target.minimum = params.get("MinCapacity", target.minimum)
        target.maximum = params.get("MaxCapacity", target.maximum)
        target.suspended |= params.get("SuspendedState", {})
        target.not_scaled.clear()
        await self._scaler.move_into_range(target)
        return {"ScalableTargetARN": target.arn}

    async def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeScalableTargets."""
        check_resource(params)
        wanted = params.get("ResourceIds")
        found = [t for t in self._registry.targets(scope) if not wanted or t.resource_id in wanted]
        targets, token = page(
            found,
            order="targets",
            key=lambda target: (target.resource_id, ""),
            limit=page_size(params),
            token=params.get("NextToken"),
            error_code="InvalidNextTokenException",
        )
        return {"ScalableTargets": [_describe(target) for target in targets]} | (
            {"NextToken": token} if token else {}
        )

    async def deregister(self, params: Params, scope: Scope) -> Params:
        """DeregisterScalableTarget: its policies and their alarms go with it."""
        check_resource(params)
        target = self._registry.target(params["ResourceId"], scope)
        await self._policies.delete_alarms(self._registry.remove_target(target))
        return {}

    async def tag(self, params: Params, scope: Scope) -> Params:
        """TagResource."""
        _set_tags(self._by_arn(params["ResourceARN"], scope), params["Tags"])
        return {}

    async def untag(self, params: Params, scope: Scope) -> Params:
        """UntagResource."""
        target = self._by_arn(params["ResourceARN"], scope)
        for key in params["TagKeys"]:
            target.tags.pop(key, None)
        return {}

    async def list_tags(self, params: Params, scope: Scope) -> Params:
        """ListTagsForResource."""
        return {"Tags": dict(self._by_arn(params["ResourceARN"], scope).tags)}

    def _by_arn(self, arn: str, scope: Scope) -> Target:
        for target in self._registry.targets(scope):
            if target.arn == arn:
                return target
        raise ServiceError(
            "ResourceNotFoundException", f"There is no scalable target {arn}.", ResourceName=arn
        )

    async def _require_scalable(self, target: Target) -> None:
        status, variant = await self._scaler.variant(target)
        if not status or (variant is None and status != "Creating"):
            what = "variant" if status else "endpoint"
            raise ServiceError("ValidationException", f"SageMaker {what} doesn't exist: {target.resource_id}")
        instance_type = await self._instance_type(target)
        if instance_type.startswith("ml.t"):
            raise ServiceError(
                "ValidationException",
                f"Variants on burstable instances cannot be scaled: {target.resource_id}, {instance_type}.",
            )

    async def _instance_type(self, target: Target) -> str:
        endpoint, name = target.endpoint_and_variant
        try:
            answer = await self._sagemaker.call("DescribeEndpoint", {"EndpointName": endpoint}, target.scope)
            config = await self._sagemaker.call(
                "DescribeEndpointConfig", {"EndpointConfigName": answer["EndpointConfigName"]}, target.scope
            )
        except ServiceError:
            return ""  # the configuration may be deleted while the endpoint lives
        variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
        types = {variant["VariantName"]: variant.get("InstanceType", "") for variant in variants}
        return str(types.get(name, ""))


def _range_findings(params: Params, known: Target | None) -> Iterator[str]:
    bounds = {
        "MinCapacity": params.get("MinCapacity", known.minimum if known else None),
        "MaxCapacity": params.get("MaxCapacity", known.maximum if known else None),
    }
    for name, value in bounds.items():
        if value is None:
            yield f"{name} is required to register a new scalable target"
        elif value < 0:
            yield f"{name} must be at least 0; it is {value}"
    low, high = bounds.values()
    if low is not None and high is not None and low > high:
        yield f"MinCapacity {low} must not be greater than MaxCapacity {high}"


def _set_tags(target: Target, tags: dict[str, str]) -> None:
    merged = target.tags | tags
    if len(merged) > _MAX_TAGS:
        raise ServiceError(
            "TooManyTagsException",
            f"A scalable target has at most {_MAX_TAGS} tags.",
            ResourceName=target.arn,
        )
    target.tags = merged


def _new_arn(scope: Scope) -> str:
    identity = "".join(secrets.choice(_ID_ALPHABET) for _ in range(28))
    return scope.arn(f"scalable-target/{identity}", "application-autoscaling")


def _describe(target: Target) -> Params:
    role = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": target.resource_id,
        "ScalableDimension": DIMENSION,
        "MinCapacity": target.minimum,
        "MaxCapacity": target.maximum,
        "RoleARN": f"arn:aws:iam::{target.scope.account}:role/aws-service-role/"
        f"sagemaker.application-autoscaling.amazonaws.com/{role}",
        "CreationTime": target.created_at,
        "SuspendedState": dict(target.suspended),
        "ScalableTargetARN": target.arn,
    }
