"""Scalable targets and their policies."""

from __future__ import annotations

from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk.assertions import Template

from sagemaker_serving.scaling import VariantScaling
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking


def scaled(stack: cdk.Stack, *policies: TargetTracking) -> None:
    endpoint = sagemaker.CfnEndpoint(stack, "Endpoint", endpoint_config_name="config")
    VariantScaling(
        stack,
        "Scaling",
        endpoint=endpoint,
        endpoint_name="sentiment",
        variant_name="primary",
        scaling=AutoScaling(min_capacity=2, max_capacity=6, policies=policies),
    )


def test_target_is_the_variant_and_lives_with_the_endpoint(
    stack: cdk.Stack, synthesised: Callable[[], Template]
) -> None:
    scaled(stack, TargetTracking.invocations_per_instance(600))
    template = synthesised()
    (target,) = template.find_resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert target["Properties"] == {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": "endpoint/sentiment/variant/primary",
        "MinCapacity": 2,
        "MaxCapacity": 6,
    }
    assert target["DependsOn"] == ["Endpoint"]
    # AND no role is made: the service-linked one does it
    template.resource_count_is("AWS::IAM::Role", 0)


def test_invocations_are_tracked_by_the_predefined_metric(
    stack: cdk.Stack, synthesised: Callable[[], Template]
) -> None:
    scaled(
        stack,
        TargetTracking.invocations_per_instance(
            600, scale_in_cooldown=cdk.Duration.minutes(10), scale_out_cooldown=cdk.Duration.seconds(30)
        ),
    )
    template = synthesised()
    (target,) = template.find_resources("AWS::ApplicationAutoScaling::ScalableTarget")
    template.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": target},
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": 600,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
                "ScaleInCooldown": 600,
                "ScaleOutCooldown": 30,
            },
        },
    )


def test_each_metric_is_a_policy_with_a_name_of_its_own(
    stack: cdk.Stack, synthesised: Callable[[], Template]
) -> None:
    scaled(stack, TargetTracking.invocations_per_instance(600), TargetTracking.cpu_utilization(140))
    found = synthesised().find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    assert {policy["Properties"]["PolicyName"] for policy in found} == {
        "sentiment-primary-InvocationsPerInstance",
        "sentiment-primary-CpuUtilization",
    }
