"""Endpoint configurations: what the service accepts, shows, and refuses beyond the shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.world import ROLE, SCOPE, World

Refused = Callable[..., tuple[str, str]]
MODEL_ARN = "arn:aws:sagemaker:ap-northeast-2:000000000000:model/"


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
