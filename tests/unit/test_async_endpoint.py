"""Asynchronous endpoints: who may call them, how they sleep and wake, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.async_inference import AsyncInference
from sagemaker_serving.endpoint import ServedShadow, ServedVariant, ServingEndpoint
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking, WakeFromZero
from sagemaker_serving.storage import EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant, ProductionVariant, ServerlessVariant, ShadowVariant

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
Refusal = Callable[[], str]
RETENTION = Retention(keep_data=False)
ONE = InstanceVariant(instance_type="ml.m5.large")
BACKLOG = TargetTracking.backlog_per_instance(3)
SLEEPS = AutoScaling(min_capacity=0, max_capacity=2, policies=[BACKLOG, WakeFromZero()])


@pytest.fixture
def requests(stack: cdk.Stack, key: EncryptionKey) -> AsyncInference:
    return AsyncInference(stack, "Requests", key=key, retention=RETENTION)


@pytest.fixture
def serve(make: MakeEndpoint, requests: AsyncInference) -> MakeEndpoint:
    """An asynchronous endpoint, with other variants or arguments where a test is about them."""

    def endpoint(*variants: ProductionVariant, **arguments: Any) -> ServingEndpoint:
        return make(*(variants or (ONE,)), async_inference=requests, **arguments)

    return endpoint


@pytest.fixture
def caller(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    return dict(resource)


def scaling(*policies: TargetTracking | WakeFromZero, low: int = 1) -> AutoScaling:
    return AutoScaling(min_capacity=low, max_capacity=2, policies=policies)


def test_the_endpoint_waits_for_permissions_and_for_who_is_to_be_told(
    serve: MakeEndpoint, synthesised: Synthesised
) -> None:
    serve()
    template = synthesised()
    config = only(template, "AWS::SageMaker::EndpointConfig")["Properties"]
    assert config["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"]
    # THEN the first notification, a test, finds a model that may publish and queues that listen
    waits_for = " ".join(only(template, "AWS::SageMaker::Endpoint")["DependsOn"])
    for part in ("RequestsModelPolicy", "RequestsSuccessSubscription", "RequestsErrorQueuePolicy"):
        assert part in waits_for


def test_a_caller_may_put_requests_call_and_read_answers(
    serve: MakeEndpoint, caller: iam.Role, synthesised: Synthesised
) -> None:
    serve().grant_invoke_async(caller)
    template = synthesised()
    (endpoint,) = template.find_resources("AWS::SageMaker::Endpoint")
    (policy,) = (
        item["Properties"]["PolicyDocument"]["Statement"]
        for name, item in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("Caller")
    )
    allowed = {json.dumps(item["Action"]): json.dumps(item["Resource"]) for item in policy}
    assert allowed['"sagemaker:InvokeEndpointAsync"'] == json.dumps({"Ref": endpoint})
    assert "/input/*" in allowed['["s3:PutObject", "s3:AbortMultipartUpload"]']
    assert "/output/*" in allowed['"s3:GetObject"']
    assert "/failure/*" in allowed['"s3:GetObject"']
    assert "/input/*" not in allowed['"s3:GetObject"']
    assert '["kms:Decrypt", "kms:GenerateDataKey"]' in allowed
    assert 'sagemaker:InvokeEndpoint"' not in json.dumps(policy)


def test_the_wrong_kind_of_call_cannot_be_granted(serve: MakeEndpoint, caller: iam.Role) -> None:
    with pytest.raises(InvalidConfiguration, match=r"takes no other calls.*use grant_invoke_async"):
        serve().grant_invoke(caller)


def test_a_real_time_endpoint_takes_no_asynchronous_calls(make: MakeEndpoint, caller: iam.Role) -> None:
    with pytest.raises(InvalidConfiguration, match=r"the endpoint is not asynchronous.*use grant_invoke"):
        make().grant_invoke_async(caller)


def test_sleeping_and_waking_are_two_policies_and_an_alarm(
    serve: MakeEndpoint, synthesised: Synthesised
) -> None:
    # GIVEN an endpoint that may have no instances
    serve().scale_variant("primary", SLEEPS)
    template = synthesised()
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
    policies = template.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    by_kind = {one["Properties"]["PolicyType"]: (name, one["Properties"]) for name, one in policies.items()}
    # THEN its instances follow the backlog of the endpoint, a metric without a variant
    _, tracking = by_kind["TargetTrackingScaling"]
    assert tracking["TargetTrackingScalingPolicyConfiguration"] == {
        "TargetValue": 3,
        "CustomizedMetricSpecification": {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": "sentiment"}],
            "Statistic": "Average",
        },
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 300,
    }
    # AND the first instance is started by a step, which an alarm sets off
    step, waking = by_kind["StepScaling"]
    assert waking["StepScalingPolicyConfiguration"] == {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": 300,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    alarm = only(template, "AWS::CloudWatch::Alarm")["Properties"]
    del alarm["AlarmDescription"]
    assert alarm == {
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": [{"Name": "EndpointName", "Value": "sentiment"}],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [{"Ref": step}],
    }


@pytest.mark.parametrize(("given", "kept"), [(SLEEPS, False), (scaling(BACKLOG), True)])
def test_an_update_starts_instances_where_there_may_be_none_and_keeps_their_number_otherwise(
    serve: MakeEndpoint, synthesised: Synthesised, given: AutoScaling, kept: bool
) -> None:
    serve().scale_variant("primary", given)
    properties = only(synthesised(), "AWS::SageMaker::Endpoint")["Properties"]
    assert properties.get("RetainAllVariantProperties", False) is kept


@pytest.mark.parametrize(
    ("policies", "name"),
    [
        ([TargetTracking.invocations_per_instance(100)], "InvocationsPerInstance"),
        ([TargetTracking.concurrent_requests(2)], "ConcurrentRequests"),
        ([TargetTracking.provisioned_concurrency_utilization(0.7)], "ProvisionedConcurrencyUtilization"),
    ],
)
def test_scaling_by_a_metric_that_is_not_published_is_refused(
    serve: MakeEndpoint, refusal: Refusal, policies: Sequence[TargetTracking], name: str
) -> None:
    serve().scale_variant("primary", scaling(*policies))
    message = refusal()
    assert f"auto_scaling.policies = '{name}'" in message
    assert "does not publish this metric for a variant of an asynchronous endpoint" in message
    assert "use TargetTracking.backlog_per_instance" in message


def test_cpu_may_be_tracked(serve: MakeEndpoint, app: cdk.App) -> None:
    serve().scale_variant("primary", scaling(TargetTracking.cpu_utilization(140)))
    app.synth()


def test_a_real_time_variant_neither_sleeps_nor_has_a_backlog(make: MakeEndpoint, refusal: Refusal) -> None:
    make(ONE).scale_variant("primary", SLEEPS)
    message = refusal()
    assert "auto_scaling.min_capacity = 0: a real-time variant keeps at least one" in message
    assert "auto_scaling.policies = 'BacklogPerInstance'" in message
    assert "auto_scaling.policies = 'HasBacklogWithoutCapacity'" in message


def test_a_shadow_beside_an_asynchronous_variant_is_refused(
    serve: MakeEndpoint, model: ServingModel, refusal: Refusal
) -> None:
    serve(shadow=ServedShadow(model=model, variant=ShadowVariant(instance_type="ml.m5.large")))
    message = refusal()
    assert "shadow = 'shadow'" in message
    assert "asynchronous endpoints take no part in shadow tests" in message


def test_two_asynchronous_variants_are_refused(serve: MakeEndpoint, refusal: Refusal) -> None:
    serve(ONE, InstanceVariant(instance_type="ml.m5.large", name="other"))
    assert "variants = '2 variants': an asynchronous endpoint has one production variant" in refusal()


def test_an_asynchronous_serverless_variant_is_refused(serve: MakeEndpoint, refusal: Refusal) -> None:
    serve(ServerlessVariant(memory_mb=2048, max_concurrency=5))
    assert "variant 'primary' = 'ServerlessVariant': an asynchronous endpoint runs on instances" in refusal()


def test_inf1_instances_are_refused(serve: MakeEndpoint, refusal: Refusal) -> None:
    serve(InstanceVariant(instance_type="ml.inf1.xlarge"))
    assert "Inf1 instances cannot serve asynchronous endpoints" in refusal()


@pytest.mark.parametrize(("invocation", "legal"), [("Direct", False), ("Serial", True)])
def test_a_request_cannot_name_a_container(
    app: cdk.App,
    stack: cdk.Stack,
    serve: MakeEndpoint,
    container: Callable[..., Container],
    refusal: Refusal,
    invocation: str,
    legal: bool,
) -> None:
    several = [container(hostname=name) for name in ("a", "b")]
    model = ServingModel(stack, "Several", containers=several, invocation=ContainerInvocation(invocation))
    serve(variants=[ServedVariant(model=model, variant=ONE)])
    if legal:
        app.synth()
        return
    message = refusal()
    assert "variant 'primary'.model = 'ContainerInvocation.DIRECT'" in message
    assert "an asynchronous request cannot name a container" in message


def test_a_bucket_of_another_region_is_refused(app: cdk.App, container: Callable[..., Container]) -> None:
    # GIVEN requests in a stack of another Region than the endpoint's
    there, here = (
        cdk.Stack(app, name, env=cdk.Environment(account="111122223333", region=region))
        for name, region in (("There", "eu-west-1"), ("Here", "ap-northeast-2"))
    )
    far = EncryptionKey(there, "Key", retention=RETENTION)
    requests = AsyncInference(there, "Requests", key=far, retention=RETENTION)
    model = ServingModel(here, "Model", containers=[container()])
    with pytest.raises(InvalidConfiguration) as caught:
        ServingEndpoint(
            here,
            "Endpoint",
            endpoint_name="sentiment",
            variants=[ServedVariant(model=model, variant=ONE)],
            key=EncryptionKey(here, "Key", retention=RETENTION),
            retention=RETENTION,
            async_inference=requests,
        )
    assert "async_inference = 'in eu-west-1': the endpoint is in ap-northeast-2" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "warned"),
    [
        ({}, "Set TS_MAX_REQUEST_SIZE, TS_MAX_RESPONSE_SIZE, TS_DEFAULT_RESPONSE_TIMEOUT in"),
        ({"TS_MAX_REQUEST_SIZE": "1073741824"}, "Set TS_MAX_RESPONSE_SIZE, TS_DEFAULT_RESPONSE_TIMEOUT in"),
        (
            {
                "TS_MAX_REQUEST_SIZE": "1073741824",
                "TS_MAX_RESPONSE_SIZE": "1073741824",
                "TS_DEFAULT_RESPONSE_TIMEOUT": "3600",
            },
            None,
        ),
    ],
    ids=["none", "one", "all"],
)
def test_a_model_server_that_would_refuse_large_requests_is_a_warning(
    stack: cdk.Stack,
    serve: MakeEndpoint,
    container: Callable[..., Container],
    environment: dict[str, str],
    warned: str | None,
) -> None:
    image = FrameworkImage.pytorch()
    model = ServingModel(stack, "Video", containers=[container(image=image, environment=environment)])
    serve(variants=[ServedVariant(model=model, variant=ONE)])
    found = Annotations.from_stack(stack).find_warning("/Test/Endpoint", Match.any_value())
    texts = " ".join(str(one.entry.data) for one in found)
    assert (warned or "6.5 MB") in texts if warned else "6.5 MB" not in texts
