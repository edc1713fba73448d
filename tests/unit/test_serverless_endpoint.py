"""Endpoints with a serverless variant: what they refuse, how they scale, how they are watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.alarms import AlarmThresholds
from sagemaker_serving.data_capture import DataCapture
from sagemaker_serving.deployment import AllAtOnce
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import FrameworkImage, Processor
from sagemaker_serving.instances import Architecture
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.network import VpcAttachment
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.variants import ServerlessVariant

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
MakeContainer = Callable[..., Container]
Serve = Callable[..., ServingEndpoint]
ON_DEMAND = ServerlessVariant(memory_mb=2048, max_concurrency=5)
WARM = ServerlessVariant(memory_mb=2048, max_concurrency=5, provisioned_concurrency=2)
REAL_TIME = AutoScaling(
    min_capacity=1, max_capacity=5, policies=[TargetTracking.invocations_per_instance(10)]
)
VPC = VpcAttachment(subnet_ids=["subnet-1", "subnet-2"], security_group_ids=["sg-1"])


@pytest.fixture
def serve(stack: cdk.Stack, make: MakeEndpoint, container: MakeContainer) -> Serve:
    """A serverless endpoint with a model as the test needs it."""

    def endpoint(variant: ServerlessVariant = ON_DEMAND, **of_model: Any) -> ServingEndpoint:
        of_endpoint = {key: of_model.pop(key) for key in ("data_capture", "deployment") if key in of_model}
        model = ServingModel(stack, "Served", **{"containers": [container()], **of_model})
        return make(variants=[ServedVariant(model=model, variant=variant)], **of_endpoint)

    return endpoint


def scaling(low: int = 1, high: int = 5, target: float = 0.7) -> AutoScaling:
    policies = [TargetTracking.provisioned_concurrency_utilization(target)]
    return AutoScaling(min_capacity=low, max_capacity=high, policies=policies)


def test_its_configuration_has_neither_instances_nor_counts_to_keep(
    serve: Serve, synthesised: Synthesised
) -> None:
    serve(WARM).scale_variant("primary", scaling())
    template = synthesised()
    (config,) = template.find_resources("AWS::SageMaker::EndpointConfig").values()
    (variant,) = config["Properties"]["ProductionVariants"]
    assert "InstanceType" not in variant
    assert "InitialInstanceCount" not in variant
    (endpoint,) = template.find_resources("AWS::SageMaker::Endpoint").values()
    assert "RetainAllVariantProperties" not in endpoint["Properties"]


@pytest.mark.parametrize(
    ("of_model", "field", "rule"),
    [
        ({"vpc": VPC}, "variant 'primary'.model.vpc", "cannot be attached to a VPC"),
        (
            {"network_isolation": True},
            "variant 'primary'.model.network_isolation",
            "cut off from the network",
        ),
    ],
)
def test_a_model_with_a_network_of_its_own_is_refused(
    serve: Serve, refusal: Callable[[], str], of_model: dict[str, Any], field: str, rule: str
) -> None:
    serve(**of_model)
    message = refusal()
    assert "Test/Endpoint" in message
    assert field in message
    assert rule in message
    assert "give an InstanceVariant" in message


def test_several_containers_are_refused(
    serve: Serve, container: MakeContainer, refusal: Callable[[], str]
) -> None:
    serve(
        containers=[container(hostname="a"), container(hostname="b")], invocation=ContainerInvocation.SERIAL
    )
    message = refusal()
    assert "variant 'primary'.model.containers = '2 containers'" in message
    assert "a serverless variant serves one container" in message


@pytest.mark.parametrize(
    ("image", "architecture", "message"),
    [
        (
            FrameworkImage.pytorch(processor=Processor.GPU),
            Architecture.X86_64,
            "a serverless variant has no GPU",
        ),
        (
            FrameworkImage.pytorch(processor=Processor.GRAVITON),
            Architecture.ARM64,
            "serverless containers run on x86_64",
        ),
    ],
)
def test_an_image_for_another_processor_is_refused(
    serve: Serve,
    container: MakeContainer,
    refusal: Callable[[], str],
    image: FrameworkImage,
    architecture: Architecture,
    message: str,
) -> None:
    serve(containers=[container(image=image)], architecture=architecture)
    assert message in refusal()


def test_data_capture_is_refused(stack: cdk.Stack, serve: Serve, refusal: Callable[[], str]) -> None:
    serve(data_capture=DataCapture(bucket=s3.Bucket.from_bucket_name(stack, "Data", "captured")))
    message = refusal()
    assert "data_capture = 'capture'" in message
    assert "serverless endpoints record no requests" in message


def test_everything_excluded_is_said_at_once(
    stack: cdk.Stack, serve: Serve, refusal: Callable[[], str]
) -> None:
    capture = DataCapture(bucket=s3.Bucket.from_bucket_name(stack, "Data", "captured"))
    serve(vpc=VPC, network_isolation=True, data_capture=capture)
    message = refusal()
    for field in ("model.vpc", "model.network_isolation", "data_capture"):
        assert field in message


def test_a_deployment_policy_is_a_warning(stack: cdk.Stack, serve: Serve) -> None:
    serve(deployment=AllAtOnce())
    Annotations.from_stack(stack).has_warning(
        "/Test/Endpoint", Match.string_like_regexp("updates a serverless one without them")
    )


def test_provisioned_concurrency_scales_as_a_target_of_its_own(
    stack: cdk.Stack, serve: Serve, synthesised: Synthesised
) -> None:
    # GIVEN provisioned concurrency that follows its use
    serve(WARM).scale_variant("primary", scaling())
    # THEN it is the scalable target, by the predefined metric
    template = synthesised()
    (target,) = template.find_resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert target["Properties"] == {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency",
        "ResourceId": "endpoint/sentiment/variant/primary",
        "MinCapacity": 1,
        "MaxCapacity": 5,
    }
    (policy,) = template.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    tracking = policy["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 0.7
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"
    }
    # AND it is said that AWS's pages disagree on whether CloudFormation can do it
    Annotations.from_stack(stack).has_warning(
        "/Test/Endpoint/Scaling-primary", Match.string_like_regexp("describe-scalable-targets")
    )


@pytest.mark.parametrize(
    ("variant", "given", "message"),
    [
        (WARM, scaling(high=6), "auto_scaling.max_capacity = 6: variant primary has max_concurrency 5"),
        (WARM, scaling(low=3), "variant primary starts with a provisioned concurrency of 2"),
        (ON_DEMAND, scaling(), "variant primary has no provisioned concurrency that could be scaled"),
        (
            WARM,
            REAL_TIME,
            "auto_scaling.policies = 'InvocationsPerInstance': SageMaker does not publish this metric",
        ),
    ],
    ids=["above max_concurrency", "outside the range", "on demand", "another metric"],
)
def test_scaling_that_cannot_work_is_refused(
    serve: Serve, refusal: Callable[[], str], variant: ServerlessVariant, given: AutoScaling, message: str
) -> None:
    serve(variant).scale_variant("primary", given)
    assert message in refusal()


def test_utilization_is_a_share() -> None:
    assert TargetTracking.provisioned_concurrency_utilization(1)
    with pytest.raises(InvalidConfiguration, match="target = 70: is a share of the provisioned concurrency"):
        TargetTracking.provisioned_concurrency_utilization(70)


def watched(stack: cdk.Stack, variant: ServerlessVariant, **arguments: Any) -> EndpointMonitoring:
    return EndpointMonitoring(
        stack,
        "Watch",
        endpoint_name="sentiment",
        variants=[variant],
        topic=sns.Topic(stack, "Topic"),
        **arguments,
    )


def metrics_of(template: Template) -> dict[str, dict[str, Any]]:
    found = template.find_resources("AWS::CloudWatch::Alarm").values()
    return {alarm["Properties"]["MetricName"]: alarm["Properties"] for alarm in found}


def test_alarms_are_on_metrics_that_serverless_endpoints_publish(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    watched(stack, ON_DEMAND)
    found = metrics_of(synthesised())
    # GIVEN the exhaustive list of the developer guide THEN no alarm waits for anything else, such as CPU
    assert {name: (alarm["Namespace"], alarm["Threshold"]) for name, alarm in found.items()} == {
        "Invocation5XXErrors": ("AWS/SageMaker", 0.05),
        "Invocation4XXErrors": ("AWS/SageMaker", 0.25),
        "ModelLatency": ("AWS/SageMaker", 1_000_000),  # microseconds
        "MemoryUtilization": ("/aws/sagemaker/Endpoints", 85),
        "ServerlessConcurrentExecutionsUtilization": ("AWS/SageMaker", 0.8),
        "ModelSetupTime": ("AWS/SageMaker", 60_000_000),
    }
    for alarm in found.values():
        assert alarm["Dimensions"] == [
            {"Name": "EndpointName", "Value": "sentiment"},
            {"Name": "VariantName", "Value": "primary"},
        ]


@pytest.mark.parametrize(("variant", "costs"), [(ON_DEMAND, False), (WARM, True)])
def test_idleness_alarms_only_where_it_costs_money(
    stack: cdk.Stack, synthesised: Synthesised, variant: ServerlessVariant, costs: bool
) -> None:
    watched(stack, variant, thresholds=AlarmThresholds(idle_hours=6))
    assert ("Invocations" in metrics_of(synthesised())) is costs


def test_dashboard_shows_cold_starts_and_provisioned_concurrency_where_there_is_any(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    watched(stack, WARM)
    body = json.dumps(synthesised().find_resources("AWS::CloudWatch::Dashboard"))
    for metric in (
        "ModelSetupTime",
        "OverheadLatency",
        "ServerlessProvisionedConcurrencySpilloverInvocations",
    ):
        assert metric in body
    for never_published in ("CPUUtilization", "DiskUtilization", "InvocationsPerInstance"):
        assert never_published not in body
