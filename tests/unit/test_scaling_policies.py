"""Scaling ranges and target tracking: limits, what a variant refuses, and what the template holds."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk.assertions import Template

from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking, WakeFromZero
from sagemaker_serving.variants import InstanceVariant

MAKERS = [
    TargetTracking.backlog_per_instance,
    TargetTracking.provisioned_concurrency_utilization,
    TargetTracking.invocations_per_instance,
    TargetTracking.concurrent_requests,
    TargetTracking.cpu_utilization,
]


def scaling(**arguments: Any) -> AutoScaling:
    given: dict[str, Any] = {
        "min_capacity": 1,
        "max_capacity": 2,
        "policies": [TargetTracking.invocations_per_instance(100)],
    }
    return AutoScaling(**{**given, **arguments})


def against(given: AutoScaling, variant: InstanceVariant) -> str:
    findings = Findings("test")
    given.check_against(findings, variant)
    return "\n".join(str(finding) for finding in findings.found)


def rendered(policy: TargetTracking) -> dict[str, Any]:
    stack = cdk.Stack(cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False))
    autoscaling.CfnScalingPolicy(
        stack,
        "Policy",
        policy_name="p",
        policy_type="TargetTrackingScaling",
        target_tracking_scaling_policy_configuration=policy.render(
            endpoint_name="sentiment", variant_name="blue"
        ),
    )
    [resource] = (
        Template.from_stack(stack).find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    )
    return dict(resource["Properties"]["TargetTrackingScalingPolicyConfiguration"])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf"), "70", True], ids=repr)
def test_a_target_is_a_number_above_zero(make: Any, target: object) -> None:
    with pytest.raises(InvalidConfiguration, match=r"target = .*must be a finite number above 0"):
        make(target)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("cooldown", ["scale_in_cooldown", "scale_out_cooldown"])
def test_a_cooldown_is_whole_seconds(make: Any, cooldown: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"{cooldown} = '0.5 s'"):
        make(1, **{cooldown: cdk.Duration.millis(500)})
    with pytest.raises(InvalidConfiguration, match=f"{cooldown} = 300: must be a duration"):
        make(1, **{cooldown: 300})


def test_all_that_is_wrong_with_a_policy_is_said_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        TargetTracking.cpu_utilization(-1, scale_in_cooldown=cdk.Duration.millis(1))
    assert [finding.field for finding in caught.value.findings] == ["target", "scale_in_cooldown"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_capacity": -1}, "min_capacity = -1: must be a whole number of at least 0"),
        ({"min_capacity": 1.5}, "min_capacity = 1.5"),
        ({"max_capacity": 0}, "max_capacity = 0"),
        ({"max_capacity": "4"}, "max_capacity = '4'"),
        ({"min_capacity": 3, "max_capacity": 2}, "max_capacity = 2: must be at least min_capacity, 3"),
        ({"policies": []}, "without a policy nothing scales"),
        (
            {"min_capacity": 0},
            "policies = ['InvocationsPerInstance']: with min_capacity 0 nothing starts the first instance",
        ),
        (
            {"policies": [TargetTracking.backlog_per_instance(3), WakeFromZero()]},
            "policies = 'HasBacklogWithoutCapacity': with min_capacity 1 there is always an instance",
        ),
        (
            {"policies": [TargetTracking.cpu_utilization(50), TargetTracking.cpu_utilization(70)]},
            "policies = 'CpuUtilization': two policies for one metric",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # others may show a memory address
)
def test_an_illegal_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        scaling(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instances": 0}, "instances = 0: must be a whole number of at least 1"),
        ({"cooldown": cdk.Duration.millis(1)}, "cooldown = '0.001 s'"),
    ],
    ids=["instances", "cooldown"],
)
def test_waking_starts_at_least_one_instance(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        WakeFromZero(**arguments)
    assert message in str(caught.value)


def test_a_range_of_one_size_is_legal() -> None:
    assert scaling(min_capacity=2, max_capacity=2)


def test_burstable_instances_cannot_be_scaled() -> None:
    message = against(scaling(), InstanceVariant(instance_type="ml.t2.medium"))
    assert "auto_scaling = 'ml.t2.medium'" in message
    assert "burstable" in message
    assert against(scaling(), InstanceVariant(instance_type="ml.m5.large")) == ""


@pytest.mark.parametrize(("count", "legal"), [(1, False), (2, True), (4, True), (5, False)])
def test_a_variant_starts_within_the_range(count: int, legal: bool) -> None:
    variant = InstanceVariant(instance_type="ml.m5.large", initial_instance_count=count)
    message = against(scaling(min_capacity=2, max_capacity=4), variant)
    assert (message == "") == legal
    if not legal:
        assert f"variant primary starts with {count}, outside the range" in message


def test_tokens_are_not_checked() -> None:
    unknown = cdk.Token.as_number(cdk.Fn.ref("Count"))
    variant = InstanceVariant(instance_type="ml.m5.large", initial_instance_count=9)
    assert against(scaling(min_capacity=unknown, max_capacity=4), variant) == ""
    assert against(scaling(min_capacity=5, max_capacity=unknown), variant) == ""


@pytest.mark.parametrize(
    ("make", "metric"),
    [
        (TargetTracking.invocations_per_instance, "SageMakerVariantInvocationsPerInstance"),
        (TargetTracking.concurrent_requests, "SageMakerVariantConcurrentRequestsPerModelHighResolution"),
    ],
)
def test_a_predefined_metric_renders_by_its_name(make: Any, metric: str) -> None:
    policy = make(
        70.5, scale_in_cooldown=cdk.Duration.minutes(10), scale_out_cooldown=cdk.Duration.seconds(0)
    )
    assert rendered(policy) == {
        "TargetValue": 70.5,
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        "ScaleInCooldown": 600,
        "ScaleOutCooldown": 0,
    }


def test_cpu_renders_as_the_endpoints_own_metric() -> None:
    assert rendered(TargetTracking.cpu_utilization(140, disable_scale_in=True)) == {
        "TargetValue": 140,
        "CustomizedMetricSpecification": {
            "MetricName": "CPUUtilization",
            "Namespace": "/aws/sagemaker/Endpoints",
            "Dimensions": [
                {"Name": "EndpointName", "Value": "sentiment"},
                {"Name": "VariantName", "Value": "blue"},
            ],
            "Statistic": "Average",
            "Unit": "Percent",
        },
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 300,
        "DisableScaleIn": True,
    }
