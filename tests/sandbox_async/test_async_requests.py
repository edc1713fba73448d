"""InvokeEndpointAsync: what is accepted, what is answered, what is refused."""

from __future__ import annotations

import uuid
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.sandbox_async.plane import AsyncPlane


def refused(plane: AsyncPlane, **params: Any) -> str:
    """The message of a ValidationError; the client checks nothing, as SDKs of other languages do not."""
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=plane.url,
        region_name="ap-northeast-2",
        aws_access_key_id="test",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )
    try:
        with pytest.raises(ClientError) as caught:
            client.invoke_endpoint_async(**{"EndpointName": "ep", **params})
    finally:
        client.close()
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Message"])


def test_an_accepted_request_is_told_where_its_answer_will_be(plane: AsyncPlane) -> None:
    # GIVEN an endpoint with output and failure path
    plane.serve_async()

    # WHEN a request names an object in S3
    answer = plane.submit(InputLocation=plane.upload(b"film"), InferenceId="clip-1")

    # THEN it is accepted, and its locations are known at once
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "clip-1"
    assert answer["OutputLocation"] == "s3://data/output/clip-1.out"
    assert answer["FailureLocation"] == "s3://data/failure/clip-1-error.out"
    plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == b"FILM"


def test_a_request_without_id_gets_one(plane: AsyncPlane) -> None:
    plane.serve_async()
    first, second = plane.submit(b"a"), plane.submit(b"b")
    assert first["InferenceId"] != second["InferenceId"]
    assert str(uuid.UUID(first["InferenceId"])) == first["InferenceId"]
    assert first["OutputLocation"] == f"s3://data/output/{first['InferenceId']}.out"


def test_without_a_failure_path_there_is_no_failure_location(plane: AsyncPlane) -> None:
    plane.model("model", PrimaryContainer={"Image": "image"})
    config = plane.async_config()
    del config.request["AsyncInferenceConfig"]["OutputConfig"]["S3FailurePath"]
    plane.create(config)
    assert "FailureLocation" not in plane.submit(b"a")


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"S3OutputPathExtension": "2026/film"}, "output/2026/film/one.out"),
        ({"S3OutputPathExtension": "/2026/"}, "output/2026/one.out"),
        ({"Filename": "boxes.jsonl"}, "output/boxes.jsonl"),
        ({"S3OutputPathExtension": "2026", "Filename": "boxes"}, "output/2026/boxes"),
        ({"InferenceId": "a/b c"}, "output/a-b-c.out"),
    ],
)
def test_extension_and_file_name_decide_where_the_output_goes(
    plane: AsyncPlane, params: dict[str, str], key: str
) -> None:
    plane.serve_async()
    answer = plane.submit(b"x", **{"InferenceId": "one", **params})
    assert answer["OutputLocation"] == f"s3://data/{key}"
    plane.endings(1)
    assert plane.cloud.read(f"s3://data/{key}") == b"X"


