"""Checks from the service models: the words, all at once, and no input that breaks the check itself."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.control_plane import ControlPlane
from sandbox.errors import ServiceError
from sandbox.store import Stores
from sandbox.validation import ApiModel, _pattern

OPERATIONS = ("CreateEndpoint", "CreateModel", "CreateEndpointConfig", "ListEndpoints", "CreatePipeline")
GOOD = {"EndpointName": "endpoint", "EndpointConfigName": "config"}


@cache
def model() -> ApiModel:
    return ApiModel("sagemaker", OPERATIONS)


def message(operation: str, params: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        model().validate(operation, params)
    assert caught.value.code == "ValidationException"
    return caught.value.message


@pytest.mark.parametrize(
    ("params", "finding"),
    [
        (
            {"EndpointName": "my_endpoint"},
            "Value 'my_endpoint' at 'endpointName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            {"EndpointName": "a" * 64},
            f"Value '{'a' * 64}' at 'endpointName' failed to satisfy constraint: "
            "Member must have length less than or equal to 63",
        ),
        (
            {"EndpointName": None},
            "Value null at 'endpointName' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"EndpointName": 7},
            "Value '7' at 'endpointName' failed to satisfy constraint: Member must be of type string",
        ),
        (
            {"Colour": "red"},
            "Value 'red' at 'colour' failed to satisfy constraint: "
            "Member must be one of [EndpointName, EndpointConfigName, DeploymentConfig, Tags]",
        ),
        (
            {"Tags": [{"Key": "", "Value": "v"}]},
            "Value '' at 'tags.1.member.key' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (
            {"Tags": [{"Key": "k", "Value": "v"}] * 51},
            "failed to satisfy constraint: Member must have length less than or equal to 50",
        ),
        (
            {"Tags": {"k": "v"}},
            "Value '{\"k\": \"v\"}' at 'tags' failed to satisfy constraint: Member must be a list",
        ),
        (
            {"DeploymentConfig": {"RollingUpdatePolicy": {"WaitIntervalInSeconds": 3601}}},
            "Value '3601' at 'deploymentConfig.rollingUpdatePolicy.waitIntervalInSeconds' failed to satisfy "
            "constraint: Member must have value less than or equal to 3600",
        ),
        (
            {"DeploymentConfig": {"RollingUpdatePolicy": {"WaitIntervalInSeconds": True}}},
            "Value 'true' at 'deploymentConfig.rollingUpdatePolicy.waitIntervalInSeconds' failed to satisfy "
            "constraint: Member must be of type integer",
        ),
        (
            {
                "DeploymentConfig": {
                    "RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "LITRES", "Value": 0}}
                }
            },
            "Member must satisfy enum value set: [INSTANCE_COUNT, CAPACITY_PERCENT]",
        ),
        (
            {"DeploymentConfig": "fast"},
            "Value 'fast' at 'deploymentConfig' failed to satisfy constraint: Member",
        ),
    ],
)
def test_a_finding_is_told_in_the_words_of_the_service(params: dict[str, Any], finding: str) -> None:
    # GIVEN a request with one mistake
    # WHEN it is checked
    # THEN the mistake is named with value, place and rule
    assert finding in message("CreateEndpoint", GOOD | params)


@pytest.mark.parametrize(
    ("environment", "finding"),
    [
        ({"1A": "v"}, "Map keys must satisfy constraint: [Member must satisfy regular expression pattern"),
        (
            {"A": "v" * 1025},
            "Map value must satisfy constraint: [Member must have length less than or equal to",
        ),
        ({"A": 1}, "Map value must satisfy constraint: [Member must be of type string]"),
    ],
)
def test_maps_are_checked_by_key_and_value(environment: dict[str, Any], finding: str) -> None:
    # GIVEN a container with a bad environment variable
    # WHEN the model is checked
    # THEN key or value is named
    params = {"ModelName": "m", "PrimaryContainer": {"Environment": environment}}
    assert finding in message("CreateModel", params)


def test_all_findings_come_in_one_error() -> None:
    # GIVEN four mistakes
    params = {"EndpointName": "a_b", "Tags": [{"Key": "k"}], "Colour": 1}

    # WHEN the request is checked
    text = message("CreateEndpoint", params)

    # THEN all four are told
    assert text.startswith("4 validation errors detected: ")
    assert text.count("failed to satisfy constraint") == 4


def test_a_long_value_is_shown_shortened() -> None:
    # GIVEN a value of a megabyte
    # WHEN it is refused
    # THEN the message stays readable
    assert len(message("CreateEndpoint", GOOD | {"EndpointName": "_" * 1_000_000})) < 1500


def test_timestamps_come_in_as_epoch_seconds_or_datetimes() -> None:
    # GIVEN filters as JSON brings them, and as Python code does
    params = {"CreationTimeAfter": 1.5, "CreationTimeBefore": datetime(2026, 1, 1)}

    # WHEN they are checked
    clean = model().validate("ListEndpoints", params)

    # THEN both are aware datetimes, and what is no time is refused
    assert clean["CreationTimeAfter"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clean["CreationTimeBefore"] == datetime(2026, 1, 1, tzinfo=UTC)
    for bad in ("yesterday", 1e300, True):
        assert "Member must be a timestamp" in message("ListEndpoints", {"CreationTimeAfter": bad})


def test_idempotency_tokens_are_filled_in_and_nulls_left_out() -> None:
    # GIVEN a request as CloudFormation makes it: no token, an unset description
    params = {
        "PipelineName": "p",
        "RoleArn": "arn:aws:iam::000000000000:role/r",
        "PipelineDescription": None,
    }

    # WHEN it is checked
    clean = model().validate("CreatePipeline", params)

    # THEN it is complete, and the request itself is untouched
    assert len(clean["ClientRequestToken"]) >= 32
    assert "PipelineDescription" not in clean
    assert "ClientRequestToken" not in params


@pytest.mark.parametrize("service", ["sagemaker", "application-autoscaling"])
def test_every_pattern_of_the_emulated_operations_can_be_matched(service: str) -> None:
    # GIVEN the patterns of a service, some of which are Java's own
    operations = (
        ControlPlane(Stores(), None, None, None).operations  # type: ignore[arg-type]
        if service == "sagemaker"
        else ("RegisterScalableTarget", "PutScalingPolicy", "DescribeScalingActivities", "TagResource")
    )
    api = ApiModel(service, operations)
    api.require(next(iter(operations)))

    # WHEN each is compiled
    patterns = [shape["pattern"] for shape in api._shapes.values() if "pattern" in shape]

    # THEN none is refused
    assert patterns
    for pattern in patterns:
        _pattern(pattern).fullmatch("endpoint/가나다/variant/😀")


@pytest.mark.parametrize(("value", "legal"), [("한국어 값", True), ("a+b=c@d", True), ("semi;colon", False)])
def test_unicode_classes_in_patterns_mean_what_they_say(value: str, legal: bool) -> None:
    # GIVEN a tag value
    params = GOOD | {"Tags": [{"Key": "k", "Value": value}]}

    # WHEN it is checked
    # THEN letters of any script pass and a semicolon does not
    if legal:
        assert model().validate("CreateEndpoint", params)
    else:
        assert "tags.1.member.value" in message("CreateEndpoint", params)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["ModelName", "PrimaryContainer", "Containers", "Environment", "Image", "Tags", "Key"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.sampled_from(OPERATIONS), st.dictionaries(st.text(max_size=12) | st.just("ModelName"), json_values))
def test_any_json_is_accepted_or_refused_but_never_breaks_the_check(
    operation: str, params: dict[str, Any]
) -> None:
    # GIVEN any JSON object
    # WHEN it is checked
    # THEN it passes, or every finding names its place
    refusal = None
    try:
        model().validate(operation, params)
    except ServiceError as error:
        refusal = error
    assert refusal is None or refusal.code == "ValidationException"
    assert refusal is None or "failed to satisfy constraint" in refusal.message
