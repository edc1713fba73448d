"""Models of several containers: how requests reach them, and by what names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr
from aws_cdk.assertions import Annotations, Match, Template

from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import EcrImage
from sagemaker_serving.model import Container, ContainerInvocation, ServingModel

Synthesised = Callable[[], Template]
MakeContainer = Callable[..., Container]
DIRECT, SERIAL = ContainerInvocation.DIRECT, ContainerInvocation.SERIAL


@pytest.fixture
def named(container: MakeContainer) -> Callable[..., list[Container]]:
    """Containers with these hostnames, each with an artifact of its own."""

    def make(*hostnames: str | None) -> list[Container]:
        return [
            container(
                hostname=hostname,
                artifact=ModelArtifact.from_s3_uri(f"s3://models/{number}/model.tar.gz"),
            )
            for number, hostname in enumerate(hostnames)
        ]

    return make


@pytest.fixture
def refused(stack: cdk.Stack) -> Callable[..., str]:
    def message(containers: Sequence[Container], invocation: Any) -> str:
        with pytest.raises(InvalidConfiguration) as caught:
            ServingModel(stack, "Model", containers=containers, invocation=invocation)
        return str(caught.value)

    return message


@pytest.mark.parametrize(("invocation", "mode"), [(DIRECT, "Direct"), (SERIAL, "Serial")])
def test_containers_keep_their_order_and_the_mode_is_always_written(
    stack: cdk.Stack,
    named: Callable[..., list[Container]],
    synthesised: Synthesised,
    invocation: ContainerInvocation,
    mode: str,
) -> None:
    model = ServingModel(stack, "Model", containers=named("b", "a", "c"), invocation=invocation)
    template = synthesised()
    (rendered,) = template.find_resources("AWS::SageMaker::Model").values()
    properties = rendered["Properties"]
    assert [item["ContainerHostname"] for item in properties["Containers"]] == ["b", "a", "c"]
    assert properties["InferenceExecutionConfig"] == {"Mode": mode}
    assert "PrimaryContainer" not in properties
    assert model.container_hostnames == ["b", "a", "c"]
    # AND the role may load every artifact, and pull the one image
    policies = json.dumps(template.find_resources("AWS::IAM::Policy"))
    for number in range(3):
        assert f"models/{number}/model.tar.gz" in policies
    assert policies.count(":repository/") == 1


def test_one_container_has_no_mode(model: ServingModel, synthesised: Synthesised) -> None:
    (rendered,) = synthesised().find_resources("AWS::SageMaker::Model").values()
    assert "InferenceExecutionConfig" not in rendered["Properties"]
    assert model.invocation is None
    assert model.container_hostnames == []


def test_a_series_may_go_without_hostnames(
    stack: cdk.Stack, named: Callable[..., list[Container]], synthesised: Synthesised
) -> None:
    model = ServingModel(stack, "Model", containers=named(None, None), invocation=SERIAL)
    (rendered,) = synthesised().find_resources("AWS::SageMaker::Model").values()
    assert all("ContainerHostname" not in item for item in rendered["Properties"]["Containers"])
    assert (model.container_hostnames, model.container_count) == ([], 2)


@pytest.mark.parametrize("count", [2, 15])
def test_two_to_fifteen_containers_are_legal(
    stack: cdk.Stack, named: Callable[..., list[Container]], count: int
) -> None:
    names = [f"container-{number}" for number in range(count)]
    assert ServingModel(stack, "Model", containers=named(*names), invocation=DIRECT).container_count == count


def test_no_container_is_refused(refused: Callable[..., str]) -> None:
    message = refused([], None)
    assert "1 problem\n" in message
    assert "containers = '0 containers': a model has 1 to 15 containers (API shape" in message


def test_more_than_fifteen_containers_are_refused(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named(*(f"c{number}" for number in range(16))), DIRECT)
    assert "containers = '16 containers': a model has 1 to 15 containers" in message
    assert "keep at most 15" in message


def test_several_containers_without_a_mode_are_refused(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named("a", "b"), None)
    assert "1 problem\n" in message
    assert "invocation = None: a model with 2 containers needs to know how requests reach them" in message
    assert "ContainerInvocation.SERIAL" in message


@pytest.mark.parametrize("invocation", [DIRECT, SERIAL])
def test_fewer_than_two_containers_cannot_be_invoked_in_a_mode(
    refused: Callable[..., str], named: Callable[..., list[Container]], invocation: ContainerInvocation
) -> None:
    message = refused(named("a"), invocation)
    assert "is for models of 2 to 15 containers, and this one has 1" in message


def test_a_mode_that_does_not_exist_is_refused(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named("a", "b"), "Parallel")
    assert "invocation = 'Parallel': must be one of Serial, Direct" in message


def test_direct_invocation_without_hostnames_names_every_container_that_lacks_one(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named("a", None, None), DIRECT)
    assert "2 problems" in message
    for index in (1, 2):
        assert f"containers[{index}].hostname = None: a directly invoked container is called by" in message


def test_a_series_with_some_hostnames_is_refused(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named(None, "b", "c"), SERIAL)
    assert "1 problem\n" in message
    assert "containers[0].hostname = None: in a series every container has a hostname or none has" in message


@pytest.mark.parametrize("invocation", [DIRECT, SERIAL])
def test_repeated_hostnames_are_refused(
    refused: Callable[..., str], named: Callable[..., list[Container]], invocation: ContainerInvocation
) -> None:
    message = refused(named("a", "b", "a"), invocation)
    assert "containers[2].hostname = 'a': containers[0] has the same hostname" in message


def test_limits_of_the_environment_hold_across_all_containers(
    refused: Callable[..., str], container: MakeContainer
) -> None:
    # GIVEN two containers whose variables fit in 32 KB each, but not together
    many = {f"V{number:02}": "x" * 1000 for number in range(17)}
    containers = [container(hostname=name, environment=many) for name in "ab"]
    message = refused(containers, DIRECT)
    assert "1 problem\n" in message
    assert "all keys and values of all containers of one model take at most 32768 bytes" in message


def test_the_variables_of_the_artifact_count_too(
    refused: Callable[..., str], container: MakeContainer
) -> None:
    # GIVEN 99 variables, to which the artifact adds two
    message = refused([container(environment={f"V{number}": "" for number in range(99)})], None)
    assert "environment = '101 entries': at most 100 entries" in message


@pytest.mark.parametrize("name", ["SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE"])
def test_no_container_sets_the_port_that_sagemaker_gives_it(
    refused: Callable[..., str], container: MakeContainer, name: str
) -> None:
    containers = [container(hostname="a"), container(hostname="b", environment={name: "8081"})]
    message = refused(containers, SERIAL)
    assert f"containers[1].environment['{name}'] = '{name}': SageMaker sets this variable itself" in message


def test_all_that_is_wrong_comes_in_one_error(
    refused: Callable[..., str], named: Callable[..., list[Container]]
) -> None:
    message = refused(named("under_score", None, "same", "same"), DIRECT)
    assert "Test/Model: 3 problems" in message


def test_the_hostname_of_an_only_container_is_a_warning(stack: cdk.Stack, container: MakeContainer) -> None:
    model = ServingModel(stack, "Model", containers=[container(hostname="alone")])
    Annotations.from_stack(stack).has_warning(
        "/Test/Model", Match.string_like_regexp("alone: SageMaker ignores the hostname")
    )
    assert model.container_hostnames == []


def test_images_of_your_own_among_others_are_a_warning(
    stack: cdk.Stack, named: Callable[..., list[Container]], container: MakeContainer
) -> None:
    repository = ecr.Repository.from_repository_name(stack, "Repository", "own")
    own = container(image=EcrImage(repository, "1.0"), hostname="own")
    ServingModel(stack, "Model", containers=[*named("aws"), own], invocation=SERIAL)
    warnings = Annotations.from_stack(stack)
    warnings.has_warning("/Test/Model", Match.string_like_regexp("accept-bind-to-port=true"))
    warnings.has_warning("/Test/Model", Match.string_like_regexp("sagemaker.amazonaws.com pull"))
