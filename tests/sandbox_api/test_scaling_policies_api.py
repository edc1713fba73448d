"""Application Auto Scaling's API: policies, and the alarms behind target tracking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.scaling import STEP, TRACKING, WHICH, put_tracking
from tests.sandbox_api.world import World

Refused = Callable[..., tuple[str, str]]


def test_target_tracking_makes_two_alarms(autoscaling: Any, target: str, world: World) -> None:
    # GIVEN a target
    # WHEN a target tracking policy is put
    made = put_tracking(autoscaling)

    # THEN CloudWatch has the high and the low alarm, with the policy as their action
    high, low = (world.cloudwatch.alarms[alarm["AlarmName"]] for alarm in made["Alarms"])
    assert high["AlarmName"].startswith("TargetTracking-endpoint/e/variant/blue-AlarmHigh-")
    assert low["AlarmName"].startswith("TargetTracking-endpoint/e/variant/blue-AlarmLow-")
    assert made["Alarms"][0]["AlarmARN"] == (
        f"arn:aws:cloudwatch:ap-northeast-2:000000000000:alarm:{high['AlarmName']}"
    )
    shared = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "InvocationsPerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "blue"}],
        "Statistic": "Sum",
        "Period": 60,
        "ActionsEnabled": True,
        "AlarmActions": [made["PolicyARN"]],
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {made['PolicyARN']}.",
    }
    assert high == {
        "AlarmName": high["AlarmName"],
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 100.0,
        "EvaluationPeriods": 3,
        **shared,
    }
    assert low == {
        "AlarmName": low["AlarmName"],
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": 90.0,
        "EvaluationPeriods": 15,
        **shared,
    }
    (shown,) = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert shown["TargetTrackingScalingPolicyConfiguration"] == TRACKING
    assert shown["Alarms"] == made["Alarms"]


def test_putting_a_policy_again_keeps_its_arn_and_alarms(autoscaling: Any, target: str, world: World) -> None:
    # GIVEN a policy
    first = put_tracking(autoscaling)

    # WHEN its target value changes
    second = put_tracking(autoscaling, TargetValue=50.0)

    # THEN it is the same policy with the same alarms, at another threshold
    assert (second["PolicyARN"], second["Alarms"]) == (first["PolicyARN"], first["Alarms"])
    assert sorted(alarm["Threshold"] for alarm in world.cloudwatch.alarms.values()) == [45.0, 50.0]


@pytest.mark.parametrize(
    ("custom", "expected", "low_periods"),
    [
        (
            {
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
                }
            },
            {"MetricName": "ConcurrentRequestsPerModel", "Statistic": "Average", "Period": 10},
            90,
        ),
        (
            {
                "CustomizedMetricSpecification": {
                    "MetricName": "CPUUtilization",
                    "Namespace": "/aws/sagemaker/Endpoints",
                    "Statistic": "Average",
                    "Unit": "Percent",
                    "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
                }
            },
            {"Namespace": "/aws/sagemaker/Endpoints", "Unit": "Percent", "Period": 60},
            15,
        ),
        (
            {
                "CustomizedMetricSpecification": {
                    "Metrics": [
                        {
                            "Id": "m",
                            "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "M"}, "Stat": "Sum"},
                            "ReturnData": False,
                        },
                        {"Id": "e", "Expression": "m / 2"},
                    ]
                }
            },
            {
                "Metrics": [
                    {
                        "Id": "m",
                        "MetricStat": {
                            "Metric": {"Namespace": "N", "MetricName": "M"},
                            "Stat": "Sum",
                            "Period": 60,
                        },
                        "ReturnData": False,
                    },
                    {"Id": "e", "Expression": "m / 2"},
                ]
            },
            15,
        ),
    ],
)
def test_other_metrics_can_be_tracked(
    autoscaling: Any, target: str, world: World, custom: Params, expected: Params, low_periods: int
) -> None:
    # GIVEN a target
    # WHEN it tracks another metric
    autoscaling.put_scaling_policy(
        **WHICH,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 5.0, **custom},
    )

    # THEN the alarms watch that
    for alarm in world.cloudwatch.alarms.values():
        assert {name: alarm[name] for name in expected} == expected
    periods = sorted(alarm["EvaluationPeriods"] for alarm in world.cloudwatch.alarms.values())
    assert periods == [3, low_periods]


@pytest.mark.parametrize(
    ("params", "finding"),
    [
        (
            {"TargetTrackingScalingPolicyConfiguration": None},
            "TargetTrackingScaling needs TargetTrackingScalingPolicy",
        ),
        (
            {"StepScalingPolicyConfiguration": STEP},
            "TargetTrackingScaling does not take StepScalingPolicyConfiguration",
        ),
        (
            {"TargetTrackingScalingPolicyConfiguration": TRACKING | {"TargetValue": 0.0}},
            "greater than 0; it is 0",
        ),
        (
            {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1.0}},
            "give either PredefinedMetricSpecification or CustomizedMetricSpecification",
        ),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget"},
                }
            },
            "the metric type ALBRequestCountPerTarget is not for this resource",
        ),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "CustomizedMetricSpecification": {"MetricName": "m"},
                }
            },
            "CustomizedMetricSpecification needs Namespace, Statistic",
        ),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "CustomizedMetricSpecification": {"MetricName": "m", "Metrics": [{"Id": "a"}]},
                }
            },
            "has either Metrics or MetricName, Namespace and Statistic",
        ),
        (
            {"TargetTrackingScalingPolicyConfiguration": TRACKING | {"ScaleInCooldown": -1}},
            "ScaleInCooldown must not be negative; it is -1",
        ),
        (
            {
                "PolicyType": "PredictiveScaling",
                "TargetTrackingScalingPolicyConfiguration": None,
                "PredictiveScalingPolicyConfiguration": {"MetricSpecifications": [{"TargetValue": 1.0}]},
            },
            "not PredictiveScaling",
        ),
        (
            {
                "PolicyType": "StepScaling",
                "TargetTrackingScalingPolicyConfiguration": None,
                "StepScalingPolicyConfiguration": {},
            },
            "AdjustmentType is required; StepAdjustments needs at least one step",
        ),
    ],
)
def test_a_policy_that_cannot_work_is_refused(
    autoscaling: Any, target: str, world: World, refused: Refused, params: Params, finding: str
) -> None:
    # GIVEN a target
    # WHEN a policy with one mistake is put
    given = {
        **WHICH,
        "PolicyName": "p",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": TRACKING,
    } | params
    code, message = refused(
        autoscaling.put_scaling_policy, **{k: v for k, v in given.items() if v is not None}
    )

    # THEN the rule is told, and no alarm is made
    assert code == "ValidationException"
    assert finding in message
    assert not world.cloudwatch.alarms


def test_a_policy_keeps_its_type(autoscaling: Any, target: str, refused: Refused) -> None:
    # GIVEN a target tracking policy
    put_tracking(autoscaling)

    # WHEN it is put as step scaling
    _, message = refused(
        autoscaling.put_scaling_policy,
        **WHICH,
        PolicyName="p",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration=STEP,
    )

    # THEN it is refused
    assert "the policy exists with PolicyType TargetTrackingScaling, which cannot change" in message


def test_a_deleted_policy_takes_its_alarms_along(
    autoscaling: Any, target: str, world: World, refused: Refused
) -> None:
    # GIVEN two policies
    put_tracking(autoscaling, "one")
    put_tracking(autoscaling, "two")

    # WHEN one is deleted, twice
    autoscaling.delete_scaling_policy(**WHICH, PolicyName="one")
    error = refused(autoscaling.delete_scaling_policy, **WHICH, PolicyName="one")

    # THEN its alarms are gone and the other's are not
    assert error == (
        "ObjectNotFoundException",
        "No scaling policy found for service namespace: sagemaker, resource ID: endpoint/e/variant/blue, "
        "scalable dimension: sagemaker:variant:DesiredInstanceCount, policy name: one",
    )
    (left,) = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert {alarm["AlarmName"] for alarm in left["Alarms"]} == set(world.cloudwatch.alarms)


def test_trouble_with_cloudwatch_is_told(
    autoscaling: Any, target: str, world: World, refused: Refused
) -> None:
    # GIVEN a CloudWatch that refuses
    world.cloudwatch.refuses = True

    # WHEN a policy is put
    code, message = refused(
        autoscaling.put_scaling_policy,
        **WHICH,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING,
    )

    # THEN the modelled error says so, and there is no policy
    assert (code, "CloudWatch refused to put the alarms" in message) == (
        "FailedResourceAccessException",
        True,
    )
    assert not autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