def test_the_container_gets_what_the_request_says_and_nothing_else(plane: AsyncPlane) -> None:
    # GIVEN an endpoint
    endpoint = plane.serve_async()
    container = endpoint.variants["AllTraffic"].fleet.instances[0].containers[0]

    # WHEN a request carries every member that concerns the model
    plane.submit(
        b"hello",
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="trace=7",
        InferenceId="one",
        InvocationTimeoutSeconds=10,
    )
    plane.endings(1)

    # THEN the container sees these under the names of the container contract
    (request,) = container.requests
    assert request.body == b"hello"
    assert request.headers == {
        "host": f"127.0.0.1:{container.port}",
        "content-length": "5",
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "trace=7",
        "x-amzn-sagemaker-inference-id": "one",
    }


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, ["one of InputLocation and Body is required"]),
        ({"Body": b"x", "InputLocation": "s3://data/a"}, ["mutually exclusive"]),
        ({"Body": b"x" * 128_001}, ["more than 128000 bytes", "InputLocation"]),
        ({"InputLocation": "ftp://data/a"}, ["inputLocation", "regular expression"]),
        ({"InputLocation": "s3://data"}, ["not the location of an object"]),
        ({"InputLocation": "https://example.com/a"}, ["not the location of an object"]),
        ({"InputLocation": "s3://data/" + "k" * 1024}, ["less than or equal to 1024"]),
        ({"Body": b"x", "RequestTTLSeconds": 59}, ["requestTTLSeconds", "greater than or equal to 60"]),
        ({"Body": b"x", "RequestTTLSeconds": 21_601}, ["requestTTLSeconds", "less than or equal to 21600"]),
        ({"Body": b"x", "InvocationTimeoutSeconds": 0}, ["greater than or equal to 1"]),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, ["less than or equal to 3600"]),
        ({"Body": b"x", "RequestTTLSeconds": "soon"}, ["requestTTLSeconds", "type integer"]),
        ({"Body": b"x", "InferenceId": "i" * 65}, ["inferenceId", "less than or equal to 64"]),
        ({"Body": b"x", "Filename": "a.b.c"}, ["filename", "regular expression"]),
        ({"Body": b"x", "Filename": "../up"}, ["filename", "regular expression"]),
        ({"Body": b"x", "Filename": "f" * 33}, ["filename", "less than or equal to 32"]),
        ({"Body": b"x", "S3OutputPathExtension": "s3://other"}, ["s3OutputPathExtension"]),
        ({"Body": b"x", "S3OutputPathExtension": "a b"}, ["s3OutputPathExtension"]),
        ({"Body": b"x", "ContentType": "t" * 1025}, ["contentType"]),
        (
            {"RequestTTLSeconds": 1, "InvocationTimeoutSeconds": 9999},
            ["3 validation errors", "60", "3600", "is required"],
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_with_all_findings(
    plane: AsyncPlane, params: dict[str, Any], words: list[str]
) -> None:
    # GIVEN an endpoint in service
    endpoint = plane.serve_async()

    # WHEN a request breaks rules
    message = refused(plane, **params)

    # THEN it is refused with each of them, and nothing is in the queue
    assert all(word in message for word in words), message
    assert plane.queues.backlog(endpoint) == 0


def test_a_body_of_128000_bytes_is_accepted(plane: AsyncPlane) -> None:
    plane.serve_async()
    answer = plane.submit(b"x" * 128_000)
    plane.endings(1)
    assert len(plane.cloud.read(answer["OutputLocation"])) == 128_000


@pytest.mark.parametrize(
    "uri",
    [
        "s3://data/input/a b.txt",
        "https://data.s3.ap-northeast-2.amazonaws.com/input/a%20b.txt",
        "https://s3.ap-northeast-2.amazonaws.com/data/input/a%20b.txt",
        "https://data.s3-ap-northeast-2.amazonaws.com/input/a%20b.txt",
        "https://data.s3.amazonaws.com/input/a%20b.txt",
    ],
)
def test_inputs_are_found_in_every_spelling_of_s3(plane: AsyncPlane, uri: str) -> None:
    plane.serve_async()
    plane.upload(b"film", "input/a b.txt")
    answer = plane.submit(InputLocation=uri)
    plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == b"FILM"


def test_endpoints_that_do_not_take_asynchronous_requests_say_so(plane: AsyncPlane) -> None:
    # GIVEN a real-time endpoint, and an asynchronous one that is being created
    plane.serve()
    plane.model("slow", hangs=True, PrimaryContainer={"Image": "image"})
    config = plane.async_config("slow")
    config.request["ProductionVariants"][0]["ModelName"] = "slow"
    plane.create(config, "later", wait=False)

    # WHEN they, and one that is not there, are invoked asynchronously
    # THEN each refusal tells why
    assert "is not asynchronous" in refused(plane, Body=b"x")
    assert "its status is Creating" in refused(plane, Body=b"x", EndpointName="later")
    assert "Endpoint EP of account 000000000000 not found" in refused(plane, Body=b"x", EndpointName="EP")


def test_asynchronous_endpoints_take_no_other_requests(plane: AsyncPlane) -> None:
    plane.serve_async()
    with pytest.raises(ClientError, match="Use InvokeEndpointAsync") as caught:
        plane.client.invoke_endpoint(EndpointName="ep", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Use InvokeEndpointAsync"):
        plane.client.invoke_endpoint_with_response_stream(EndpointName="ep", Body=b"x")


def test_a_disk_that_takes_nothing_accepts_nothing(
    plane: AsyncPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a full disk
    endpoint = plane.serve_async()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sandbox.async_queue.journal._write_all", full)

    # WHEN a request comes
    with pytest.raises(ClientError, match="No space left on device") as caught:
        plane.submit(b"x")

    # THEN it is not accepted, and the next one is as soon as there is room
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert plane.queues.backlog(endpoint) == 0
    monkeypatch.undo()
    plane.submit(b"x", InferenceId="later")
    assert [each["inferenceId"] for each in plane.endings(1)] == ["later"]
