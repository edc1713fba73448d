"""Connections to containers: kept, refused, reset, closed, and answers cut short."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_runtime.fakes import Close, Plane, Request, Reset, echo, http


def test_a_container_that_refuses_connections_is_reported_and_another_asked(plane: Plane) -> None:
    # GIVEN two instances, one of whose processes is gone
    plane.serve(count=2)
    fleet = plane.fleets.made[0]
    dead = fleet.instances[0]
    plane.run(dead.containers[0].stop())
    # WHEN requests come THEN none fails, and the fleet is told
    for _ in range(6):
        assert plane.invoke()["Body"].read() == b"HELLO"
    assert set(fleet.reported) == {dead}


def test_a_connection_reset_before_the_request_was_read_is_tried_again(plane: Plane) -> None:
    attempts = []

    async def answer(request: Request) -> bytes:
        attempts.append(request)
        if len(attempts) == 1:
            raise Reset
        return http(b"second")

    plane.serve(answer)
    assert plane.invoke()["Body"].read() == b"second"
    assert plane.metrics.values("Invocations", EndpointName="ep", VariantName="AllTraffic") == [1]


def test_a_request_that_may_have_been_handled_is_not_sent_again(plane: Plane) -> None:
    # GIVEN a container that reads the request and goes away
    attempts = []

    async def answer(request: Request) -> bytes:
        attempts.append(request)
        raise Close

    plane.serve(answer, count=2)
    # WHEN it is invoked THEN that one invocation fails, and no other instance sees it
    with pytest.raises(plane.client.exceptions.ModelError, match="closed the connection") as caught:
        plane.invoke()
    assert caught.value.response["OriginalStatusCode"] == 0
    assert len(attempts) == 1
    assert plane.metrics.values("InvocationModelErrors", EndpointName="ep", VariantName="AllTraffic") == [1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-",
    ],
)
def test_half_an_answer_is_a_model_error(plane: Plane, answer: bytes) -> None:
    async def half(request: Request) -> Any:
        yield answer
        raise Close

    plane.serve(half)
    with pytest.raises(plane.client.exceptions.ModelError, match="closed the connection"):
        plane.invoke()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nall of it",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"4\r\nall \r\n5\r\nof it\r\n0\r\n\r\n",
    ],
)
def test_answers_of_old_servers(plane: Plane, answer: bytes) -> None:
    async def old(request: Request) -> Any:
        yield answer
        raise Close

    plane.serve(old)
    for _ in range(3):
        assert plane.invoke()["Body"].read() == b"all of it"


def test_connections_to_containers_are_kept(plane: Plane) -> None:
    sources = set()

    async def answer(request: Request) -> bytes:
        sources.update(writer.get_extra_info("peername") for writer in request.server._writers)
        return await echo(request)

    plane.serve(answer)
    for _ in range(10):
        plane.invoke()
    assert len(sources) == 1
