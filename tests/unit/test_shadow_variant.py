"""Shadow variants: a copy of the traffic beside exactly one production variant."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.alarms import AlarmThresholds, Severity
from sagemaker_serving.endpoint import ServedShadow, ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.variants import InstanceVariant, ShadowVariant, check_shadow

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
MakeContainer = Callable[..., Container]
PRODUCTION = InstanceVariant(instance_type="ml.m5.large")
SHADOW = ShadowVariant(instance_type="ml.m5.large")


@pytest.fixture
def tried(stack: cdk.Stack, container: MakeContainer) -> ServingModel:
    """The model that the shadow variant tries."""
    return ServingModel(stack, "Tried", containers=[container()])


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        make()
    return str(caught.value)


def found(shadow: Any, *production: InstanceVariant) -> list[str]:
    findings = Findings("Endpoint")
    check_shadow(findings, production or [PRODUCTION], shadow)
    return [str(finding) for finding in findings.found]


def test_a_shadow_variant_stands_beside_the_production_variant_with_its_own_model(
    make: MakeEndpoint, tried: ServingModel, synthesised: Synthesised
) -> None:
    make(
        InstanceVariant(instance_type="ml.m5.large", weight=2),
        shadow=ServedShadow(
            model=tried,
            variant=ShadowVariant(
                instance_type="ml.m5.xlarge", name="candidate", weight=0.5, initial_instance_count=3
            ),
        ),
    )
    template = synthesised()
    (config,) = template.find_resources("AWS::SageMaker::EndpointConfig").values()
    (name,) = (name for name in template.find_resources("AWS::SageMaker::Model") if name.startswith("Tried"))
    assert config["Properties"]["ShadowProductionVariants"] == [
        {
            "VariantName": "candidate",
            "ModelName": {"Fn::GetAtt": [name, "ModelName"]},
            "InstanceType": "ml.m5.xlarge",
            "InitialInstanceCount": 3,
            "InitialVariantWeight": 0.5,
        }
    ]
    assert [item["VariantName"] for item in config["Properties"]["ProductionVariants"]] == ["primary"]
    # AND its model's role may write logs and metrics of this endpoint too
    policies = [name for name in template.find_resources("AWS::IAM::Policy") if "ServePolicy" in name]
    assert len(policies) == 2


def test_an_endpoint_without_one_says_nothing_about_shadows(
    make: MakeEndpoint, synthesised: Synthesised
) -> None:
    make()
    assert "ShadowProductionVariants" not in json.dumps(synthesised().to_json())


def test_its_metrics_appear_under_its_name(make: MakeEndpoint, tried: ServingModel) -> None:
    endpoint = make(shadow=ServedShadow(model=tried, variant=SHADOW))
    assert endpoint.metric_invocations("shadow").dimensions == {
        "EndpointName": "sentiment",
        "VariantName": "shadow",
    }


def test_it_may_scale(make: MakeEndpoint, tried: ServingModel, synthesised: Synthesised) -> None:
    endpoint = make(shadow=ServedShadow(model=tried, variant=SHADOW))
    policies = [TargetTracking.cpu_utilization(50)]
    endpoint.scale_variant("shadow", AutoScaling(min_capacity=1, max_capacity=2, policies=policies))
    (target,) = synthesised().find_resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert target["Properties"]["ResourceId"] == "endpoint/sentiment/variant/shadow"


def test_two_production_variants_beside_it_are_refused(make: MakeEndpoint, tried: ServingModel) -> None:
    two = [InstanceVariant(instance_type="ml.m5.large", name=name) for name in "ab"]
    message = refused(lambda: make(*two, shadow=ServedShadow(model=tried, variant=SHADOW)))
    assert (
        "shadow = \"'shadow' beside 2 production variants\": a shadow variant needs exactly one production "
        "variant (API member ShadowProductionVariants)"
    ) in message


def test_the_production_variants_name_is_refused() -> None:
    (finding,) = found(ShadowVariant(instance_type="ml.m5.large", name="primary"))
    assert "shadow.name = 'primary': a production variant has the same name" in finding


def test_a_weight_of_nothing_is_refused() -> None:
    for weight in (0, -1, float("nan")):
        with pytest.raises(InvalidConfiguration, match="0 would copy no request"):
            ShadowVariant(instance_type="ml.m5.large", weight=weight)


@given(production=st.floats(min_value=0.01, max_value=100), share=st.floats(min_value=0.001, max_value=3))
def test_only_a_share_of_the_production_variants_weight_is_legal(production: float, share: float) -> None:
    weight = production * share
    findings = found(
        ShadowVariant(instance_type="ml.m5.large", weight=weight),
        InstanceVariant(instance_type="ml.m5.large", weight=production),
    )
    assert bool(findings) is (weight > production)
    assert all("more than all requests cannot be copied" in text for text in findings)


def test_inf1_is_refused_on_either_side(make: MakeEndpoint) -> None:
    message = refused(lambda: ShadowVariant(instance_type="ml.inf1.xlarge"))
    assert "instance_type = 'ml.inf1.xlarge': Inf1 instances take no part in shadow tests" in message
    (finding,) = found(SHADOW, InstanceVariant(instance_type="ml.inf1.xlarge"))
    assert "variant 'primary'.instance_type = 'ml.inf1.xlarge': Inf1 instances take no part" in finding


@pytest.mark.parametrize("side", ["primary", "shadow"])
def test_models_with_several_containers_are_refused_on_either_side(
    stack: cdk.Stack, make: MakeEndpoint, container: MakeContainer, tried: ServingModel, side: str
) -> None:
    several = ServingModel(
        stack, "Several", containers=[container(), container()], invocation=ContainerInvocation.SERIAL
    )
    production, shadow = (several, tried) if side == "primary" else (tried, several)
    message = refused(
        lambda: make(
            variants=[ServedVariant(model=production, variant=PRODUCTION)],
            shadow=ServedShadow(model=shadow, variant=SHADOW),
        )
    )
    assert f"variant '{side}'.model = '2 containers': an endpoint with a shadow variant serves" in message


def test_a_production_variant_is_no_shadow_and_a_shadow_no_production_variant(make: MakeEndpoint) -> None:
    (finding,) = found(InstanceVariant(instance_type="ml.m5.large", name="other"))
    assert "is no ShadowVariant" in finding
    assert "is an InstanceVariant or a ServerlessVariant" in refused(lambda: make(SHADOW))


def test_all_that_is_wrong_with_a_shadow_comes_in_one_error(make: MakeEndpoint, tried: ServingModel) -> None:
    shadow = ShadowVariant(instance_type="ml.m5.large", name="a", weight=5)
    two = [InstanceVariant(instance_type="ml.m5.large", name=name) for name in "ab"]
    message = refused(
        lambda: make(*two, shadow=ServedShadow(model=tried, variant=shadow), endpoint_name="under_score")
    )
    assert "Test/Endpoint: 5 problems" in message  # the weight of each of the two


def test_monitoring_draws_it_and_warns_of_it_without_rolling_back_for_it(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    limits = AlarmThresholds(server_error_rate={Severity.WARNING: 0.01, Severity.CRITICAL: 0.2}, idle_hours=1)
    watched = EndpointMonitoring(
        stack,
        "Watch",
        endpoint_name="sentiment",
        variants=[PRODUCTION],
        shadow=SHADOW,
        topic=sns.Topic(stack, "Topic"),
        thresholds=limits,
    )
    template = synthesised()
    shadow = [
        alarm["Properties"]
        for alarm in template.find_resources("AWS::CloudWatch::Alarm").values()
        if {"Name": "VariantName", "Value": "shadow"} in alarm["Properties"]["Dimensions"]
    ]
    assert all(alarm["AlarmDescription"].startswith("[warning]") for alarm in shadow)
    (errors,) = (alarm for alarm in shadow if alarm["MetricName"] == "Invocation5XXErrors")
    assert errors["Threshold"] == 0.01
    assert "Invocations" not in {alarm["MetricName"] for alarm in shadow}
    assert {alarm.variant_name for alarm in watched.rollback_alarms} == {"primary"}
    (dashboard,) = template.find_resources("AWS::CloudWatch::Dashboard").values()
    for label in ("primary 5xx rate", "shadow 5xx rate", "shadow model latency p99"):
        assert label in json.dumps(dashboard)


def test_monitoring_refuses_a_shadow_that_the_endpoint_would_refuse(stack: cdk.Stack) -> None:
    shadow = ShadowVariant(instance_type="ml.m5.large", name="primary")
    topic = sns.Topic(stack, "Topic")
    message = refused(
        lambda: EndpointMonitoring(
            stack, "Watch", endpoint_name="sentiment", variants=[PRODUCTION], shadow=shadow, topic=topic
        )
    )
    assert "Test/Watch" in message
    assert "a production variant has the same name" in message
