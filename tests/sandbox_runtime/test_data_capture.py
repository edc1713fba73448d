"""Data capture: the documented record, in the documented place, and never at the cost of serving."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import pytest

from sandbox import capture as capture_module
from sandbox.capture import Capture, Payload
from sandbox.store import Params
from tests.sandbox_runtime.fake_aws import FakeAws
from tests.sandbox_runtime.fakes import SCOPE, Plane, echo, variant

CONFIG: Params = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/some/prefix",
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}


def capture_one(
    request: Payload, response: Payload, inference_id: str | None = None, **changes: Any
) -> tuple[FakeAws, list[Params]]:
    aws = FakeAws()

    async def work() -> None:
        capture = Capture(aws, SCOPE, "ep", {**CONFIG, **changes}, interval=1000)
        capture.add("A", request, response, inference_id)
        await capture.close()

    asyncio.run(work())
    return aws, records(aws)


def records(aws: FakeAws) -> list[Params]:
    return [
        json.loads(line) for stored in aws.objects.values() for line in stored["Body"].decode().splitlines()
    ]


def test_the_documented_record_in_the_documented_place() -> None:
    csv, answer = (
        Payload("text/csv; charset=utf-8", "1,안녕".encode()),
        Payload("application/json", b'{"a": 1}'),
    )
    aws, (record,) = capture_one(csv, answer, "id-9")
    assert record["captureData"] == {
        "endpointInput": {
            "observedContentType": "text/csv; charset=utf-8",
            "mode": "INPUT",
            "data": "1,안녕",
            "encoding": "CSV",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": '{"a": 1}',
            "encoding": "JSON",
        },
    }
    assert record["eventVersion"] == "0"
    assert record["eventMetadata"]["inferenceId"] == "id-9"
    assert re.fullmatch(r"[0-9a-f-]{36}", record["eventMetadata"]["eventId"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["eventMetadata"]["inferenceTime"])
    (key,) = aws.objects
    pattern = r"some/prefix/ep/A/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
    assert re.fullmatch(pattern, key)
    assert aws.objects[key]["Bucket"] == "bucket"
    assert "SSEKMSKeyId" not in aws.objects[key]


@pytest.mark.parametrize(
    "payload", [Payload("image/png", b"\x89PNG"), Payload("text/csv", b"\xff\xfe"), Payload("", b"x")]
)
def test_everything_else_is_base64(payload: Payload) -> None:
    _, (record,) = capture_one(payload, payload)
    for side in record["captureData"].values():
        assert side["encoding"] == "BASE64"
        assert base64.b64decode(side["data"]) == payload.data
    assert "inferenceId" not in record["eventMetadata"]


@pytest.mark.parametrize(("mode", "sides"), [("Input", {"endpointInput"}), ("Output", {"endpointOutput"})])
def test_only_the_side_that_is_asked_for(mode: str, sides: set[str]) -> None:
    payload = Payload("text/csv", b"1")
    _, (record,) = capture_one(payload, payload, CaptureOptions=[{"CaptureMode": mode}])
    assert set(record["captureData"]) == sides


def test_encrypted_with_the_key_of_the_configuration() -> None:
    payload = Payload("text/csv", b"1")
    aws, _ = capture_one(payload, payload, KmsKeyId="key-1")
    (stored,) = aws.objects.values()
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", "key-1")


@pytest.mark.parametrize(("percentage", "expected"), [(0, 0), (25, 25), (100, 100)])
def test_sampling(percentage: int, expected: int) -> None:
    chances = iter(number / 100 for number in range(100))
    config = {**CONFIG, "InitialSamplingPercentage": percentage}
    capture = Capture(FakeAws(), SCOPE, "ep", config, sample=lambda: next(chances))
    assert sum(capture.sampled() for _ in range(100)) == expected


@pytest.mark.parametrize("config", [None, {}, {**CONFIG, "EnableCapture": False}])
def test_no_capture_where_none_is_asked_for(config: Params | None) -> None:
    assert Capture.of(FakeAws(), SCOPE, "ep", config) is None


def test_s3_out_of_reach_loses_records_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capture_module, "MAX_PENDING_BYTES", 100)
    aws = FakeAws()

    async def work() -> None:
        capture = Capture(aws, SCOPE, "ep", CONFIG, interval=1000)
        for _ in range(10):
            capture.add("A", Payload("text/csv", b"x" * 20), Payload("text/csv", b"y" * 20), None)
        aws.broken = ConnectionError("no bucket")
        await capture.close()
        aws.broken = None
        capture.add("A", Payload("text/csv", b"later"), Payload("text/csv", b""), None)
        await capture.close()

    asyncio.run(work())
    assert "8 records dropped" in caplog.text
    assert "2 records lost: no bucket" in caplog.text
    assert [record["captureData"]["endpointInput"]["data"] for record in records(aws)] == ["later"]


def test_written_by_itself_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "FLUSH_RECORDS", 10)
    aws = FakeAws()

    async def work() -> None:
        capture = Capture(aws, SCOPE, "ep", CONFIG, interval=0.02)
        for number in range(25):
            capture.add("A", Payload("text/csv", str(number).encode()), Payload("text/csv", b""), None)
        async with asyncio.timeout(10):
            while len(records(aws)) < 25:
                await asyncio.sleep(0.005)

    asyncio.run(work())
    captured = [int(record["captureData"]["endpointInput"]["data"]) for record in records(aws)]
    assert sorted(captured) == list(range(25))


def test_an_endpoint_captures_its_successes_and_flushes_when_it_is_deleted(plane: Plane) -> None:
    # GIVEN an endpoint with data capture
    plane.model("model", answerer=echo)
    endpoint = plane.create(plane.config("c", variant("A", "model"), DataCaptureConfig=CONFIG))
    assert endpoint.data_capture == CONFIG
    # WHEN it is invoked, once in vain, and deleted
    plane.invoke(b"a,b", ContentType="text/csv", InferenceId="one")
    with pytest.raises(plane.client.exceptions.ValidationError):
        plane.invoke(TargetVariant="none")
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.until(lambda: not plane.stores.of(SCOPE).endpoints)
    # THEN what was answered is in S3
    (record,) = records(plane.aws)
    assert record["captureData"]["endpointOutput"]["data"] == "A,B"
    assert record["eventMetadata"]["inferenceId"] == "one"
