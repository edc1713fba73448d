"""Models and endpoint configurations: what the service accepts, shows, and refuses beyond the shapes."""

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
            "at most one of the Containers may have Mode MultiModel",
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


def test_an_endpoint_configuration_is_described_as_it_was_made(
    sagemaker: Any, make_config: Any, variant: Any
) -> None:
    # GIVEN a configuration with data capture
    capture = {
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    make_config("c", variant(InitialVariantWeight=0.5), DataCaptureConfig=capture)

    # WHEN it is described
    shown = sagemaker.describe_endpoint_config(EndpointConfigName="c")

    # THEN it is what was asked for
    assert shown["ProductionVariants"] == [variant(InitialVariantWeight=0.5)]
    assert shown["DataCaptureConfig"] == capture


def test_a_configuration_in_use_may_be_deleted(sagemaker: Any, make_endpoint: Any, refused: Refused) -> None:
    # GIVEN an endpoint
    make_endpoint("e")

    # WHEN its configuration and its model are deleted, which AWS allows
    sagemaker.delete_endpoint_config(EndpointConfigName="e-config")
    sagemaker.delete_model(ModelName="model")

    # THEN the endpoint lives on, and the configuration is gone
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e-config"
    arn = "arn:aws:sagemaker:ap-northeast-2:000000000000:endpoint-config/e-config"
    assert refused(sagemaker.delete_endpoint_config, EndpointConfigName="e-config") == (
        "ValidationException",
        f'Could not find endpoint configuration "{arn}".',
    )


def test_a_configuration_of_an_unknown_model_is_refused(
    sagemaker: Any, variant: Any, refused: Refused
) -> None:
    # GIVEN no model
    # WHEN a configuration names one
    error = refused(sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[variant()])

    # THEN the service says so
    assert error == ("ValidationException", f'Could not find model "{MODEL_ARN}model".')


SERVERLESS = {
    "InstanceType": None,
    "InitialInstanceCount": None,
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
}
ASYNC = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}


