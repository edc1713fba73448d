"""AWS JSON 1.1 on the wire."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.control_plane import ControlPlane
from sandbox.errors import ServiceError
from sandbox.protocol import Response, answer
from sandbox.store import Params, Scope, Stores

SCOPE = Scope("000000000000", "ap-northeast-2")


class Api:
    def __init__(self, outcome: Params | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, Params]] = []

    async def call(self, operation: str, params: Params, scope: Scope) -> Params:
        self.asked.append((operation, params))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def ask(api: Any, body: bytes, target: str = "SageMaker.ListModels") -> Response:
    return asyncio.run(answer(api, {"X-Amz-Target": target}, body, SCOPE))


def test_timestamps_go_out_as_epoch_seconds() -> None:
    # GIVEN an operation that answers with a time
    api = Api({"CreationTime": datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC), "Name": "이름"})

    # WHEN it is asked
    response = ask(api, b'{"MaxResults": 3}')

    # THEN the time is a number, the text is UTF-8, and the operation saw its parameters
    assert json.loads(response.body) == {"CreationTime": 1793534400.25, "Name": "이름"}
    assert (response.status, response.headers["content-type"]) == (200, "application/x-amz-json-1.1")
    assert api.asked == [("ListModels", {"MaxResults": 3})]


def test_an_error_carries_code_message_and_further_members() -> None:
    # GIVEN an operation that is refused
    api = Api(ServiceError("ResourceNotFoundException", "No such thing.", 400, ResourceName="arn"))

    # WHEN it is asked
    response = ask(api, b"")

    # THEN the error is where SDKs look for it
    assert json.loads(response.body) == {
        "__type": "ResourceNotFoundException",
        "message": "No such thing.",
        "ResourceName": "arn",
    }
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ResourceNotFoundException")


def test_a_fault_of_ours_is_an_internal_failure_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    # GIVEN an operation with a bug
    api = Api(RuntimeError("secret detail"))

    # WHEN it is asked
    response = ask(api, b"{}")

    # THEN the caller hears that something failed, and the log knows what
    assert (response.status, json.loads(response.body)["__type"]) == (500, "InternalFailure")
    assert b"secret detail" not in response.body
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'{"a": NaN}', "SerializationException"),
        (b"\xff\xfe", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, code: str) -> None:
    # GIVEN a body that cannot be read
    # WHEN it is sent
    response = ask(Api({}), body)

    # THEN it is the sender's error
    assert (response.status, json.loads(response.body)["__type"]) == (400, code)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "no X-Amz-Target"),
        ("SageMaker.MakeCoffee", "sagemaker has no operation MakeCoffee"),
        ("SageMaker.CreateTrainingJob", "does not have CreateTrainingJob of sagemaker yet; AWS does"),
    ],
)
def test_an_unknown_operation_is_said_to_be_unknown(target: str, words: str) -> None:
    # GIVEN the control plane
    api = ControlPlane(Stores(), None, None, None)  # type: ignore[arg-type]

    # WHEN an operation is asked for that it does not have
    response = ask(api, b"{}", target)

    # THEN the answer says whether AWS has it
    error = json.loads(response.body)
    assert (response.status, error["__type"]) == (400, "UnknownOperationException")
    assert words in error["message"]


@given(st.binary(max_size=200))
def test_no_body_brings_the_api_down(body: bytes) -> None:
    # GIVEN any bytes
    # WHEN they are sent to an operation without effects
    response = ask(ControlPlane(Stores(), None, None, None), body)  # type: ignore[arg-type]

    # THEN the answer is a list, or the sender's error
    assert response.status in (200, 400)
