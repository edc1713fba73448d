"""Requests to serverless endpoints: what is too large, too many at a time, or of another kind of endpoint."""

from __future__ import annotations

import json

import pytest

from sandbox.errors import ServiceError
from tests.sandbox_runtime.fakes import SCOPE
from tests.sandbox_serverless.plane import ServerlessPlane

LIMIT = 4 * 1024 * 1024
"""Bytes of a request or an answer (developer guide, "Invoke a serverless endpoint")."""


def test_four_mebibytes_are_taken_each_way_and_a_byte_more_is_refused(plane: ServerlessPlane) -> None:
    plane.serve_serverless()
    most = LIMIT - len(json.dumps({"pad": ""}))
    small = len(json.dumps(plane.ask()))

    # GIVEN a request and an answer of exactly the limit WHEN they are sent THEN they pass
    plane.ask(pad="x" * most)
    assert len(json.dumps(plane.ask(answer=LIMIT - small))) == LIMIT

    # AND with a byte more the request is refused before the model sees it
    refused = plane.refusal(pad="x" * (most + 1))
    assert refused["Error"]["Code"] == "ValidationError"
    assert refused["Error"]["Message"] == f"HTTP content length exceeded {LIMIT} bytes."
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 413

    # AND an answer with a byte more is the model's failure; the container goes on
    failed = plane.refusal(answer=LIMIT - small + 1)
    assert failed["Error"]["Code"] == "ModelError"
    assert f"exceeds {LIMIT} bytes" in failed["OriginalMessage"]
    assert plane.ask()["text"] == ""


def test_more_requests_at_a_time_than_max_concurrency_are_throttled(plane: ServerlessPlane) -> None:
    # GIVEN an endpoint with two requests at a time at most, both under way
    plane.serve_serverless(MaxConcurrency=2)
    futures, gate = plane.busy(2)

    # WHEN a third comes
    refused = plane.refusal()

    # THEN it is told the limit at once, and nothing is started for it
    assert refused["Error"]["Code"] == "ThrottlingException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "at most 2 requests at a time (MaxConcurrency)" in refused["Error"]["Message"]
    assert len(plane.containers()) == 2

    # AND the others are answered, and then the next one
    gate.touch()
    assert len({future.result(20)["pid"] for future in futures}) == 2
    assert plane.ask()["pid"]


def test_instances_do_not_become_serverless_and_the_other_way_is_allowed(plane: ServerlessPlane) -> None:
    # GIVEN an endpoint with an instance, and configurations of both kinds
    plane.add_model()
    plane.add_config("serverless")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    plane.api("CreateEndpointConfig", EndpointConfigName="instances", ProductionVariants=[variant])
    plane.deploy("instances")
    served = plane.ask()["pid"]

    # WHEN it is to become serverless
    with pytest.raises(ServiceError) as refused:
        plane.api("UpdateEndpoint", EndpointName="ep", EndpointConfigName="serverless")

    # THEN that is refused with what to do, and the instance goes on serving
    assert refused.value.code == "ValidationException"
    assert "an instance-based endpoint cannot be updated to serverless" in str(refused.value)
    assert "AllTraffic have instances. Create another endpoint" in str(refused.value)
    assert plane.ask()["pid"] == served

    # AND a serverless endpoint gets instances by an update
    plane.api("CreateEndpoint", EndpointName="other", EndpointConfigName="serverless")
    other = plane.stores.of(SCOPE).endpoints["other"]
    plane.settle(other)
    plane.api("UpdateEndpoint", EndpointName="other", EndpointConfigName="instances")
    plane.settle(other)
    assert (other.status, other.config_name) == ("InService", "instances")
