"""How requests end: output and success notice, failure object and error notice, or expiry; each once."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from sandbox.async_queue import notices, objects
from tests.sandbox_async.cloud import refusal
from tests.sandbox_async.plane import AsyncPlane
from tests.sandbox_runtime.fakes import Request, http


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(notices, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(notices, "LONGEST_PAUSE", 0.02)


async def refuses(request: Request) -> bytes:
    return http(b"not a film", 415, content_type="text/plain")


async def breaks(request: Request) -> bytes:
    return http(b"boom", 500, content_type="text/plain")


async def hangs(request: Request) -> bytes:
    await asyncio.Event().wait()
    return b""


def test_a_request_that_completes(plane: AsyncPlane) -> None:
    # GIVEN an endpoint with both topics
    endpoint = plane.serve_async()

    # WHEN a request is worked on
    uri = plane.upload(b"film", "input/clip.mp4")
    answer = plane.submit(InputLocation=uri, ContentType="video/mp4", Accept="text/plain", InferenceId="one")

    # THEN its output is in S3 with the model's content type, and the documented message is on the topic
    (message,) = plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == b"FILM"
    assert plane.cloud.types["data", "output/one.out"] == "text/plain"
    times = [datetime.fromisoformat(message.pop(name)) for name in ("receivedTime", "eventTime")]
    assert times == sorted(times)
    assert message == {
        "awsRegion": "ap-northeast-2",
        "invocationStatus": "Completed",
        "requestParameters": {
            "contentType": "video/mp4",
            "accept": "text/plain",
            "endpointName": "ep",
            "inputLocation": uri,
        },
        "responseParameters": {"contentType": "text/plain", "outputLocation": answer["OutputLocation"]},
        "inferenceId": "one",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    plane.quiet(endpoint)
    assert plane.cloud.keys("failure") == []


@pytest.mark.parametrize(
    ("answerer", "body", "reason"),
    [
        (refuses, b"not a film", "ClientError: Received client error (415) from model."),
        (breaks, b"boom", "ClientError: Received server error (500) from model."),
    ],
)
def test_a_request_that_the_model_refuses(plane: AsyncPlane, answerer: Any, body: bytes, reason: str) -> None:
    # GIVEN a model that answers with an error
    endpoint = plane.serve_async(answerer)
    container = endpoint.variants["AllTraffic"].fleet.instances[0].containers[0]

    # WHEN a request is worked on
    answer = plane.submit(b"x", InferenceId="one")

    # THEN its failure is in S3 as the model gave it, the error topic was told, the model was asked once
    (message,) = plane.endings(1)
    assert plane.cloud.results("error") == [message]
    assert message["invocationStatus"] == "Failed"
    assert message["failureReason"].startswith(reason)
    assert "responseParameters" not in message
    assert plane.cloud.read(answer["FailureLocation"]) == body
    plane.quiet(endpoint)
    assert plane.cloud.keys("output") == []
    assert len(container.requests) == 1
    # and the platform log names the request
    assert any(
        stream.endswith("/data-log") and f"[one] Received {reason.split(' ', 2)[2][:12]}" in line
        for _, stream, line in plane.logs.lines
    )


def test_a_model_that_is_too_slow(plane: AsyncPlane) -> None:
    # GIVEN a model that does not answer, and a time scale at which a minute is a second
    plane.serve_async(hangs)

    # WHEN a request gives it one second
    answer = plane.submit(b"x", InvocationTimeoutSeconds=1)

    # THEN it has had a real second, and the request has failed
    (message,) = plane.endings(1)
    assert message["invocationStatus"] == "Failed"
    assert "InvocationTimeoutSeconds" in message["failureReason"]
    assert b"1 s of InvocationTimeoutSeconds" in plane.cloud.read(answer["FailureLocation"])
    assert plane.metric("ModelLatency")[0] > 500_000  # a second of AWS time would be a sixtieth
    assert plane.metric("Invocation5XXErrors") == [1.0]


def test_an_answer_without_a_length_is_refused_as_sagemaker_does(plane: AsyncPlane) -> None:
    # GIVEN a model that streams its answer in chunks
    async def chunks(request: Request) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"
        yield b"3\r\nabc\r\n0\r\n\r\n"

    plane.serve_async(chunks)

    # WHEN a request is worked on
    plane.submit(b"x")

    # THEN it fails, with the service's words
    (message,) = plane.endings(1)
    assert message["failureReason"] == (
        "The response from container primary did not specify the required Content-Length header"
    )


def test_an_input_that_is_not_there(plane: AsyncPlane) -> None:
    plane.serve_async()
    answer = plane.submit(InputLocation="s3://data/input/none")
    (message,) = plane.endings(1)
    assert message["invocationStatus"] == "Failed"
    assert "s3://data/input/none could not be read: NoSuchKey" in message["failureReason"]
    assert b"NoSuchKey" in plane.cloud.read(answer["FailureLocation"])
    assert plane.metric("RequestDownloadFailures") == [1.0]
    assert plane.metric("InvocationFailures") == [1.0]


def test_an_input_that_may_not_be_read(plane: AsyncPlane) -> None:
    def forbidden(key: str) -> None:
        raise refusal("AccessDenied", "GetObject", "Access Denied")

    plane.serve_async()
    plane.cloud.on_get = forbidden
    plane.submit(InputLocation=plane.upload(b"x"))
    assert "AccessDenied: Access Denied" in plane.endings(1)[0]["failureReason"]


def test_an_input_that_is_too_large_is_not_downloaded(plane: AsyncPlane) -> None:
    plane.serve_async()
    uri = plane.upload(b"x", "input/huge")
    plane.cloud.sizes["input/huge"] = 1024**3 + 1
    plane.submit(InputLocation=uri)
    assert (
        "1073741825 bytes; an asynchronous request may have 1073741824"
        in plane.endings(1)[0]["failureReason"]
    )


def test_an_input_in_another_region(plane: AsyncPlane) -> None:
    plane.serve_async()
    uri = plane.upload(b"x")
    plane.cloud.regions["data"] = "us-east-1"
    plane.submit(InputLocation=uri)
    assert (
        "its bucket is in us-east-1, the endpoint in ap-northeast-2" in plane.endings(1)[0]["failureReason"]
    )


def test_s3_that_stumbles_is_asked_again(plane: AsyncPlane) -> None:
    # GIVEN an S3 that refuses the first attempts to read and to write
    troubles = {"get": 2, "put": 2}

    def stumble(kind: str) -> None:
        if troubles[kind]:
            troubles[kind] -= 1
            raise refusal("SlowDown", message="Please reduce your request rate.")

    plane.serve_async()
    plane.cloud.on_get = lambda key: stumble("get")
    plane.cloud.on_put = lambda key: stumble("put")

    # WHEN a request is worked on
    answer = plane.submit(InputLocation=plane.upload(b"film"))

    # THEN it completes all the same
    assert plane.endings(1)[0]["invocationStatus"] == "Completed"
    assert plane.cloud.read(answer["OutputLocation"]) == b"FILM"
    assert plane.metric("ResponseUploadFailures") == []


def test_s3_that_takes_no_output(plane: AsyncPlane) -> None:
    # GIVEN an S3 that refuses everything below the output path
    def refuse(key: str) -> None:
        if key.startswith("output"):
            raise refusal("NoSuchBucket", "PutObject", "The specified bucket does not exist")

    plane.serve_async()
    plane.cloud.on_put = refuse

    # WHEN a request is worked on
    answer = plane.submit(b"x")

    # THEN it fails, with a failure object and one error notice
    (message,) = plane.endings(1)
    assert message["invocationStatus"] == "Failed"
    assert "could not be written to s3://data/output/" in message["failureReason"]
    assert b"NoSuchBucket" in plane.cloud.read(answer["FailureLocation"])
    assert plane.metric("ResponseUploadFailures") == [1.0]


def test_s3_that_takes_nothing_at_all(plane: AsyncPlane) -> None:
    def refuse(key: str) -> None:
        raise refusal("InternalError", "PutObject", "We encountered an internal error.")

    endpoint = plane.serve_async()
    plane.cloud.on_put = refuse
    plane.submit(b"x")
    (message,) = plane.endings(1)
    assert message["invocationStatus"] == "Failed"
    assert plane.metric("ResponseUploadFailures") == [1.0, 1.0]
    plane.quiet(endpoint)


def test_a_topic_that_is_gone_for_a_while(plane: AsyncPlane) -> None:
    # GIVEN an endpoint whose success topic refuses three times
    troubles = 3

    def refuse(topic: str, message: object) -> None:
        nonlocal troubles
        if troubles:
            troubles -= 1
            raise refusal("InternalError", "Publish")

    plane.serve_async()
    plane.cloud.on_publish = refuse

    # WHEN a request completes
    plane.submit(b"x")

    # THEN its notice arrives, once, and each attempt that failed was counted
    assert len(plane.endings(1)) == 1
    assert plane.metric("NotificationFailures") == [1.0, 1.0, 1.0]


def test_a_topic_that_is_gone_for_good(plane: AsyncPlane) -> None:
    # GIVEN an endpoint whose topics were deleted
    endpoint = plane.serve_async()
    plane.cloud.topics.clear()

    # WHEN requests complete
    answers = [plane.submit(b"x") for _ in range(3)]

    # THEN their outputs are there, all attempts are counted, and the queue does not stand still
    plane.until(lambda: len(plane.metric("NotificationFailures")) == 3 * notices.ATTEMPTS)
    assert [plane.cloud.read(answer["OutputLocation"]) for answer in answers] == [b"X"] * 3
    plane.quiet(endpoint)
    assert plane.metric("InvocationsProcessed") == [1.0] * 3


@pytest.mark.parametrize("size", [128 * 1024, 128 * 1024 + 1])
def test_the_response_in_the_notice(plane: AsyncPlane, size: int) -> None:
    # GIVEN an endpoint that includes responses
    async def long(request: Request) -> bytes:
        return http(b"r" * size, content_type="text/plain")

    plane.serve_async(long, include=["SUCCESS_NOTIFICATION_TOPIC"])

    # WHEN a request completes
    plane.submit(b"x")

    # THEN the response is in the notice, up to 128 KB
    (message,) = plane.endings(1)
    if size > 128 * 1024:
        assert "responseBody" not in message
        return
    body = message["responseBody"]
    assert base64.b64decode(body["content"]) == b"r" * size
    assert body["encoding"] == "BASE64"
    assert set(body) == {"content", "message", "encoding"}


def test_the_models_error_in_the_notice(plane: AsyncPlane) -> None:
    plane.serve_async(refuses, include=["ERROR_NOTIFICATION_TOPIC"])
    plane.submit(b"x")
    body = plane.endings(1)[0]["responseBody"]
    assert base64.b64decode(body["content"]) == b"not a film"


def test_creation_update_and_change_of_capacity_test_the_topics(plane: AsyncPlane) -> None:
    # GIVEN an endpoint
    endpoint = plane.serve_async()
    assert plane.cloud.tests() == ["success", "error"]
    (message,) = {str(each) for _, each in plane.cloud.messages}
    assert (
        message == "{'eventVersion': '1.0', 'eventSource': 'aws:sagemaker', 'eventName': 'TestNotification'}"
    )

    # WHEN it is updated and scaled
    plane.update(endpoint, plane.async_config("other"))
    plane.scale(endpoint, 2)

    # THEN each topic has heard each time
    assert plane.cloud.tests() == ["success", "error"] * 3


def test_an_endpoint_whose_topic_is_missing_fails(plane: AsyncPlane) -> None:
    plane.cloud.topics.clear()
    endpoint = plane.serve_async()
    assert endpoint.status == "Failed"
    assert '"arn:aws:sns:ap-northeast-2:000000000000:success"' in str(endpoint.failure_reason)
    assert "sns:Publish" in str(endpoint.failure_reason)


def test_an_update_to_a_missing_topic_is_rolled_back(plane: AsyncPlane) -> None:
    # GIVEN an endpoint in service
    endpoint = plane.serve_async()

    # WHEN it is updated to a configuration with a topic that is not there
    wrong = plane.async_config(
        "wrong", NotificationConfig={"SuccessTopic": "arn:aws:sns:ap-northeast-2:000000000000:gone"}
    )
    plane.update(endpoint, wrong)

    # THEN it serves as before and says why
    assert (endpoint.status, endpoint.config_name) == ("InService", "config")
    assert ":gone" in str(endpoint.failure_reason)
    plane.submit(b"x")
    assert plane.endings(1)[0]["invocationStatus"] == "Completed"


def test_without_topics_there_are_no_notices(plane: AsyncPlane) -> None:
    plane.model("model", PrimaryContainer={"Image": "image"}, answerer=refuses)
    endpoint = plane.create(plane.async_config(NotificationConfig={}))
    answer = plane.submit(b"x")
    plane.until(lambda: bool(plane.cloud.keys("failure")))
    plane.quiet(endpoint)
    assert plane.cloud.messages == []
    assert plane.cloud.read(answer["FailureLocation"]) == b"not a film"


def test_a_request_that_waits_too_long_expires(plane: AsyncPlane) -> None:
    # GIVEN an endpoint without instances
    endpoint = plane.serve_async()
    plane.scale(endpoint, 0)

    # WHEN one request may wait a minute, which is a second here, and another one six hours
    answer = plane.submit(b"x", RequestTTLSeconds=60, InferenceId="short")
    plane.submit(b"x", InferenceId="long")

    # THEN the first one has expired: an error notice, no object, no attempt
    (message,) = plane.endings(1)
    assert message["inferenceId"] == "short"
    assert message["invocationStatus"] == "Failed"
    assert "expired" in message["failureReason"]
    assert plane.cloud.results("error") == [message]
    assert plane.cloud.keys("failure") == plane.cloud.keys("output") == []
    assert answer["FailureLocation"]
    assert plane.metric("ExpiredRequests") == [1.0]
    assert plane.metric("InvocationFailures") == []
    # and the second one still waits
    assert plane.queues.backlog(endpoint) == 1
    plane.scale(endpoint, 1)
    assert plane.endings(2)[1]["inferenceId"] == "long"
