"""Endpoints, their configurations and all that has to fit together."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.data_capture import CaptureMode, DataCapture
from sagemaker_serving.deployment import AllAtOnce, Canary, CapacitySize
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.model import Container, ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.storage import DataBucket, EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
SCALING = AutoScaling(min_capacity=1, max_capacity=4, policies=[TargetTracking.invocations_per_instance(100)])
RETENTION = Retention(keep_data=False)


def only(template: Template, kind: str) -> tuple[str, dict[str, Any]]:
    ((name, resource),) = template.find_resources(kind).items()
    return name, dict(resource)


def test_only_the_endpoint_is_named_and_the_rest_follows_by_reference(
    make: MakeEndpoint, synthesised: Synthesised
) -> None:
    make()
    template = synthesised()
    model, _ = only(template, "AWS::SageMaker::Model")
    config, resource = only(template, "AWS::SageMaker::EndpointConfig")
    assert "EndpointConfigName" not in resource["Properties"]
    (variant,) = resource["Properties"]["ProductionVariants"]
    assert variant["ModelName"] == {"Fn::GetAtt": [model, "ModelName"]}
    _, endpoint = only(template, "AWS::SageMaker::Endpoint")
    assert endpoint["Properties"]["EndpointName"] == "sentiment"
    assert endpoint["Properties"]["EndpointConfigName"] == {"Fn::GetAtt": [config, "EndpointConfigName"]}


def test_endpoint_waits_for_logs_permissions_and_alarms(
    make: MakeEndpoint, alarms: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watched = alarms()
    make(deployment=AllAtOnce(wait=cdk.Duration.minutes(5)), rollback_alarms=watched.rollback_alarms)
    template = synthesised()
    _, endpoint = only(template, "AWS::SageMaker::Endpoint")
    names = " ".join(endpoint["DependsOn"])
    assert only(template, "AWS::Logs::LogGroup")[0] in names
    assert "EndpointServePolicy" in names
    named = [
        alarm["AlarmName"]["Ref"]
        for alarm in endpoint["Properties"]["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    ]
    assert len(named) == 2
    assert set(named) <= set(template.find_resources("AWS::CloudWatch::Alarm"))


def test_everything_at_rest_has_the_stacks_key(
    stack: cdk.Stack, make: MakeEndpoint, key: EncryptionKey, synthesised: Synthesised
) -> None:
    make(data_capture=DataCapture(bucket=DataBucket(stack, "Data", key=key, retention=RETENTION), key=key))
    template = synthesised()
    arn = {"Fn::GetAtt": [only(template, "AWS::KMS::Key")[0], "Arn"]}
    config = only(template, "AWS::SageMaker::EndpointConfig")[1]["Properties"]
    assert config["KmsKeyId"] == arn
    assert config["DataCaptureConfig"]["KmsKeyId"] == arn
    assert only(template, "AWS::Logs::LogGroup")[1]["Properties"]["KmsKeyId"] == arn


def test_log_group_is_ready_before_sagemaker_makes_its_own(
    make: MakeEndpoint, synthesised: Synthesised
) -> None:
    make(retention=Retention(keep_data=False, log_days=14))
    template = synthesised()
    group = only(template, "AWS::Logs::LogGroup")[1]
    assert group["Properties"]["LogGroupName"] == "/aws/sagemaker/Endpoints/sentiment"
    assert group["Properties"]["RetentionInDays"] == 14
    assert group["DeletionPolicy"] == "Delete"
    # AND CloudWatch Logs may use the key for this group only
    statements = only(template, "AWS::KMS::Key")[1]["Properties"]["KeyPolicy"]["Statement"]
    (logs,) = (item for item in statements if "logs." in json.dumps(item["Principal"]))
    assert ":log-group:/aws/sagemaker/Endpoints/sentiment" in json.dumps(logs["Condition"])


def test_role_may_write_to_this_endpoints_places_only(
    stack: cdk.Stack,
    make: MakeEndpoint,
    key: EncryptionKey,
    alarms: Callable[..., EndpointMonitoring],
    synthesised: Synthesised,
) -> None:
    bucket = DataBucket(stack, "Data", key=key, retention=RETENTION)
    make(
        data_capture=DataCapture(bucket=bucket, key=key),
        deployment=AllAtOnce(wait=cdk.Duration.minutes(5)),
        rollback_alarms=alarms().rollback_alarms,
    )
    policies = synthesised().find_resources("AWS::IAM::Policy")
    (policy,) = (policy for name, policy in policies.items() if "ServePolicy" in name)
    allowed = {item["Sid"]: item for item in policy["Properties"]["PolicyDocument"]["Statement"]}
    assert set(allowed) == {
        "WriteLogs",
        "PublishMetrics",
        "WriteCapturedData",
        "EncryptCapturedData",
        "WatchRollbackAlarms",
    }
    assert json.dumps(allowed["WriteLogs"]["Resource"]).count("/aws/sagemaker/Endpoints/sentiment") == 2
    assert allowed["PublishMetrics"]["Condition"] == {
        "StringEquals": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/Endpoints"]}
    }
    assert "/capture/*" in json.dumps(allowed["WriteCapturedData"]["Resource"])
    assert len(allowed["WatchRollbackAlarms"]["Resource"]) == 2
    assert allowed["WatchRollbackAlarms"]["Action"] == "cloudwatch:DescribeAlarms"


def test_each_model_of_several_variants_gets_its_permissions_once(
    stack: cdk.Stack,
    make: MakeEndpoint,
    model: ServingModel,
    container: Callable[..., Container],
    synthesised: Synthesised,
) -> None:
    # GIVEN three variants that serve two models
    other = ServingModel(stack, "Other", containers=[container()])
    served = [
        ServedVariant(model=serves, variant=InstanceVariant(instance_type="ml.m5.large", name=name))
        for name, serves in (("a", model), ("b", other), ("c", model))
    ]
    make(variants=served)
    policies = synthesised().find_resources("AWS::IAM::Policy")
    assert len([name for name in policies if "ServePolicy" in name]) == 2


def test_grant_invoke_is_for_this_endpoint_and_nothing_but_invoking(
    stack: cdk.Stack, make: MakeEndpoint, synthesised: Synthesised
) -> None:
    role = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    make().grant_invoke(role)
    template = synthesised()
    endpoint, _ = only(template, "AWS::SageMaker::Endpoint")
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": [
                    {"Action": "sagemaker:InvokeEndpoint", "Effect": "Allow", "Resource": {"Ref": endpoint}}
                ]
            },
            "Roles": [Match.any_value()],
            "PolicyName": Match.string_like_regexp("^Caller"),
        },
    )


def test_metrics_are_those_of_the_endpoints_variants(stack: cdk.Stack, make: MakeEndpoint) -> None:
    endpoint = make()
    for metric, name in (
        (endpoint.metric_invocations(), "Invocations"),
        (endpoint.metric_server_error_rate("primary"), "Invocation5XXErrors"),
        (endpoint.metric_client_error_rate(), "Invocation4XXErrors"),
        (endpoint.metric_model_latency(), "ModelLatency"),
    ):
        assert metric.metric_name == name
        assert metric.dimensions == {"EndpointName": "sentiment", "VariantName": "primary"}
    # AND a variant that is not there, such as the one in AWS's samples, is refused
    with pytest.raises(InvalidConfiguration, match=r"AllTraffic.*variants are primary"):
        endpoint.metric_invocations("AllTraffic")


@pytest.mark.parametrize(("scales", "retain_weights"), list(itertools.product([False, True], [False, True])))
def test_update_keeps_counts_of_scaling_variants_and_weights_on_request(
    make: MakeEndpoint, synthesised: Synthesised, scales: bool, retain_weights: bool
) -> None:
    endpoint = make(retain_weights=retain_weights)
    if scales:
        endpoint.scale_variant("primary", SCALING)
    properties = only(synthesised(), "AWS::SageMaker::Endpoint")[1]["Properties"]
    retained = properties.get("RetainAllVariantProperties", False)
    excluded = [
        item["VariantPropertyType"] for item in properties.get("ExcludeRetainedVariantProperties", [])
    ]
    assert retained is (scales or retain_weights)
    assert (
        excluded
        == {
            (True, False): ["DesiredWeight"],
            (False, True): ["DesiredInstanceCount"],
            (True, True): [],
            (False, False): [],
        }[scales, retain_weights]
    )


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ({"endpoint_name": "under_score"}, ["endpoint_name = 'under_score'", "1 to 63"]),
        ({"endpoint_name": "x" * 64}, ["1 to 63"]),
        ({"variants": []}, ["1 to 10 production variants"]),
        ({"endpoint_name": "-", "variants": []}, ["2 problems"]),
    ],
)
def test_refuses_an_unusable_name_or_no_variants(
    make: MakeEndpoint, arguments: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(InvalidConfiguration, match="Test/Endpoint") as caught:
        make(**arguments)
    for message in messages:
        assert message in str(caught.value)


def test_refuses_variants_that_do_not_go_together(make: MakeEndpoint) -> None:
    same = InstanceVariant(instance_type="ml.m5.large", weight=0)
    with pytest.raises(InvalidConfiguration, match="2 problems") as caught:
        make(same, same)
    assert "same name" in str(caught.value)
    assert "weight above 0" in str(caught.value)


def test_refuses_an_instance_type_that_the_image_is_not_for(
    make: MakeEndpoint, refusal: Callable[[], str]
) -> None:
    make(InstanceVariant(instance_type="ml.c7g.large"))
    message = refusal()
    assert re.search(r"variant 'primary'.instance_type = 'ml.c7g.large'.*arm64.*x86_64", message)


def test_all_that_does_not_fit_together_comes_in_one_error(
    make: MakeEndpoint, alarms: Callable[..., EndpointMonitoring], refusal: Callable[[], str]
) -> None:
    # GIVEN a canary of two of three instances, alarms that need longer than the bake and watch others,
    # and scaling that a burstable instance does not know
    variant = InstanceVariant(instance_type="ml.t2.large", initial_instance_count=3)
    strange = alarms("other", InstanceVariant(instance_type="ml.m5.large", name="AllTraffic"), periods=10)
    endpoint = make(
        variant,
        deployment=Canary(size=CapacitySize.instances(2), wait=cdk.Duration.minutes(5)),
        rollback_alarms=strange.rollback_alarms[:1],
    )
    endpoint.scale_variant("primary", SCALING)
    # WHEN it is synthesised, THEN one error names the construct and everything that is wrong
    message = refusal()
    for part in (
        "Test/Endpoint",
        "deployment.size",
        "rollback_alarms[0].endpoint_name = 'other'",
        "rollback_alarms[0].variant_name = 'AllTraffic'",
        "rollback_alarms[0].window = '600 s'",
        "bakes for 300 s",
        "burstable",
    ):
        assert part in message


def test_scaling_an_unknown_variant_or_one_twice_is_refused(make: MakeEndpoint) -> None:
    endpoint = make()
    with pytest.raises(InvalidConfiguration, match=r"primray.*did you mean primary"):
        endpoint.scale_variant("primray", SCALING)
    endpoint.scale_variant("primary", SCALING)
    with pytest.raises(InvalidConfiguration, match="scales already"):
        endpoint.scale_variant("primary", SCALING)


def test_local_disk_is_a_warning(stack: cdk.Stack, make: MakeEndpoint) -> None:
    make(InstanceVariant(instance_type="ml.g5.xlarge"))
    Annotations.from_stack(stack).has_warning(
        "/Test/Endpoint", Match.string_like_regexp("does not encrypt the local disk")
    )


def test_data_capture_is_rendered_as_given(
    stack: cdk.Stack, make: MakeEndpoint, synthesised: Synthesised
) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Data", "captured")
    capture = DataCapture(
        bucket=bucket,
        prefix="a/b",
        sampling_percentage=10,
        modes=[CaptureMode.OUTPUT],
        csv_content_types=[],
    )
    make(data_capture=capture)
    config = only(synthesised(), "AWS::SageMaker::EndpointConfig")[1]["Properties"]
    assert config["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 10,
        "DestinationS3Uri": "s3://captured/a/b",
        "CaptureOptions": [{"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json", "application/jsonlines"]},
    }


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ({"sampling_percentage": 101}, ["sampling_percentage = 101", "0 to 100"]),
        ({"sampling_percentage": -1}, ["sampling_percentage = -1"]),
        ({"modes": []}, ["Input, Output or both"]),
        ({"modes": ["Input", "Input"]}, ["each once"]),
        ({"modes": ["InputAndOutput"]}, ["modes[0]"]),
        ({"prefix": "/capture/"}, ["without a slash", "'capture'"]),
        ({"prefix": "x" * 500}, ["at most 512"]),
        ({"csv_content_types": ["text/csv"] * 11}, ["at most 10"]),
        ({"json_content_types": ["json"], "sampling_percentage": 200}, ["2 problems", "type/subtype"]),
    ],
)
def test_refuses_data_capture_that_sagemaker_refuses(
    stack: cdk.Stack, arguments: dict[str, Any], messages: list[str]
) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Data", "captured")
    with pytest.raises(InvalidConfiguration) as caught:
        DataCapture(bucket=bucket, **arguments)
    for message in messages:
        assert message in str(caught.value)
