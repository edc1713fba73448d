"""Models: what the service accepts, shows, and refuses beyond the shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.world import IMAGE, ROLE, SCOPE, World

Refused = Callable[..., tuple[str, str]]
MODEL_ARN = "arn:aws:sagemaker:ap-northeast-2:000000000000:model/"
DATA = "s3://bucket/model.tar.gz"
SOURCE = {"S3DataType": "S3Object", "S3Uri": "s3://bucket/model", "CompressionType": "None"}


def test_a_model_is_described_as_it_was_made(sagemaker: Any, container: Params) -> None:
    # GIVEN a model
    tags = [{"Key": "team", "Value": "리뷰"}]
    arn = sagemaker.create_model(
        ModelName="Sentiment", PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags
    )["ModelArn"]

    # WHEN it is described
    shown = sagemaker.describe_model(ModelName="Sentiment")

    # THEN it is what was asked for, its ARN is in lower case, and the tags are at the ARN
    assert arn == MODEL_ARN + "sentiment"
    assert shown["PrimaryContainer"] == {**container, "Mode": "SingleModel", "Environment": {}}
    assert (shown["ExecutionRoleArn"], shown["EnableNetworkIsolation"]) == (ROLE, False)
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags


def test_a_deleted_model_is_gone_with_its_tags(
    sagemaker: Any, make_model: Any, refused: Refused, world: World
) -> None:
    # GIVEN a model with a tag
    make_model("m", Tags=[{"Key": "a", "Value": "b"}])

    # WHEN it is deleted
    sagemaker.delete_model(ModelName="m")

    # THEN it cannot be found, also not a second time
    for call in (sagemaker.describe_model, sagemaker.delete_model):
        assert refused(call, ModelName="m") == (
            "ValidationException",
            f'Could not find model "{MODEL_ARN}m".',
        )
    assert not world.stores.of(SCOPE).tags


def test_names_that_differ_in_case_collide(
    sagemaker: Any, make_config: Any, container: Params, refused: Refused
) -> None:
    # GIVEN a model and a configuration
    make_config("Config")

    # WHEN others are made under the same names in another case
    model = refused(
        sagemaker.create_model, ModelName="MODEL", PrimaryContainer=container, ExecutionRoleArn=ROLE
    )
    config = refused(
        sagemaker.create_endpoint_config,
        EndpointConfigName="cONFIG",
        ProductionVariants=sagemaker.describe_endpoint_config(EndpointConfigName="Config")[
            "ProductionVariants"
        ],
    )

    # THEN both are refused in the service's words
    assert model == ("ValidationException", f'Cannot create already existing model "{MODEL_ARN}model".')
    arn = "arn:aws:sagemaker:ap-northeast-2:000000000000:endpoint-config/config"
    assert config == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{arn}".',
    )


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        ({"PrimaryContainer": None}, "a model needs PrimaryContainer or Containers"),
        ({"Containers": [{"Image": IMAGE}]}, "either PrimaryContainer or Containers, not both"),
        (
            {"InferenceExecutionConfig": {"Mode": "Serial"}},
            "InferenceExecutionConfig is for models with Containers",
        ),
        (
            {
                "PrimaryContainer": None,
                "Containers": [{"Image": IMAGE}],
                "InferenceExecutionConfig": {"Mode": "Direct"},
            },
            "Mode Direct needs at least two Containers",
        ),
        (
            {
                "PrimaryContainer": None,
                "Containers": [{"Image": IMAGE}, {"Image": IMAGE}],
                "InferenceExecutionConfig": {"Mode": "Direct"},
            },
            "every container of Containers needs ContainerHostname",
        ),
        (
            {
                "PrimaryContainer": None,
                "Containers": [{"Image": IMAGE, "ContainerHostname": "a"}, {"Image": IMAGE}],
            },
            "every container of Containers needs ContainerHostname",
        ),
        (
            {"PrimaryContainer": None, "Containers": [{"Image": IMAGE, "ContainerHostname": "a"}] * 2},
            "ContainerHostname must be unique among the Containers; repeated: a",
        ),
        (
            {
                "PrimaryContainer": None,
                "Containers": [{"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://b/p/"}] * 2,
            },
            "More than one container in MultiModel mode is not supported with inference pipeline",
        ),
        ({"PrimaryContainer": {"ModelDataUrl": DATA}}, "a container needs Image or ModelPackageName"),
        (
            {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.zip"}},
            "ModelDataUrl must name one .tar.gz object, not 's3://bucket/model.zip'",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ModelDataUrl": DATA,
                    "ModelDataSource": {"S3DataSource": SOURCE},
                }
            },
            "ModelDataUrl and ModelDataSource exclude each other",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ModelDataSource": {"S3DataSource": SOURCE | {"S3DataType": "S3Prefix"}},
                }
            },
            "with S3DataType S3Prefix the S3Uri must end in a slash",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ModelDataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": "s3://b/p/",
                            "CompressionType": "Gzip",
                        }
                    },
                }
            },
            "CompressionType Gzip is for S3DataType S3Object",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}},
            "Mode MultiModel needs ModelDataUrl, the S3 prefix of its models",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "Mode": "MultiModel",
                    "ModelDataSource": {"S3DataSource": SOURCE},
                }
            },
            "Mode MultiModel takes its models from ModelDataUrl, not from ModelDataSource",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "MultiModelConfig": {"ModelCacheSetting": "Enabled"}}},
            "MultiModelConfig is for containers with Mode MultiModel",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "ImageConfig": {"RepositoryAccessMode": "Vpc"}}},
            "RepositoryAccessMode Vpc needs the model's VpcConfig",
        ),
        (
            {
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ImageConfig": {
                        "RepositoryAccessMode": "Platform",
                        "RepositoryAuthConfig": {"RepositoryCredentialsProviderArn": "arn:aws:lambda:x"},
                    },
                }
            },
            "RepositoryAuthConfig is allowed only with RepositoryAccessMode Vpc",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "Environment": {f"K{n}": "v" * 1000 for n in range(40)}}},
            "the environment variables of all containers take",
        ),
        ({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "Duplicate tag keys found: a"),
    ],
)
def test_a_model_that_could_not_be_hosted_is_refused(
    sagemaker: Any, container: Params, refused: Refused, world: World, model: Params, finding: str
) -> None:
    # GIVEN a model with one mistake
    given = {"ModelName": "m", "PrimaryContainer": container, "ExecutionRoleArn": ROLE} | model
    params = {name: value for name, value in given.items() if value is not None}

    # WHEN it is created
    code, message = refused(sagemaker.create_model, **params)

    # THEN the rule is told and nothing is kept
    assert code == "ValidationException"
    assert finding in message
    assert not world.stores.of(SCOPE).models


def test_several_mistakes_in_a_model_are_told_together(sagemaker: Any, refused: Refused) -> None:
    # GIVEN a model with two mistakes
    container = {"ModelDataUrl": "s3://b/x.zip"}

    # WHEN it is created
    _, message = refused(sagemaker.create_model, ModelName="m", PrimaryContainer=container)

    # THEN both are told, with their place
    assert message.startswith("2 validation errors detected: primaryContainer: ")


@pytest.mark.parametrize(
    "container",
    [
        {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"},
        {"Image": IMAGE, "ModelDataSource": {"S3DataSource": SOURCE | {"CompressionType": "Gzip"}}},
        {"Image": IMAGE},
    ],
)
def test_other_legal_containers_are_accepted(make_model: Any, container: Params) -> None:
    # GIVEN a container of a less common kind
    # WHEN a model is made of it
    # THEN it is there
    assert make_model("m", PrimaryContainer=container) == "m"


def containers(*hostnames: str) -> list[Params]:
    return [{"Image": IMAGE, "ModelDataUrl": DATA, "ContainerHostname": name} for name in hostnames]


@pytest.mark.parametrize("mode", ["Direct", "Serial"])
def test_a_model_of_several_containers_is_described_as_it_was_made(sagemaker: Any, mode: str) -> None:
    # GIVEN a model of the most containers that there may be
    names = [f"stage-{number}" for number in range(15)]
    sagemaker.create_model(
        ModelName="chain",
        Containers=containers(*names),
        InferenceExecutionConfig={"Mode": mode},
        ExecutionRoleArn=ROLE,
    )

    # WHEN it is described
    shown = sagemaker.describe_model(ModelName="chain")

    # THEN order, hostnames and mode are as asked for
    assert [container["ContainerHostname"] for container in shown["Containers"]] == names
    assert shown["InferenceExecutionConfig"] == {"Mode": mode}
    assert "PrimaryContainer" not in shown


def test_more_than_fifteen_containers_are_refused(sagemaker: Any, refused: Refused) -> None:
    names = [f"stage-{number}" for number in range(16)]
    code, message = refused(
        sagemaker.create_model, ModelName="m", Containers=containers(*names), ExecutionRoleArn=ROLE
    )
    assert code == "ValidationException"
    assert "at 'containers' failed to satisfy constraint" in message
    assert "Member must have length less than or equal to 15" in message


@pytest.mark.parametrize("hostname", ["under_score", "dot.ted", "-x", "x" * 64])
def test_a_hostname_that_is_no_name_is_refused(sagemaker: Any, refused: Refused, hostname: str) -> None:
    code, message = refused(
        sagemaker.create_model,
        ModelName="m",
        Containers=containers("first", hostname),
        ExecutionRoleArn=ROLE,
    )
    assert code == "ValidationException"
    assert "containers.2.member.containerHostname" in message


def test_containers_without_hostnames_are_a_pipeline_too(sagemaker: Any) -> None:
    nameless = [{"Image": IMAGE}, {"Image": IMAGE}]
    sagemaker.create_model(ModelName="m", Containers=nameless, ExecutionRoleArn=ROLE)
    assert len(sagemaker.describe_model(ModelName="m")["Containers"]) == 2
