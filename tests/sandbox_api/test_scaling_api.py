"""Application Auto Scaling's API: targets, policies, the alarms behind them, and what SageMaker asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.world import World

Refused = Callable[..., tuple[str, str]]
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


def put_tracking(autoscaling: Any, name: str = "p", **config: Any) -> Params:
    answer: Params = autoscaling.put_scaling_policy(
        **WHICH,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING | config,
    )
    return answer


@pytest.fixture
def target(autoscaling: Any, make_endpoint: Any) -> str:
    """A scalable target, 1 to 4 instances, of an endpoint with 2."""
    make_endpoint("e")
    arn: str = autoscaling.register_scalable_target(**WHICH, MinCapacity=1, MaxCapacity=4)[
        "ScalableTargetARN"
    ]
    return arn


def test_a_target_is_described_as_registered(autoscaling: Any, target: str) -> None:
    # GIVEN a target
    # WHEN targets are described
    (found,) = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]

    # THEN it is there, with the service-linked role and nothing suspended
    assert found["ScalableTargetARN"] == target
    assert target.startswith("arn:aws:application-autoscaling:ap-northeast-2:000000000000:scalable-target/")
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 4)
    assert found["RoleARN"].endswith("/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    assert set(found["SuspendedState"].values()) == {False}


def test_registering_again_changes_only_what_is_given(autoscaling: Any, target: str) -> None:
    # GIVEN a target
    # WHEN its maximum and one suspension change
    again = autoscaling.register_scalable_target(
        **WHICH, MaxCapacity=6, SuspendedState={"DynamicScalingInSuspended": True}
    )

    # THEN the rest stays, the ARN too
    (found,) = autoscaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[WHICH["ResourceId"]]
    )["ScalableTargets"]
    assert again["ScalableTargetARN"] == target
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 6)
    assert found["SuspendedState"]["DynamicScalingInSuspended"]
    assert not found["SuspendedState"]["DynamicScalingOutSuspended"]


@pytest.mark.parametrize(
    ("bounds", "count", "cause"),
    [
        ({"MinCapacity": 3, "MaxCapacity": 5}, 3, "minimum capacity was set to 3"),
        ({"MinCapacity": 1, "MaxCapacity": 1}, 1, "maximum capacity was set to 1"),
    ],
)
def test_a_capacity_outside_the_range_is_moved_into_it(
    autoscaling: Any, sagemaker: Any, make_endpoint: Any, until: Any, bounds: Params, count: int, cause: str
) -> None:
    # GIVEN an endpoint with 2 instances
    make_endpoint("e")

    # WHEN a range is registered that they lie outside of
    autoscaling.register_scalable_target(**WHICH, **bounds)

    # THEN the count changes, and an activity tells why
    def activity() -> Any:
        found = autoscaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
        return found[0]

    until(lambda: activity()["StatusCode"] == "Successful")
    (variant,) = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == count
    assert activity()["Description"] == f"Setting desired instance count to {count}."
    assert activity()["Cause"] == cause


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (
            {"ResourceId": "endpoint/none/variant/blue"},
            "SageMaker endpoint doesn't exist: endpoint/none/variant/blue",
        ),
        (
            {"ResourceId": "endpoint/e/variant/none"},
            "SageMaker variant doesn't exist: endpoint/e/variant/none",
        ),
        ({"ResourceId": "table/t"}, "Unsupported service namespace, resource type or scalable dimension."),
        (
            {"ServiceNamespace": "dynamodb"},
            "The sandbox scales sagemaker only, not the service namespace dynamodb.",
        ),
        (
            {"ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency"},
            "The sandbox does not scale sagemaker:variant:DesiredProvisionedConcurrency yet",
        ),
        (
            {"ScalableDimension": "ecs:service:DesiredCount"},
            "Unsupported service namespace, resource type or scalable",
        ),
        ({"MinCapacity": None}, "MinCapacity is required to register a new scalable target"),
        ({"MinCapacity": 5}, "MinCapacity 5 must not be greater than MaxCapacity 4"),
        ({"MinCapacity": -1}, "MinCapacity must be at least 0; it is -1"),
        ({"ResourceId": "endpoint/small/variant/blue"}, "Variants on burstable instances cannot be scaled"),
    ],
)
def test_what_cannot_be_a_target_is_refused(
    autoscaling: Any, make_endpoint: Any, variant: Any, refused: Refused, params: Params, error: str
) -> None:
    # GIVEN an endpoint, and one on burstable instances
    make_endpoint("e")
    make_endpoint("small", variant(InstanceType="ml.t2.medium"))

    # WHEN something is registered that cannot be scaled
    given = {**WHICH, "MinCapacity": 1, "MaxCapacity": 4} | params
    code, message = refused(
        autoscaling.register_scalable_target, **{k: v for k, v in given.items() if v is not None}
    )

    # THEN the answer says why, and nothing is registered
    assert code == "ValidationException"
    assert error in message
    assert not autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def test_without_a_target_nothing_works(autoscaling: Any, make_endpoint: Any, refused: Refused) -> None:
    # GIVEN an endpoint that is no target
    make_endpoint("e")

    # WHEN a policy is put or the target deregistered
    policy = refused(
        autoscaling.put_scaling_policy,
        **WHICH,
        PolicyName="p",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING,
    )

    # THEN the service says so in its own words
    assert policy == NO_TARGET
    assert refused(autoscaling.deregister_scalable_target, **WHICH) == NO_TARGET


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


STEP = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}


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


def test_deregistering_deletes_policies_and_alarms(autoscaling: Any, target: str, world: World) -> None:
    # GIVEN a target with a policy
    put_tracking(autoscaling)

    # WHEN it is deregistered
    autoscaling.deregister_scalable_target(**WHICH)

    # THEN nothing is left
    assert not autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert not autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert not world.cloudwatch.alarms


def test_deleting_an_endpoint_deregisters_its_targets(
    autoscaling: Any, sagemaker: Any, target: str, world: World, until: Any
) -> None:
    # GIVEN a target with a policy
    put_tracking(autoscaling)

    # WHEN the endpoint is deleted
    sagemaker.delete_endpoint(EndpointName="e")

    # THEN target and alarms go too
    assert not autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    until(lambda: not world.cloudwatch.alarms)


def test_a_scaled_variant_keeps_its_instance_type(
    autoscaling: Any, sagemaker: Any, target: str, make_config: Any, variant: Any, refused: Refused
) -> None:
    # GIVEN a target
    make_config("bigger", variant(InstanceType="ml.m5.xlarge"))
    make_config("same", variant(count=1))

    # WHEN the endpoint is updated to another instance type, then only to another count
    code, message = refused(sagemaker.update_endpoint, EndpointName="e", EndpointConfigName="bigger")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="same")
    autoscaling.deregister_scalable_target(**WHICH)
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="bigger")

    # THEN the type had to wait for the target to be deregistered
    assert code == "ValidationException"
    assert 'The variant(s) "[blue]" must be deregistered as scalable targets with AutoScaling' in message
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "bigger"


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


def test_targets_carry_tags(autoscaling: Any, make_endpoint: Any, refused: Refused) -> None:
    # GIVEN a target with a tag
    make_endpoint("e")
    arn = autoscaling.register_scalable_target(**WHICH, MinCapacity=1, MaxCapacity=2, Tags={"a": "1"})[
        "ScalableTargetARN"
    ]

    # WHEN tags come and go
    autoscaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    autoscaling.untag_resource(ResourceARN=arn, TagKeys=["a"])

    # THEN the rest is there; a resource that does not exist has none
    assert autoscaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2"}
    assert (
        refused(autoscaling.list_tags_for_resource, ResourceARN=arn + "x")[0] == "ResourceNotFoundException"
    )


def test_describe_operations_page(autoscaling: Any, target: str, refused: Refused) -> None:
    # GIVEN three policies
    for name in "abc":
        put_tracking(autoscaling, name)

    # WHEN they are read two at a time
    pages = list(
        autoscaling.get_paginator("describe_scaling_policies").paginate(
            ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 2}
        )
    )

    # THEN each comes once; a token or a size that cannot be is refused
    names = [[policy["PolicyName"] for policy in page["ScalingPolicies"]] for page in pages]
    assert names == [["a", "b"], ["c"]]
    describe = autoscaling.describe_scaling_policies
    assert refused(describe, ServiceNamespace="sagemaker", NextToken="x")[0] == "InvalidNextTokenException"
    assert refused(describe, ServiceNamespace="sagemaker", MaxResults=51)[0] == "ValidationException"
    (one,) = describe(ServiceNamespace="sagemaker", PolicyNames=["b"])["ScalingPolicies"]
    assert one["PolicyName"] == "b"


def test_scheduled_actions_are_refused_in_plain_words(
    autoscaling: Any, target: str, refused: Refused
) -> None:
    # GIVEN a target
    # WHEN an action is scheduled
    code, message = refused(
        autoscaling.put_scheduled_action, **WHICH, ScheduledActionName="s", Schedule="rate(1 day)"
    )

    # THEN the answer says what works instead
    assert (code, "does not run scheduled actions yet" in message) == ("ValidationException", True)
