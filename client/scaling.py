"""What Application Auto Scaling may do with an endpoint's variants."""

from __future__ import annotations

from typing import Any

from client.connection import Connection

_NAMESPACE = "sagemaker"
_DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def scaling_ranges(
    connection: Connection, endpoint_name: str, variants: list[str]
) -> dict[str, tuple[int, int]]:
    """Least and most instances of each variant that scales."""
    if not variants:
        return {}
    resources = {f"endpoint/{endpoint_name}/variant/{variant}": variant for variant in variants}
    pages = (
        connection.client("application-autoscaling")
        .get_paginator("describe_scalable_targets")
        .paginate(ServiceNamespace=_NAMESPACE, ResourceIds=list(resources), ScalableDimension=_DIMENSION)
    )
    return {
        resources[target["ResourceId"]]: (target["MinCapacity"], target["MaxCapacity"])
        for page in pages
        for target in page["ScalableTargets"]
        if target["ResourceId"] in resources
    }


def invocations_per_minute_target(connection: Connection, endpoint_name: str, variant: str) -> float | None:
    """Invocations per instance and minute that target tracking aims at; None without such a policy."""
    pages = (
        connection.client("application-autoscaling")
        .get_paginator("describe_scaling_policies")
        .paginate(ServiceNamespace=_NAMESPACE, ResourceId=f"endpoint/{endpoint_name}/variant/{variant}")
    )
    for page in pages:
        for policy in page["ScalingPolicies"]:
            tracking: dict[str, Any] = policy.get("TargetTrackingScalingPolicyConfiguration") or {}
            metric = (tracking.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
            if metric == "SageMakerVariantInvocationsPerInstance":
                return float(tracking["TargetValue"])
    return None
