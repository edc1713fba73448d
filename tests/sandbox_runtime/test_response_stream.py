"""InvokeEndpointWithResponseStream: framing as botocore reads it, pieces as the model sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError
from hypothesis import given
from hypothesis import strategies as st

from sandbox.runtime.event_stream import encode, payload_part, stream_exception
from tests.sandbox_runtime.fakes import Close, Plane, Request, http

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonlines\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

names = st.text(min_size=1, max_size=40).filter(lambda name: len(name.encode()) <= 255)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(plane: Plane, **params: Any) -> Any:
    params = {"EndpointName": "ep", "Body": b"go", "ContentType": "application/json", **params}
    return plane.client.invoke_endpoint_with_response_stream(**params)


@given(headers=st.dictionaries(names, st.text(max_size=300), max_size=5), payload=st.binary(max_size=5000))
def test_botocore_reads_what_we_write(headers: dict[str, str], payload: bytes) -> None:
    # GIVEN any message WHEN botocore's decoder reads it, which checks both CRCs THEN it is the same message
    buffer = EventStreamBuffer()
    buffer.add_data(encode(headers, payload))
    (message,) = buffer
    assert message.headers == headers
    assert message.payload == payload


@given(parts=st.lists(st.binary(min_size=1, max_size=300), max_size=8), cut=st.integers(1, 50))
def test_messages_follow_each_other(parts: list[bytes], cut: int) -> None:
    data = b"".join(map(payload_part, parts)) + stream_exception("ModelStreamError", "뭔가", "StreamBroken")
    buffer = EventStreamBuffer()
    found = []
    for start in range(0, len(data), cut):
        buffer.add_data(data[start : start + cut])
        found += list(buffer)
    assert [message.payload for message in found[:-1]] == parts
    assert found[-1].headers[":exception-type"] == "ModelStreamError"


@pytest.mark.parametrize("headers", [{"n" * 256: "v"}, {"": "v"}, {"n": "v" * 65536}])
def test_headers_that_do_not_fit(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="empty or too long"):
        encode(headers, b"")


def test_pieces_arrive_as_the_model_sends_them(plane: Plane) -> None:
    # GIVEN a model that sends its second piece only after the client has read the first
    go_on = asyncio.Event()

    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD + chunk(b'{"token": 1}\n')
        await go_on.wait()
        yield chunk(b'{"token": 2}\n') + END

    plane.serve(answer)
    # WHEN it is streamed
    response = stream(plane, Accept="application/jsonlines", InferenceId="id-1")
    events = iter(response["Body"])
    first = next(events)
    plane.loop.call_soon_threadsafe(go_on.set)
    rest = list(events)
    # THEN each piece is an event of its own
    assert [event["PayloadPart"]["Bytes"] for event in (first, *rest)] == [
        b'{"token": 1}\n',
        b'{"token": 2}\n',
    ]
    assert response["ContentType"] == "application/jsonlines"
    assert response["InvokedProductionVariant"] == "AllTraffic"
    headers = plane.fleets.made[0].instances[0].containers[0].requests[0].headers
    assert headers["accept"] == "application/jsonlines"
    assert "x-amzn-sagemaker-accept" not in headers
    plane.until(
        lambda: len(plane.metrics.values("Invocations", EndpointName="ep", VariantName="AllTraffic")) == 1
    )
    assert plane.metrics.values("InvocationModelErrors", EndpointName="ep", VariantName="AllTraffic") == [0]


def test_a_large_stream_comes_whole(plane: Plane) -> None:
    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD
        for number in range(200):
            yield chunk(bytes([number]) * 20_000)
        yield END

    plane.serve(answer)
    data = b"".join(event["PayloadPart"]["Bytes"] for event in stream(plane)["Body"])
    assert data == b"".join(bytes([number]) * 20_000 for number in range(200))


def test_an_error_before_the_stream_is_a_model_error(plane: Plane) -> None:
    async def answer(request: Request) -> bytes:
        return http(b"no such thing", 422)

    plane.serve(answer)
    with pytest.raises(plane.client.exceptions.ModelError) as caught:
        stream(plane)
    assert caught.value.response["OriginalStatusCode"] == 422
    assert caught.value.response["OriginalMessage"] == "no such thing"
    assert plane.metrics.values("Invocation4XXErrors", EndpointName="ep", VariantName="AllTraffic") == [1]


def test_a_stream_that_breaks_tells_so(plane: Plane) -> None:
    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD + chunk(b"first")
        raise Close

    plane.serve(answer)
    with closing(stream(plane)["Body"]) as body:
        events = iter(body)
        assert next(events) == {"PayloadPart": {"Bytes": b"first"}}
        with pytest.raises(EventStreamError, match=r"ModelStreamError.*closed the connection"):
            next(events)
    plane.until(lambda: plane.logs.lines != [])
    assert plane.metrics.values("Invocation5XXErrors", EndpointName="ep", VariantName="AllTraffic") == [1]


def test_a_stream_that_takes_too_long(make_plane: Any) -> None:
    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD + chunk(b"first")
        await asyncio.sleep(20)

    plane = make_plane(stream_seconds=0.3)
    plane.serve(answer)
    with closing(stream(plane)["Body"]) as body:
        events = iter(body)
        next(events)
        with pytest.raises(EventStreamError, match="timed out"):
            next(events)
    assert plane.fleets.made[0].instances[0].in_flight == 0


def test_a_client_that_goes_away_ends_the_model_s_work(plane: Plane) -> None:
    # GIVEN a model that never ends
    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD
        while True:
            yield chunk(b"x" * 10_000)
            await asyncio.sleep(0.001)

    plane.serve(answer)
    response = stream(plane)
    next(iter(response["Body"]))
    response["Body"].close()
    # THEN its instance is free again, and the container's connection closed
    instance = plane.fleets.made[0].instances[0]
    plane.until(lambda: instance.in_flight == 0 and not instance.containers[0]._writers)


def test_refusals_are_plain_errors(plane: Plane) -> None:
    plane.serve()
    with pytest.raises(plane.client.exceptions.ValidationError, match="not found"):
        stream(plane, EndpointName="nope")
    with pytest.raises(plane.client.exceptions.ValidationError, match="sessionId"):
        stream(plane, SessionId="NEW_SESSION")


def test_a_directly_invoked_container_streams_and_is_measured(plane: Plane) -> None:
    # GIVEN a model of two containers that are named by each request
    async def answer(request: Request) -> AsyncIterator[bytes]:
        yield HEAD + chunk(request.server.hostname.encode()) + END

    plane.serve(
        Containers=[{"ContainerHostname": "one"}, {"ContainerHostname": "two"}],
        InferenceExecutionConfig={"Mode": "Direct"},
        answerers={"one": answer, "two": answer},
    )
    # WHEN one is streamed THEN it alone answers, and has the metrics
    events = stream(plane, TargetContainerHostname="two")["Body"]
    assert [event["PayloadPart"]["Bytes"] for event in events] == [b"two"]

    def measured(name: str) -> list[float]:
        dimensions = {"EndpointName": "ep", "VariantName": "AllTraffic", "ContainerName": name}
        return plane.metrics.values("Invocations", **dimensions)

    plane.until(lambda: measured("two") == [1])
    assert measured("one") == []
    for wrong, found in (
        ({}, "header is required"),
        ({"TargetContainerHostname": "three"}, "three not found"),
    ):
        with pytest.raises(plane.client.exceptions.ValidationError, match=found):
            stream(plane, **wrong)
