"""Resource handlers: names, loose types, what is gone, what replaces."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloudformation import Api
from sandbox.cloudformation.resource import MAX_NAME, generated_name
from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_process.resource_engine import (
    ENDPOINT,
    SCOPE,
    TARGET,
    Engine,
    gone,
    resource,
)

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # API_CreateEndpoint, EndpointName


@given(
    stack=st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=128).filter(
        lambda name: name[0].isalpha()
    ),
    logical_id=st.text(string.ascii_letters + string.digits, min_size=1, max_size=255),
)
def test_generated_names_are_legal_and_differ(stack: str, logical_id: str) -> None:
    # GIVEN any stack and logical id
    # WHEN two names are generated
    names = {generated_name(stack, logical_id) for _ in range(2)}

    # THEN they differ, the API takes them, and an ARN, which is in lower case, carries them whole
    assert len(names) == 2
    for name in names:
        assert NAME.fullmatch(name)
        assert len(name) <= MAX_NAME
        assert name == name.lower()


@pytest.mark.parametrize("kind", ["Model", "EndpointConfig"])
def test_unnamed_resources_get_a_name_that_their_arn_tells_again(kind: str) -> None:
    # GIVEN a model or configuration without a name
    type_ = resource(f"AWS::SageMaker::{kind}")
    engine = Engine(**{f"Create{kind}": {f"{kind}Arn": SCOPE.arn("thing/generated-1")}})

    # WHEN it is created, its tags change, and it is deleted
    made = type_.create("Logical", {"Tags": [{"Key": "a", "Value": "1"}]}, "Stack", Api(engine, SCOPE))
    type_.update(made.physical_id, {"Tags": [{"Key": "a", "Value": "1"}]}, {}, Api(engine, SCOPE))
    type_.delete(made.physical_id, {}, Api(engine, SCOPE))

    # THEN Ref is the ARN, GetAtt gives name and ARN, and the delete finds it
    [created] = engine.of(f"Create{kind}")
    assert created[f"{kind}Name"].startswith("stack-logical-")
    assert made.attributes[f"{kind}Name"] == created[f"{kind}Name"]
    assert made.attributes[f"{kind}Arn"] == made.physical_id == SCOPE.arn("thing/generated-1")
    assert engine.of("DeleteTags") == [{"ResourceArn": made.physical_id, "TagKeys": ["a"]}]
    assert engine.of(f"Delete{kind}") == [{f"{kind}Name": "generated-1"}]


@given(count=st.integers(-5, 10_000), share=st.floats(0, 1), flag=st.booleans())
def test_numbers_and_booleans_written_as_text_become_what_the_api_takes(
    count: int, share: float, flag: bool
) -> None:
    # GIVEN a template in which everything is text, as parameters are
    engine = Engine(CreateEndpointConfig={"EndpointConfigArn": SCOPE.arn("endpoint-config/c")})
    variant = {"InitialInstanceCount": str(count), "InitialVariantWeight": str(share), "VariantName": 1}
    capture = {"EnableCapture": str(flag).lower(), "InitialSamplingPercentage": float(count)}

    # WHEN it is created
    resource("AWS::SageMaker::EndpointConfig").create(
        "C", {"ProductionVariants": [variant], "DataCaptureConfig": capture}, "S", Api(engine, SCOPE)
    )

    # THEN the API gets numbers, booleans and strings
    [request] = engine.of("CreateEndpointConfig")
    assert request["ProductionVariants"] == [
        {"InitialInstanceCount": count, "InitialVariantWeight": share, "VariantName": "1"}
    ]
    assert request["DataCaptureConfig"] == {"EnableCapture": flag, "InitialSamplingPercentage": count}


@pytest.mark.parametrize("value", ["many", "1.5", "", "1e999", None, [], {}])
def test_what_is_no_number_is_left_for_the_api_to_refuse(value: Any) -> None:
    # GIVEN a template with something else where a number belongs
    engine = Engine(CreateEndpointConfig={"EndpointConfigArn": SCOPE.arn("endpoint-config/c")})

    # WHEN it is created
    variants = [{"InitialInstanceCount": value, "Unknown": "1"}]
    resource("AWS::SageMaker::EndpointConfig").create(
        "C", {"ProductionVariants": variants}, "S", Api(engine, SCOPE)
    )

    # THEN the API gets it as it is
    assert engine.of("CreateEndpointConfig")[0]["ProductionVariants"] == variants


@pytest.mark.parametrize(
    ("type_name", "physical_id", "properties", "operation", "error"),
    [
        ("AWS::SageMaker::Model", SCOPE.arn("model/shop"), {}, "DeleteModel", gone("model")),
        ("AWS::SageMaker::Endpoint", ENDPOINT, {}, "DescribeEndpoint", gone()),
        (
            "AWS::SageMaker::Pipeline",
            "shop",
            {},
            "DeletePipeline",
            ServiceError("ResourceNotFound", "Pipeline 'shop' does not exist."),
        ),
        (
            "AWS::SageMaker::ModelPackageGroup",
            SCOPE.arn("model-package-group/shop"),
            {},
            "DeleteModelPackageGroup",
            ServiceError("ValidationException", "ModelPackageGroup shop does not exist."),
        ),
        (
            "AWS::ApplicationAutoScaling::ScalableTarget",
            "",
            TARGET,
            "DeregisterScalableTarget",
            ServiceError("ObjectNotFoundException", "No scalable target registered."),
        ),
        (
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            "",
            TARGET | {"PolicyName": "p"},
            "DeleteScalingPolicy",
            ServiceError("ObjectNotFoundException", "No scaling policy found."),
        ),
    ],
)
def test_what_is_not_there_counts_as_deleted_and_other_errors_do_not(
    type_name: str, physical_id: str, properties: Params, operation: str, error: ServiceError
) -> None:
    # GIVEN a resource that somebody has deleted
    # WHEN the stack deletes it
    # THEN that is no error
    resource(type_name).delete(physical_id, properties, Api(Engine(**{operation: error}), SCOPE))

    # BUT any other refusal is
    refused = ServiceError("ValidationException", "It is in use.")
    with pytest.raises(ServiceError, match="in use"):
        resource(type_name).delete(physical_id, properties, Api(Engine(**{operation: refused}), SCOPE))


@pytest.mark.parametrize(
    ("type_name", "create_only", "in_place"),
    [
        ("AWS::SageMaker::Model", "PrimaryContainer", "Tags"),
        ("AWS::SageMaker::EndpointConfig", "ProductionVariants", "Tags"),
        ("AWS::SageMaker::Endpoint", "EndpointName", "EndpointConfigName"),
        ("AWS::SageMaker::Pipeline", "PipelineName", "RoleArn"),
        ("AWS::SageMaker::ModelPackageGroup", "ModelPackageGroupDescription", "Tags"),
        ("AWS::ApplicationAutoScaling::ScalableTarget", "ResourceId", "MaxCapacity"),
        ("AWS::ApplicationAutoScaling::ScalingPolicy", "PolicyName", "PolicyType"),
    ],
)
def test_changes_replace_only_what_cannot_change(type_name: str, create_only: str, in_place: str) -> None:
    # GIVEN the resource types
    # WHEN a property changes
    # THEN it replaces the resource exactly where the resource schema calls it create-only
    assert create_only in resource(type_name).replaced_by
    assert in_place not in resource(type_name).replaced_by
