"""The usual scalable target and policies."""

from __future__ import annotations

from typing import Any

from sandbox.store import Params

WHICH = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/blue",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "TargetValue": 100.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
NO_TARGET = (
    "ObjectNotFoundException",
    "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/e/variant/blue, "
    "scalable dimension: sagemaker:variant:DesiredInstanceCount",
)
STEP = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}


def put_tracking(autoscaling: Any, name: str = "p", **config: Any) -> Params:
    answer: Params = autoscaling.put_scaling_policy(
        **WHICH,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING | config,
    )
    return answer