@pytest.mark.parametrize(
    ("variants", "config", "finding"),
    [
        (
            [{"InstanceType": None, "InitialInstanceCount": None}],
            {},
            "a variant needs exactly one of InstanceType",
        ),
        (
            [SERVERLESS | {"InstanceType": "ml.m5.large"}],
            {},
            "given are InstanceType with InitialInstanceCount and",
        ),
        ([{"InitialInstanceCount": None}], {}, "an instance based variant needs InitialInstanceCount too"),
        ([{"InstanceType": None}], {}, "an instance based variant needs InstanceType too"),
        ([{}, {}], {}, "VariantName must be unique in the configuration; repeated: blue"),
        (
            [{"InitialVariantWeight": 0.0}],
            {},
            "InitialVariantWeight of at least one of the ProductionVariants",
        ),
        ([{"AcceleratorType": "ml.eia2.medium"}], {}, "AcceleratorType is no longer supported"),
        (
            [{"InstanceType": "ml.g4dn.xlarge", "VolumeSizeInGB": 100}],
            {},
            "VolumeSizeInGB is not allowed for ml.g4dn.xlarge",
        ),
        (
            [{"InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2"}],
            {},
            "al2-ami-sagemaker-inference-gpu-2 does not fit the instance type ml.m5.large",
        ),
        (
            [{"ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}}],
            {},
            "ManagedInstanceScaling is only supported for inference component endpoints",
        ),
        (
            [
                {
                    "ModelName": None,
                    "ManagedInstanceScaling": {"MinInstanceCount": 3, "MaxInstanceCount": 2},
                }
            ],
            {"ExecutionRoleArn": ROLE},
            "ManagedInstanceScaling.MinInstanceCount 3 is greater than MaxInstanceCount 2",
        ),
        ([{"ModelName": None}], {}, "a variant without ModelName hosts inference components"),
        (
            [{"ModelName": "roleless"}],
            {},
            "the model 'roleless' has no ExecutionRoleArn, which hosting needs",
        ),
        (
            [SERVERLESS | {"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 5}}],
            {},
            "MemorySizeInMB must be one of 1024, 2048, 3072, 4096, 5120, 6144, not 1500",
        ),
        (
            [
                SERVERLESS
                | {
                    "ServerlessConfig": {
                        "MemorySizeInMB": 2048,
                        "MaxConcurrency": 5,
                        "ProvisionedConcurrency": 6,
                    }
                }
            ],
            {},
            "ProvisionedConcurrency 6 is greater than MaxConcurrency 5",
        ),
        (
            [SERVERLESS | {"VolumeSizeInGB": 10}],
            {},
            "VolumeSizeInGB is not supported for serverless variants",
        ),
        (
            [SERVERLESS, SERVERLESS | {"VariantName": "b"}],
            {},
            "a serverless endpoint has one production variant",
        ),
        (
            [SERVERLESS | {"ModelName": "isolated"}],
            {},
            "the model 'isolated' uses EnableNetworkIsolation, which serverless variants do not support",
        ),
        (
            [SERVERLESS],
            {"AsyncInferenceConfig": ASYNC},
            "AsyncInferenceConfig is not supported for serverless",
        ),
        (
            [SERVERLESS],
            {
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://b",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "DataCaptureConfig is not supported for serverless endpoints",
        ),
        (
            [{}],
            {"AsyncInferenceConfig": {"OutputConfig": {}}},
            "AsyncInferenceConfig.OutputConfig needs S3OutputPath",
        ),
        (
            [{}],
            {
                "AsyncInferenceConfig": {
                    "OutputConfig": {
                        "S3OutputPath": "s3://b/o",
                        "NotificationConfig": {"IncludeInferenceResponseIn": ["ERROR_NOTIFICATION_TOPIC"]},
                    }
                }
            },
            "names ERROR_NOTIFICATION_TOPIC, so NotificationConfig needs ErrorTopic",
        ),
        ([{}], {"MetricsConfig": {"MetricPublishFrequencyInSeconds": 45}}, "must be one of 10, 30, 60"),
    ],
)
def test_a_configuration_that_breaks_a_rule_is_refused(
    sagemaker: Any,
    make_model: Any,
    variant: Any,
    refused: Refused,
    world: World,
    variants: list[Params],
    config: Params,
    finding: str,
) -> None:
    # GIVEN models, and a configuration with one mistake
    make_model("model")
    make_model("roleless", ExecutionRoleArn=None)
    make_model("isolated", EnableNetworkIsolation=True)
    made = [
        {name: value for name, value in {**variant(), **changes}.items() if value is not None}
        for changes in variants
    ]

    # WHEN it is created
    code, message = refused(
        sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=made, **config
    )

    # THEN the rule is told and nothing is kept
    assert code == "ValidationException"
    assert finding in message
    assert not world.stores.of(SCOPE).endpoint_configs


@pytest.mark.parametrize(
    ("production", "shadow", "config", "finding"),
    [
        ([{}, {"VariantName": "other"}], [{}], {}, "exactly one production variant and one shadow variant"),
        ([{}], [{}], {"AsyncInferenceConfig": ASYNC}, "shadow variants do not support AsyncInferenceConfig"),
        ([{}], [SERVERLESS], {}, "shadow variants do not support ServerlessConfig"),
        ([{}], [{"ModelName": "chain"}], {}, "shadow variants do not support models with several containers"),
        ([{}], [{"InstanceType": "ml.inf1.xlarge"}], {}, "shadow variants do not support ml.inf1 instances"),
    ],
)
def test_a_shadow_test_beyond_its_limits_is_refused(
    sagemaker: Any,
    make_model: Any,
    variant: Any,
    refused: Refused,
    production: list[Params],
    shadow: list[Params],
    config: Params,
    finding: str,
) -> None:
    # GIVEN models and a shadow test with one mistake
    make_model("model")
    make_model("chain", PrimaryContainer=None, Containers=[{"Image": IMAGE}, {"Image": IMAGE}])
    shadows = [
        {k: v for k, v in {**variant("shadow"), **changes}.items() if v is not None} for changes in shadow
    ]

    # WHEN it is created
    _, message = refused(
        sagemaker.create_endpoint_config,
        EndpointConfigName="c",
        ProductionVariants=[{**variant(), **changes} for changes in production],
        ShadowProductionVariants=shadows,
        **config,
    )

    # THEN the limit is told
    assert finding in message
