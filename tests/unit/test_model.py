"""Models, their roles and what those may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.model import Container, ServingModel
from sagemaker_serving.network import VpcAttachment

Synthesised = Callable[[], Template]
MakeContainer = Callable[..., Container]
VPC = VpcAttachment(subnet_ids=["subnet-1", "subnet-2"], security_group_ids=["sg-1"])


def statements(template: Template) -> dict[str, dict[str, Any]]:
    """Statements of all policies by their names."""
    return {
        statement["Sid"]: statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }


def the_model(template: Template) -> dict[str, Any]:
    (model,) = template.find_resources("AWS::SageMaker::Model").values()
    return dict(model)


def test_model_has_no_name_and_waits_for_its_permissions(
    model: ServingModel, synthesised: Synthesised
) -> None:
    template = synthesised()
    (policy,) = template.find_resources("AWS::IAM::Policy")
    assert "ModelName" not in the_model(template)["Properties"]
    assert policy in the_model(template)["DependsOn"]


def test_role_may_read_this_artifact_and_pull_this_image_and_no_more(
    model: ServingModel, synthesised: Synthesised
) -> None:
    template = synthesised()
    allowed = statements(template)
    assert set(allowed) == {"PullImage", "LogInToEcr", "LoadModel"}
    assert allowed["LoadModel"]["Action"] == "s3:GetObject"
    assert json.dumps(allowed["LoadModel"]["Resource"]).count("models/sentiment/model.tar.gz") == 1
    assert ":repository/sagemaker-scikit-learn" in json.dumps(allowed["PullImage"]["Resource"])
    assert allowed["LogInToEcr"] == {
        "Sid": "LogInToEcr",
        "Effect": "Allow",
        "Action": "ecr:GetAuthorizationToken",
        "Resource": "*",
    }
    # AND nothing of AWS's is attached
    (role,) = template.find_resources("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role["Properties"]
    # AND no action is a wildcard
    assert "*" not in "".join(str(statement["Action"]) for statement in allowed.values())


def test_environment_of_the_container_wins(
    stack: cdk.Stack, container: MakeContainer, synthesised: Synthesised
) -> None:
    made = container(environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}, hostname="sentiment")
    ServingModel(stack, "Model", containers=[made])
    rendered = the_model(synthesised())["Properties"]["PrimaryContainer"]
    assert rendered["Environment"]["SAGEMAKER_MODEL_SERVER_WORKERS"] == "2"
    assert rendered["ContainerHostname"] == "sentiment"
    assert "sagemaker-scikit-learn" in json.dumps(rendered["Image"])


def test_image_that_brings_its_own_model_needs_no_artifact(
    stack: cdk.Stack, container: MakeContainer, synthesised: Synthesised
) -> None:
    model = ServingModel(stack, "Model", containers=[container(artifact=None)])
    template = synthesised()
    assert "ModelDataUrl" not in the_model(template)["Properties"]["PrimaryContainer"]
    assert "LoadModel" not in statements(template)
    assert model.artifact_uris == [None]


def test_network_isolation_and_vpc_are_off_by_default(model: ServingModel, synthesised: Synthesised) -> None:
    properties = the_model(synthesised())["Properties"]
    assert "VpcConfig" not in properties
    assert "EnableNetworkIsolation" not in properties


def test_vpc_brings_the_permissions_for_network_interfaces(
    stack: cdk.Stack, container: MakeContainer, synthesised: Synthesised
) -> None:
    ServingModel(stack, "Model", containers=[container()], vpc=VPC, network_isolation=True)
    template = synthesised()
    assert the_model(template)["Properties"]["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert the_model(template)["Properties"]["EnableNetworkIsolation"] is True
    made = statements(template)["MakeNetworkInterfaces"]
    assert made["Action"] == "ec2:CreateNetworkInterface"
    text = json.dumps(made["Resource"])
    for resource in (":network-interface/*", ":subnet/subnet-1", ":subnet/subnet-2", ":security-group/sg-1"):
        assert resource in text


def test_single_subnet_is_a_warning(stack: cdk.Stack, container: MakeContainer) -> None:
    vpc = VpcAttachment(subnet_ids=["subnet-1"], security_group_ids=["sg-1"])
    ServingModel(stack, "Model", containers=[container()], vpc=vpc)
    Annotations.from_stack(stack).has_warning("/Test/Model", Match.string_like_regexp("two zones"))


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ({"subnet_ids": []}, ["subnet_ids", "1 to 16"]),
        ({"subnet_ids": [f"subnet-{n}" for n in range(17)]}, ["17 ids", "1 to 16"]),
        ({"security_group_ids": []}, ["security_group_ids", "1 to 5"]),
        ({"security_group_ids": [f"sg-{n}" for n in range(6)]}, ["6 ids", "1 to 5"]),
        ({"subnet_ids": ["subnet-1", "subnet-1"]}, ["one id twice"]),
        ({"subnet_ids": ["vpc-1"], "security_group_ids": ["1"]}, ["2 problems", "subnet-", "sg-"]),
    ],
)
def test_refuses_a_vpc_attachment_that_sagemaker_refuses(
    arguments: dict[str, list[str]], messages: list[str]
) -> None:
    given = {"subnet_ids": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
    with pytest.raises(InvalidConfiguration) as caught:
        VpcAttachment(**{**given, **arguments})
    for message in messages:
        assert message in str(caught.value)


def test_tokens_pass_as_subnets(stack: cdk.Stack) -> None:
    ids = cdk.Fn.split(",", cdk.Fn.import_value("Subnets"))
    assert VpcAttachment(subnet_ids=ids, security_group_ids=["sg-1"]).warnings == ()


def test_all_that_is_wrong_with_a_container_is_told_at_once(
    stack: cdk.Stack, container: MakeContainer
) -> None:
    # GIVEN a reserved variable, an illegal one, a value that is too long and an illegal host name
    environment = {"SAGEMAKER_BIND_TO_PORT": "1", "1ST": "x", "LONG": "x" * 1025}
    with pytest.raises(InvalidConfiguration) as caught:
        ServingModel(stack, "Model", containers=[container(environment=environment, hostname="under_score")])
    message = str(caught.value)
    assert message.startswith("Test/Model: 4 problems")
    for part in ("SAGEMAKER_BIND_TO_PORT", "1ST", "LONG", "containers[0].hostname = 'under_score'"):
        assert part in message


@pytest.mark.parametrize("where", ["own", "shared"])
def test_what_installs_packages_at_the_start_cannot_be_cut_off_from_the_network(
    stack: cdk.Stack, container: MakeContainer, tmp_path: Path, where: str
) -> None:
    # GIVEN a model's directory, with a requirements.txt there or in a folder that is laid over it
    own, shared = tmp_path / "own", tmp_path / "shared"
    for folder in (own, shared):
        folder.mkdir()
    (own / "inference.py").write_text("def model_fn(model_dir): ...")
    (shared / "formats.py").write_text("")
    (tmp_path / where / "requirements.txt").write_text("opencv-python-headless==5.0.0.93")
    packed = container(artifact=ModelArtifact.from_directory(own, shared=[shared]))
    # WHEN AWS's image is to run it without a network THEN that is refused
    with pytest.raises(InvalidConfiguration) as caught:
        ServingModel(stack, "Isolated", containers=[packed], network_isolation=True)
    message = str(caught.value)
    assert "network_isolation = 'on, with a requirements.txt for containers[0]'" in message
    assert "install what it names when the container starts" in message
    # AND with a network it is not
    assert ServingModel(stack, "Connected", containers=[packed])
