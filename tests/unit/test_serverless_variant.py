"""Serverless variants: sizes, limits, and what a template holds of them."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.deployment import AllAtOnce, CapacitySize, Rolling
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.variants import (
    InstanceVariant,
    ProductionVariant,
    ServerlessVariant,
    ShadowVariant,
    check_shadow,
    check_variants,
)

SIZES = (1024, 2048, 3072, 4096, 5120, 6144)


def serverless(**arguments: Any) -> ServerlessVariant:
    return ServerlessVariant(**{"memory_mb": 2048, "max_concurrency": 5, **arguments})


def rendered(variant: ServerlessVariant) -> dict[str, Any]:
    stack = cdk.Stack(cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False))
    sagemaker.CfnEndpointConfig(stack, "Config", production_variants=[variant.render("sentiment")])
    (config,) = Template.from_stack(stack).find_resources("AWS::SageMaker::EndpointConfig").values()
    (only,) = config["Properties"]["ProductionVariants"]
    return dict(only)


def together(*variants: ProductionVariant) -> str:
    findings = Findings("test")
    check_variants(findings, variants)
    return "\n".join(map(str, findings.found))


def test_a_serverless_variant_has_no_instances() -> None:
    assert rendered(serverless(provisioned_concurrency=2)) == {
        "VariantName": "primary",
        "ModelName": "sentiment",
        "InitialVariantWeight": 1,
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2},
    }
    assert "ProvisionedConcurrency" not in rendered(serverless())["ServerlessConfig"]


@given(st.integers(min_value=-10_000, max_value=20_000))
def test_memory_is_a_whole_number_of_gibibytes_up_to_six(memory: int) -> None:
    if memory in SIZES:
        assert serverless(memory_mb=memory).memory_mb == memory
    else:
        with pytest.raises(InvalidConfiguration, match="memory_mb = "):
            serverless(memory_mb=memory)


@pytest.mark.parametrize(("memory", "fix"), [(1500, 2048), (512, 1024), (8192, 6144), ("2048", 6144)])
def test_the_next_size_is_proposed(memory: object, fix: int) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        serverless(memory_mb=memory)
    assert f"memory_mb = {memory!r}: must be one of 1024, 2048, 3072, 4096, 5120, 6144" in str(caught.value)
    assert f"Fix: give {fix}" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory_mb": 2048.0}, "memory_mb = 2048.0"),
        ({"max_concurrency": 0}, "max_concurrency = 0: must be a whole number from 1 to 200"),
        ({"max_concurrency": 201}, "max_concurrency = 201: must be a whole number from 1 to 200"),
        ({"provisioned_concurrency": 0}, "provisioned_concurrency = 0: must be a whole number from 1 to 5"),
        ({"provisioned_concurrency": 6}, "provisioned_concurrency = 6: must be a whole number from 1 to 5"),
        ({"name": "under_score"}, "name = 'under_score'"),
    ],
)
def test_what_sagemaker_refuses_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        serverless(**arguments)
    assert message in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        serverless(memory_mb=1500, max_concurrency=300, provisioned_concurrency=400)
    fields = [finding.field for finding in caught.value.findings]
    assert fields == ["memory_mb", "max_concurrency", "provisioned_concurrency"]


def test_tokens_are_not_checked() -> None:
    unknown = cdk.Token.as_number(cdk.Fn.ref("Parameter"))
    made = serverless(memory_mb=unknown, max_concurrency=unknown, provisioned_concurrency=150)
    assert rendered(made)["ServerlessConfig"]["MemorySizeInMB"] == {"Ref": "Parameter"}


def test_a_serverless_variant_is_alone() -> None:
    assert together(serverless()) == ""
    for others in ([serverless(name="other")], [InstanceVariant(instance_type="ml.m5.large", name="other")]):
        message = together(serverless(), *others)
        assert "variants = \"serverless variant 'primary' and 1 more\"" in message
        assert "a serverless endpoint has one production variant" in message


def test_a_serverless_variant_has_no_shadow() -> None:
    findings = Findings("test")
    check_shadow(findings, [serverless()], ShadowVariant(instance_type="ml.m5.large"))
    (finding,) = map(str, findings.found)
    assert "beside variants[0], a ServerlessVariant" in finding
    assert "shadow variants copy from instances only" in finding


def test_rolling_is_refused_and_other_policies_are_of_no_use() -> None:
    findings = Findings("test")
    rolling = Rolling(batch=CapacitySize.instances(1), wait=cdk.Duration.minutes(1))
    rolling.check_against(findings, [serverless()])
    (finding,) = map(str, findings.found)
    assert "deployment = \"Rolling with the serverless variant 'primary'\"" in finding
    assert "serverless endpoints cannot be updated by rolling" in finding
    (warning,) = AllAtOnce().warnings_against([serverless()])
    assert "guardrails are for real-time and asynchronous endpoints" in warning
