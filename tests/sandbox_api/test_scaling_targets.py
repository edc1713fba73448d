"""Application Auto Scaling's API: scalable targets, their ranges, tags and lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.scaling import NO_TARGET, TRACKING, WHICH, put_tracking
from tests.sandbox_api.world import World

Refused = Callable[..., tuple[str, str]]


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
