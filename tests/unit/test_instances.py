"""What the name of an instance type tells, and what is said about a name that is not one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import aws_cdk as cdk
import pytest

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.instances import Accelerator, Architecture, InstanceType, known_instance_types

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "family", "size", "architecture", "accelerator"),
    [
        ("ml.m5.large", "m5", "large", Architecture.X86_64, Accelerator.NONE),
        ("ml.c7g.large", "c7g", "large", Architecture.ARM64, Accelerator.NONE),
        ("ml.c6gn.xlarge", "c6gn", "xlarge", Architecture.ARM64, Accelerator.NONE),
        ("ml.g4dn.xlarge", "g4dn", "xlarge", Architecture.X86_64, Accelerator.GPU),
        ("ml.g6e.12xlarge", "g6e", "12xlarge", Architecture.X86_64, Accelerator.GPU),
        ("ml.p6-b200.48xlarge", "p6-b200", "48xlarge", Architecture.X86_64, Accelerator.GPU),
        ("ml.p6e-gb200.36xlarge", "p6e-gb200", "36xlarge", Architecture.ARM64, Accelerator.GPU),
        ("ml.inf2.xlarge", "inf2", "xlarge", Architecture.X86_64, Accelerator.NEURON),
        ("ml.trn1n.32xlarge", "trn1n", "32xlarge", Architecture.X86_64, Accelerator.NEURON),
        ("ml.dl1.24xlarge", "dl1", "24xlarge", Architecture.X86_64, Accelerator.GAUDI),
    ],
)
def test_a_name_tells_family_size_architecture_and_accelerator(
    name: str, family: str, size: str, architecture: Architecture, accelerator: Accelerator
) -> None:
    instance = InstanceType(name)
    assert (instance.family, instance.size) == (family, size)
    assert (instance.architecture, instance.accelerator) == (architecture, accelerator)
    assert str(instance) == name


@pytest.mark.parametrize(
    "family", ["m5d", "c5d", "r5d", "m6gd", "c6gd", "r6gd", "r7gd", "g4dn", "g5", "p4d", "p4de"]
)
def test_families_with_a_local_disk_take_no_volume(family: str) -> None:
    names = [name for name in known_instance_types() if name.split(".")[1] == family]
    assert names
    assert all(InstanceType(name).supports_volume_size is False for name in names)
    assert all(InstanceType(name).has_local_storage for name in names)


@pytest.mark.parametrize("name", ["ml.g6.xlarge", "ml.p5.48xlarge", "ml.inf2.xlarge", "ml.trn1.2xlarge"])
def test_where_aws_does_not_say_whether_a_volume_is_taken_neither_do_we(name: str) -> None:
    assert InstanceType(name).supports_volume_size is None


@pytest.mark.parametrize(
    "name", ["ml.m5.large", "ml.c7g.large", "ml.m7i.large", "ml.p3.2xlarge", "ml.r6i.large"]
)
def test_other_families_take_a_volume(name: str) -> None:
    assert InstanceType(name).supports_volume_size is True
    assert not InstanceType(name).has_local_storage


def test_only_the_t_family_is_burstable() -> None:
    assert {name for name in known_instance_types() if InstanceType(name).is_burstable} == {
        "ml.t2.medium",
        "ml.t2.large",
        "ml.t2.xlarge",
        "ml.t2.2xlarge",
    }


def test_a_previous_generation_is_warned_about() -> None:
    assert "previous generation" in InstanceType("ml.p2.xlarge").warnings[0]
    assert InstanceType("ml.m5.large").warnings == ()


def test_inf1_has_no_deployment_guardrails() -> None:
    assert not InstanceType("ml.inf1.xlarge").supports_deployment_guardrails
    assert InstanceType("ml.inf2.xlarge").supports_deployment_guardrails


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("ml.m5.lrge", "did you mean ml.m5.large"),
        ("m5.large", "did you mean ml.m5.large"),
        ("ml.m5.metal", "did you mean ml.m5."),
        ("ml.eia2.medium", "Elastic Inference has ended"),
        ("", "use one of"),
        (5, "use one of"),
        (None, "use one of"),
    ],
    ids=repr,
)
def test_an_unknown_type_is_refused_with_what_comes_close(name: str, fix: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        InstanceType(name)
    assert "ProductionVariantInstanceType" in str(caught.value)
    assert fix in str(caught.value)


def test_a_token_passes_and_tells_nothing() -> None:
    instance = InstanceType(cdk.Fn.ref("InstanceType"))
    assert instance.architecture is None
    assert instance.accelerator is None
    assert instance.supports_volume_size is None
    assert not instance.is_burstable


def test_equal_names_are_equal_types() -> None:
    assert InstanceType("ml.m5.large") == InstanceType("ml.m5.large")
    assert len({InstanceType("ml.m5.large"), InstanceType("ml.m5.large")}) == 1


def test_every_type_of_the_api_can_be_read() -> None:
    assert len(known_instance_types()) > 200
    assert all(InstanceType(name).family and InstanceType(name).size for name in known_instance_types())


def test_the_committed_table_is_what_the_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location(
        "generate_instances", ROOT / "tools" / "generate_instances.py"
    )
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.TABLE.read_text(encoding="utf-8") == generator.render()
    assert json.loads(generator.render())["source"].startswith("botocore ")
