"""Instance variants: every value that is refused, what the template then holds, and rules across variants."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk.assertions import Template

from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.instances import InstanceType
from sagemaker_serving.variants import (
    InferenceAmiVersion,
    InstanceVariant,
    PrefixAwareRouting,
    RoutingStrategy,
    check_variants,
)


def variant(**arguments: Any) -> InstanceVariant:
    return InstanceVariant(**{"instance_type": "ml.m5.large", **arguments})


def rendered(given: InstanceVariant) -> dict[str, Any]:
    """The variant as it stands in a template."""
    stack = cdk.Stack(cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False))
    sagemaker.CfnEndpointConfig(stack, "Config", production_variants=[given.render("the-model")])
    [config] = Template.from_stack(stack).find_resources("AWS::SageMaker::EndpointConfig").values()
    [variant] = config["Properties"]["ProductionVariants"]
    return dict(variant)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instance_type": "ml.m5.lrge"}, "instance_type = 'ml.m5.lrge'"),
        ({"name": "a_b"}, "name = 'a_b'"),
        ({"initial_instance_count": 0}, "initial_instance_count = 0: must be a whole number of at least 1"),
        ({"initial_instance_count": 1.5}, "initial_instance_count = 1.5"),
        ({"initial_instance_count": "2"}, "initial_instance_count = '2'"),
        ({"initial_instance_count": True}, "initial_instance_count = True"),
        ({"weight": -0.1}, "weight = -0.1: must be a finite number of at least 0"),
        ({"weight": float("nan")}, "weight = nan"),
        ({"weight": float("inf")}, "weight = inf"),
        ({"weight": "1"}, "weight = '1'"),
        ({"volume_size_gb": 0}, "volume_size_gb = 0: must be a whole number from 1 to 512"),
        ({"volume_size_gb": 513}, "volume_size_gb = 513"),
        (
            {"instance_type": "ml.m5d.large", "volume_size_gb": 50},
            "ml.m5d.large stores on its own local disk",
        ),
        ({"instance_type": "ml.g4dn.xlarge", "volume_size_gb": 50}, "takes no volume size"),
        ({"instance_type": "ml.g5.xlarge", "volume_size_gb": 50}, "takes no volume size"),
        ({"instance_type": "ml.p4d.24xlarge", "volume_size_gb": 50}, "takes no volume size"),
        ({"model_data_download_timeout": cdk.Duration.seconds(59)}, "model_data_download_timeout = '59 s'"),
        ({"model_data_download_timeout": cdk.Duration.seconds(3601)}, "60 to 3600 s"),
        ({"container_startup_timeout": cdk.Duration.seconds(59)}, "container_startup_timeout = '59 s'"),
        ({"container_startup_timeout": cdk.Duration.minutes(61)}, "container_startup_timeout = '3660 s'"),
        ({"container_startup_timeout": cdk.Duration.millis(60500)}, "must be a whole number of seconds"),
        ({"container_startup_timeout": 60}, "must be a duration"),
        ({"routing_strategy": "KV_AWARE"}, "must be one of RANDOM, LEAST_OUTSTANDING_REQUESTS, PREFIX_AWARE"),
        ({"routing_strategy": RoutingStrategy.PREFIX_AWARE}, "routing_strategy PREFIX_AWARE needs it"),
        (
            {"prefix_aware_routing": PrefixAwareRouting(prefix_length=1024, concurrency_threshold=1)},
            "is allowed only with routing_strategy PREFIX_AWARE",
        ),
        (
            {
                "routing_strategy": RoutingStrategy.RANDOM,
                "prefix_aware_routing": PrefixAwareRouting(prefix_length=1024, concurrency_threshold=1),
            },
            "is allowed only with routing_strategy PREFIX_AWARE",
        ),
        ({"inference_ami_version": "al3"}, "must be one of al2-ami-sagemaker-inference-gpu-2"),
        ({"inference_ami_version": InferenceAmiVersion.GPU_CUDA_12_4}, "is for GPU instances"),
        (
            {"instance_type": "ml.g5.xlarge", "inference_ami_version": InferenceAmiVersion.NEURON_2},
            "is for NEURON instances, and ml.g5.xlarge has GPU",
        ),
        (
            {"instance_type": "ml.inf2.xlarge", "inference_ami_version": InferenceAmiVersion.GPU_CUDA_13_0},
            "is for GPU instances, and ml.inf2.xlarge has NEURON",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # others may show a memory address
)
def test_an_illegal_value_is_refused_with_its_rule(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        variant(**arguments)
    assert message in str(caught.value)
    assert len(caught.value.findings) == 1


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        variant(name="-", instance_type="m5", initial_instance_count=0, weight=-1, volume_size_gb=9999)
    fields = [finding.field for finding in caught.value.findings]
    assert fields == ["name", "initial_instance_count", "weight", "instance_type", "volume_size_gb"]


@pytest.mark.parametrize(
    ("prefix_length", "concurrency_threshold", "field"),
    [
        (1023, 1, "prefix_length"),
        (65537, 1, "prefix_length"),
        (1024, 0, "concurrency"),
        (1024, 1025, "concurrency"),
    ],
)
def test_prefix_aware_routing_has_limits(prefix_length: int, concurrency_threshold: int, field: str) -> None:
    with pytest.raises(InvalidConfiguration, match=field):
        PrefixAwareRouting(prefix_length=prefix_length, concurrency_threshold=concurrency_threshold)


def test_a_plain_variant_renders_what_it_says_and_nothing_else() -> None:
    assert rendered(variant()) == {
        "VariantName": "primary",
        "ModelName": "the-model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1,
    }


def test_a_variant_with_everything_renders_everything() -> None:
    given = variant(
        instance_type=InstanceType("ml.g6.xlarge"),
        name="blue",
        initial_instance_count=3,
        weight=0,
        volume_size_gb=512,
        model_data_download_timeout=cdk.Duration.seconds(60),
        container_startup_timeout=cdk.Duration.hours(1),
        routing_strategy=RoutingStrategy.PREFIX_AWARE,
        prefix_aware_routing=PrefixAwareRouting(prefix_length=65536, concurrency_threshold=1024),
        inference_ami_version=InferenceAmiVersion.GPU_CUDA_12_4,
        enable_ssm_access=True,
    )
    assert rendered(given) == {
        "VariantName": "blue",
        "ModelName": "the-model",
        "InstanceType": "ml.g6.xlarge",
        "InitialInstanceCount": 3,
        "InitialVariantWeight": 0,
        "VolumeSizeInGB": 512,
        "ModelDataDownloadTimeoutInSeconds": 60,
        "ContainerStartupHealthCheckTimeoutInSeconds": 3600,
        "RoutingConfig": {
            "RoutingStrategy": "PREFIX_AWARE",
            "PrefixAwareRoutingConfig": {"PrefixLength": 65536, "ConcurrencyThreshold": 1024},
        },
        "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
        "EnableSSMAccess": True,
    }


def test_tokens_are_not_checked() -> None:
    given = variant(
        instance_type=cdk.Fn.ref("Type"),
        initial_instance_count=cdk.Token.as_number(cdk.Fn.ref("Count")),
        weight=cdk.Token.as_number(cdk.Fn.ref("Weight")),
        volume_size_gb=cdk.Token.as_number(cdk.Fn.ref("Volume")),
    )
    assert rendered(given)["InitialInstanceCount"] == {"Ref": "Count"}
    assert rendered(given)["InstanceType"] == {"Ref": "Type"}


def test_a_volume_on_a_newer_family_with_a_disk_is_a_warning() -> None:
    [warning] = variant(instance_type="ml.g6.xlarge", volume_size_gb=50).warnings
    assert "ml.g6.xlarge has a local disk" in warning
    assert variant(instance_type="ml.g6.xlarge").warnings == ()


def test_a_previous_generation_is_a_warning() -> None:
    assert "previous generation" in variant(instance_type="ml.t2.medium").warnings[0]


def found(*variants: Any) -> str:
    findings = Findings("test")
    check_variants(findings, variants)
    return "\n".join(str(finding) for finding in findings.found)


def test_one_to_ten_variants_with_their_own_names_pass() -> None:
    assert found(variant()) == ""
    assert found(*(variant(name=f"v{number}") for number in range(10))) == ""


def test_no_variant_is_refused() -> None:
    assert "variants = '0 variants': an endpoint has 1 to 10" in found()


def test_the_eleventh_variant_is_refused() -> None:
    assert "variants = '11 variants': an endpoint has 1 to 10" in found(
        *(variant(name=f"v{number}") for number in range(11))
    )


def test_two_variants_of_one_name_are_refused() -> None:
    message = found(variant(name="a"), variant(name="b"), variant(name="a"))
    assert "variants[2].name = 'a': variants[0] has the same name" in message


def test_weights_that_are_all_zero_are_refused() -> None:
    message = found(variant(name="a", weight=0), variant(name="b", weight=0))
    assert "at least one variant needs a weight above 0" in message
    assert found(variant(name="a", weight=0), variant(name="b", weight=0.1)) == ""


def test_something_else_among_the_variants_is_refused() -> None:
    assert "variants[1] = {'serverless': True}" in found(variant(), {"serverless": True})
