"""Endpoints of models with several containers: who may call which, how they scale, how each is watched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.alarms import AlarmThresholds, Severity
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.metrics import ContainerMetrics
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.variants import InstanceVariant

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
DIRECT, SERIAL = ContainerInvocation.DIRECT, ContainerInvocation.SERIAL
ONE = InstanceVariant(instance_type="ml.m5.large")


@pytest.fixture
def serve(
    stack: cdk.Stack, make: MakeEndpoint, container: Callable[..., Container]
) -> Callable[[ContainerInvocation], ServingEndpoint]:
    """An endpoint with the containers ``sentiment`` and ``similarity``."""

    def endpoint(invocation: ContainerInvocation) -> ServingEndpoint:
        model = ServingModel(
            stack,
            "Several",
            containers=[container(hostname=name) for name in ("sentiment", "similarity")],
            invocation=invocation,
        )
        return make(variants=[ServedVariant(model=model, variant=ONE)])

    return endpoint


@pytest.fixture
def caller(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def watch(
    stack: cdk.Stack, hostnames: Sequence[str], *variants: InstanceVariant, **arguments: Any
) -> EndpointMonitoring:
    return EndpointMonitoring(
        stack,
        "Watch",
        endpoint_name="texts",
        variants=variants or [ONE],
        topic=sns.Topic(stack, "Topic"),
        container_hostnames=hostnames,
        **arguments,
    )


def of_containers(template: Template) -> dict[tuple[str, str], dict[str, Any]]:
    """Alarms on containers, by container and metric."""
    found = {}
    for alarm in template.find_resources("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        dimensions = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
        if "ContainerName" in dimensions:
            assert dimensions == {
                "EndpointName": "texts",
                "VariantName": "primary",
                "ContainerName": dimensions["ContainerName"],
            }
            found[dimensions["ContainerName"], properties["MetricName"]] = properties
    return found


def test_a_caller_can_be_let_in_to_one_container(
    serve: Callable[[ContainerInvocation], ServingEndpoint], caller: iam.Role, synthesised: Synthesised
) -> None:
    serve(DIRECT).grant_invoke(caller, container="similarity")
    template = synthesised()
    (endpoint,) = template.find_resources("AWS::SageMaker::Endpoint")
    (policy,) = (
        item["Properties"]["PolicyDocument"]["Statement"]
        for name, item in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("Caller")
    )
    assert policy == [
        {
            "Action": "sagemaker:InvokeEndpoint",
            "Effect": "Allow",
            "Resource": {"Ref": endpoint},
            "Condition": {"StringEquals": {"sagemaker:TargetContainerHostname": "similarity"}},
        }
    ]


def test_a_container_that_is_not_there_is_refused(
    serve: Callable[[ContainerInvocation], ServingEndpoint], caller: iam.Role
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        serve(DIRECT).grant_invoke(caller, container="similarty")
    message = str(caught.value)
    assert "Test/Endpoint: 1 problem" in message
    assert "container = 'similarty': the directly invoked containers are sentiment, similarity" in message
    assert "did you mean similarity" in message


def test_a_wildcard_is_no_container(
    serve: Callable[[ContainerInvocation], ServingEndpoint], caller: iam.Role
) -> None:
    with pytest.raises(InvalidConfiguration, match="the directly invoked containers are"):
        serve(DIRECT).grant_invoke(caller, container="s*")


def test_one_container_of_a_series_cannot_be_granted(
    serve: Callable[[ContainerInvocation], ServingEndpoint], caller: iam.Role
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        serve(SERIAL).grant_invoke(caller, container="sentiment")
    assert "only directly invoked containers can be granted one by one" in str(caught.value)


def test_the_container_of_an_ordinary_endpoint_cannot_be_granted(
    make: MakeEndpoint, caller: iam.Role
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"is made with ContainerInvocation\.DIRECT"):
        make().grant_invoke(caller, container="primary")


@pytest.mark.parametrize(
    ("invocation", "policy", "warned"),
    [
        (DIRECT, TargetTracking.invocations_per_instance(100), True),
        (DIRECT, TargetTracking.cpu_utilization(60), False),
        (SERIAL, TargetTracking.invocations_per_instance(100), False),
    ],
)
def test_scaling_by_requests_that_differ_in_cost_is_a_warning(
    stack: cdk.Stack,
    serve: Callable[[ContainerInvocation], ServingEndpoint],
    invocation: ContainerInvocation,
    policy: TargetTracking,
    warned: bool,
) -> None:
    serve(invocation).scale_variant("primary", AutoScaling(min_capacity=1, max_capacity=2, policies=[policy]))
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("InvocationsPerInstance counts the requests of all containers")
    )
    assert bool(found) is warned


def test_metrics_of_a_container_have_its_name_beside_endpoint_and_variant() -> None:
    metrics = ContainerMetrics("texts", "primary", "similarity")
    for metric, namespace, name in (
        (metrics.invocations(), "AWS/SageMaker", "Invocations"),
        (metrics.client_error_rate(), "AWS/SageMaker", "Invocation4XXErrors"),
        (metrics.server_error_rate(), "AWS/SageMaker", "Invocation5XXErrors"),
        (metrics.latency(), "AWS/SageMaker", "ContainerLatency"),
        (metrics.overhead_latency(), "AWS/SageMaker", "OverheadLatency"),
        (metrics.cpu_utilization(), "/aws/sagemaker/Endpoints", "CPUUtilization"),
        (metrics.memory_utilization(), "/aws/sagemaker/Endpoints", "MemoryUtilization"),
    ):
        assert (metric.namespace, metric.metric_name) == (namespace, name)
        assert metric.dimensions == {
            "EndpointName": "texts",
            "VariantName": "primary",
            "ContainerName": "similarity",
        }


def test_each_container_has_alarms_on_errors_and_latency(stack: cdk.Stack, synthesised: Synthesised) -> None:
    limits = AlarmThresholds(container_latency_p99_seconds={Severity.CRITICAL: 0.5})
    watched = watch(stack, ["sentiment", "similarity"], thresholds=limits)
    found = of_containers(synthesised())
    assert {key: alarm["Threshold"] for key, alarm in found.items()} == {
        ("sentiment", "Invocation5XXErrors"): 0.05,
        ("sentiment", "ContainerLatency"): 500_000,
        ("similarity", "Invocation5XXErrors"): 0.05,
        ("similarity", "ContainerLatency"): 500_000,
    }
    assert found["similarity", "ContainerLatency"]["AlarmDescription"] == (
        "[critical] container latency p99 of texts/primary/similarity at or above 0.5 s"
    )
    assert all(alarm["AlarmActions"] for alarm in found.values())
    # AND they are among the monitoring's, but no deployment watches them
    assert len(watched.alarms) == 7 + 4
    assert len(watched.rollback_alarms) == 2


def test_each_container_has_its_lines(stack: cdk.Stack, synthesised: Synthesised) -> None:
    watch(stack, ["sentiment", "similarity"])
    (dashboard,) = synthesised().find_resources("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard)
    for text in ("Latency of containers", "sentiment latency p99", "similarity 5xx rate", "similarity CPU"):
        assert text in body


def test_without_containers_there_is_no_row_for_them(stack: cdk.Stack, synthesised: Synthesised) -> None:
    watch(stack, [])
    template = synthesised()
    assert of_containers(template) == {}
    assert "containers" not in json.dumps(template.find_resources("AWS::CloudWatch::Dashboard"))


def test_names_that_only_differ_in_where_a_hyphen_is_get_alarms_each(stack: cdk.Stack) -> None:
    variants = [InstanceVariant(instance_type="ml.m5.large", name=name) for name in ("a", "a-b")]
    assert len(watch(stack, ["b-c", "c"], *variants).alarms) == 2 * 7 + 2 * 2 * 2


@pytest.mark.parametrize(
    ("hostnames", "messages"),
    [
        (["alone"], ["container_hostnames = ['alone']: SageMaker publishes metrics of containers only for"]),
        (["a", "a"], ["container_hostnames[1] = 'a': is given twice"]),
        (["under_score", "b"], ["container_hostnames[0] = 'under_score'"]),
        (["-", "b", "b"], ["2 problems", "container_hostnames[0] = '-'", "container_hostnames[2] = 'b'"]),
    ],
)
def test_refuses_hostnames_that_no_model_has(
    stack: cdk.Stack, hostnames: list[str], messages: list[str]
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        watch(stack, hostnames)
    for message in messages:
        assert message in str(caught.value)
