"""Endpoints: life, states, and what is refused when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_api.endpoint_requests import ARN, CANARY
from tests.sandbox_api.world import IMAGE, SCOPE, World

Refused = Callable[..., tuple[str, str]]
IN_PROGRESS = ("ValidationException", f'Cannot update in-progress endpoint "{ARN}e".')


def test_an_endpoint_is_described_with_its_variants(
    sagemaker: Any, make_config: Any, variant: Any, world: World
) -> None:
    # GIVEN an endpoint with two variants and data capture
    capture = {
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Output"}],
    }
    routing = {"RoutingStrategy": "RANDOM"}
    variants = [variant("a", 2, InitialVariantWeight=3.0), variant("b", 1, RoutingConfig=routing)]
    make_config("c", *variants, DataCaptureConfig=capture)
    arn = sagemaker.create_endpoint(EndpointName="E", EndpointConfigName="c", DeploymentConfig=CANARY)[
        "EndpointArn"
    ]

    # WHEN it is described
    shown = sagemaker.describe_endpoint(EndpointName="E")

    # THEN all that the API documents is there
    assert arn == shown["EndpointArn"] == ARN + "e"
    assert (shown["EndpointName"], shown["EndpointStatus"]) == ("E", "InService")
    first, second = shown["ProductionVariants"]
    assert first["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert {name: first[name] for name in first if name != "DeployedImages"} == {
        "VariantName": "a",
        "CurrentWeight": 3.0,
        "DesiredWeight": 3.0,
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
    }
    assert second["RoutingConfig"] == routing
    assert shown["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 20,
        "DestinationS3Uri": "s3://bucket/capture",
        "KmsKeyId": "",
    }
    assert shown["LastDeploymentConfig"] == CANARY
    assert shown["CreationTime"] <= shown["LastModifiedTime"]


def test_the_waiters_of_boto3_understand_the_states(sagemaker: Any, make_endpoint: Any) -> None:
    # GIVEN an endpoint
    make_endpoint("e")

    # WHEN it is waited for, deleted, and waited for again
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e")
    sagemaker.delete_endpoint(EndpointName="e")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="e", WaiterConfig={"MaxAttempts": 1})

    # THEN it is gone
    assert sagemaker.list_endpoints()["Endpoints"] == []


def test_a_name_is_taken_in_any_case(sagemaker: Any, make_endpoint: Any, refused: Refused) -> None:
    # GIVEN an endpoint
    make_endpoint("Reviews")

    # WHEN another of nearly that name is made
    error = refused(sagemaker.create_endpoint, EndpointName="reviews", EndpointConfigName="Reviews-config")

    # THEN the service refuses, and the endpoint answers to both spellings
    assert error == ("ValidationException", f'Cannot create already existing endpoint "{ARN}reviews".')
    assert sagemaker.describe_endpoint(EndpointName="REVIEWS")["EndpointName"] == "Reviews"


def test_what_is_missing_is_named_by_its_arn(sagemaker: Any, make_config: Any, refused: Refused) -> None:
    # GIVEN a configuration whose model was deleted
    make_config("c")
    sagemaker.delete_model(ModelName="model")
    prefix = ARN.removesuffix("endpoint/")

    # WHEN endpoints are made or asked for that cannot be
    # THEN the service says what it could not find
    assert refused(sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="None") == (
        "ValidationException",
        f'Could not find endpoint configuration "{prefix}endpoint-config/none".',
    )
    assert refused(sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="c") == (
        "ValidationException",
        f'Could not find model "{prefix}model/model".',
    )
    missing = ("ValidationException", f'Could not find endpoint "{ARN}e".')
    for call, more in (
        (sagemaker.describe_endpoint, {}),
        (sagemaker.delete_endpoint, {}),
        (sagemaker.update_endpoint, {"EndpointConfigName": "c"}),
        (
            sagemaker.update_endpoint_weights_and_capacities,
            {"DesiredWeightsAndCapacities": [{"VariantName": "v"}]},
        ),
    ):
        assert refused(call, EndpointName="e", **more) == missing


def test_a_deployment_that_is_refused_leaves_nothing(
    sagemaker: Any, make_config: Any, world: World, refused: Refused
) -> None:
    # GIVEN no room for another model server
    make_config("c")
    world.deployments.refusal = ServiceError(
        "ResourceLimitExceeded", "The account-level service limit is 24."
    )

    # WHEN an endpoint is made
    error = refused(
        sagemaker.create_endpoint,
        EndpointName="e",
        EndpointConfigName="c",
        Tags=[{"Key": "a", "Value": "b"}],
    )

    # THEN the caller hears why, and neither endpoint nor tags are kept
    assert error == ("ResourceLimitExceeded", "The account-level service limit is 24.")
    assert not world.stores.of(SCOPE).endpoints
    assert not world.stores.of(SCOPE).tags


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_an_endpoint_in_progress_takes_no_change(
    sagemaker: Any, make_endpoint: Any, world: World, refused: Refused, status: str
) -> None:
    # GIVEN an endpoint on which work is going on
    make_endpoint("e")
    world.endpoint("e").status = status

    # WHEN a change is asked for
    # THEN it is refused, whatever it is
    weights = [{"VariantName": "blue", "DesiredWeight": 1.0}]
    assert refused(sagemaker.update_endpoint, EndpointName="e", EndpointConfigName="e-config") == IN_PROGRESS
    assert refused(sagemaker.delete_endpoint, EndpointName="e") == IN_PROGRESS
    assert (
        refused(
            sagemaker.update_endpoint_weights_and_capacities,
            EndpointName="e",
            DesiredWeightsAndCapacities=weights,
        )
        == IN_PROGRESS
    )


def test_from_failed_only_delete_works(
    sagemaker: Any, make_endpoint: Any, world: World, refused: Refused
) -> None:
    # GIVEN an endpoint that failed
    make_endpoint("e")
    world.endpoint("e").status = "Failed"
    world.endpoint("e").failure_reason = "x" * 2000

    # WHEN it is updated, then deleted
    code, message = refused(sagemaker.update_endpoint, EndpointName="e", EndpointConfigName="e-config")
    reason = sagemaker.describe_endpoint(EndpointName="e")["FailureReason"]
    sagemaker.delete_endpoint(EndpointName="e")

    # THEN only the deletion went through, and the reason kept to its length
    assert (code, "in status Failed" in message) == ("ValidationException", True)
    assert len(reason) == 1024
    assert not world.stores.of(SCOPE).endpoints


@pytest.mark.parametrize(
    ("variants", "config", "words"),
    [
        (
            [{}],
            {
                "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}},
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 100,
                    "DestinationS3Uri": "s3://b/c",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                },
            },
            "data capture of an asynchronous endpoint",
        ),
        (
            [{"ModelName": None}],
            {"ExecutionRoleArn": "arn:aws:iam::000000000000:role/r"},
            "inference components",
        ),
    ],
)
def test_what_the_sandbox_does_not_run_is_said_before_anything_starts(
    sagemaker: Any,
    make_config: Any,
    variant: Any,
    world: World,
    refused: Refused,
    variants: list[Params],
    config: Params,
    words: str,
) -> None:
    # GIVEN a configuration that is legal on AWS
    made = [{k: v for k, v in {**variant(), **changes}.items() if v is not None} for changes in variants]
    make_config("c", *made, **config)

    # WHEN an endpoint is made of it
    code, message = refused(sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="c")

    # THEN the answer says what the sandbox lacks
    assert code == "ValidationException"
    assert words in message
    assert "the sandbox does not run yet" in message
    assert world.deployments.calls == []
