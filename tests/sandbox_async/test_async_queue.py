"""How the queue hands requests to instances: order, concurrency, model servers that die, large bodies."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.async_queue import queue
from tests.sandbox_async.containers import Gate
from tests.sandbox_async.plane import AsyncPlane
from tests.sandbox_runtime.fakes import Close, Request, Reset, http


@pytest.mark.parametrize(("concurrency", "count"), [(1, 1), (3, 2)])
def test_an_instance_works_on_so_many_requests_at_a_time(
    plane: AsyncPlane, concurrency: int, count: int
) -> None:
    # GIVEN instances that take their time
    gate = Gate()
    endpoint = plane.serve_async(gate, count=count, concurrency=concurrency)

    # WHEN more requests come than they may have
    for number in range(3 * concurrency * count):
        plane.submit(b"x", InferenceId=f"r{number}")
    plane.until(lambda: sum(gate.now.values()) == concurrency * count)

    # THEN each instance has as many as it may, alike, and the others wait
    assert set(gate.now.values()) == {concurrency}
    assert plane.queues.backlog(endpoint) == 3 * concurrency * count
    gate.open = True
    plane.endings(3 * concurrency * count)
    assert set(gate.most.values()) == {concurrency}


def test_without_a_limit_an_instance_gets_what_its_workers_can_do(plane: AsyncPlane) -> None:
    # GIVEN a model server with two workers, and no MaxConcurrentInvocationsPerInstance
    gate = Gate()
    environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    plane.model("model", answerer=gate, PrimaryContainer={"Image": "image", "Environment": environment})
    plane.create(plane.async_config())

    # WHEN five requests come
    for _ in range(5):
        plane.submit(b"x")
    plane.until(lambda: sum(gate.now.values()) == 2)

    # THEN it has two at a time
    gate.open = True
    plane.endings(5)
    assert set(gate.most.values()) == {2}


def test_the_oldest_request_comes_first(plane: AsyncPlane) -> None:
    gate = Gate()
    gate.open = True
    endpoint = plane.serve_async(gate)
    plane.scale(endpoint, 0)
    for number in range(8):
        plane.submit(b"%d" % number, InferenceId=f"r{number}")
    plane.scale(endpoint, 1)
    plane.endings(8)
    assert gate.bodies == [b"%d" % number for number in range(8)]
    assert plane.ids() == [f"r{number}" for number in range(8)]


@pytest.mark.parametrize("death", [Close, Reset])
def test_a_request_whose_model_server_dies_is_worked_on_again(
    plane: AsyncPlane, death: type[Exception]
) -> None:
    # GIVEN a model server that goes away at the first two requests, with nothing or half of an answer said
    attempts: list[bytes] = []

    async def dies(request: Request) -> bytes:
        attempts.append(request.body)
        if len(attempts) <= 2:
            raise death
        return http(request.body.upper(), content_type="text/plain")

    plane.serve_async(dies, concurrency=1)

    # WHEN two requests come
    plane.submit(b"a", InferenceId="a")
    plane.submit(b"b", InferenceId="b")

    # THEN the first one is tried again before the second gets its turn, and both have one ending
    plane.endings(2)
    assert attempts == [b"a", b"a", b"a", b"b"]
    assert plane.ids() == ["a", "b"]
    assert plane.completed() == [True, True]


def test_files_of_one_attempt_are_not_those_of_the_next(
    plane: AsyncPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a disk on which removing takes its time, and a model server that dies at the first attempt
    remove = shutil.rmtree

    def slowly(path: Path, **options: Any) -> None:
        time.sleep(0.05)
        remove(path, **options)

    monkeypatch.setattr("sandbox.async_queue.work.shutil.rmtree", slowly)
    attempts = 0

    async def dies(request: Request) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Close
        await asyncio.sleep(0.1)
        return http(request.body.upper(), content_type="text/plain")

    plane.serve_async(dies)

    # WHEN the second attempt follows at once
    answer = plane.submit(InputLocation=plane.upload(b"film"))

    # THEN it is not disturbed
    assert plane.endings(1)[0]["invocationStatus"] == "Completed"
    assert plane.cloud.read(answer["OutputLocation"]) == b"FILM"


def test_half_an_answer_is_no_answer(plane: AsyncPlane) -> None:
    # GIVEN a model server that dies in the midst of its first answer
    attempts = 0

    async def dies(request: Request) -> bytes:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            return b"HTTP/1.1 200 X\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf"
        return http(b"whole", content_type="text/plain")

    endpoint = plane.serve_async(dies)
    server = endpoint.variants["AllTraffic"].fleet.instances[0].containers[0]

    # WHEN a request is worked on
    answer = plane.submit(b"x")
    plane.until(lambda: attempts == 1)
    plane.call(lambda: [writer.transport.abort() for writer in server._writers])

    # THEN only the whole answer is its output
    plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == b"whole"


def test_a_request_that_takes_every_model_server_with_it_fails_at_last(plane: AsyncPlane) -> None:
    # GIVEN a model server that dies of one request and serves the others
    deaths = 0

    async def dies(request: Request) -> bytes:
        nonlocal deaths
        if request.body == b"poison":
            deaths += 1
            raise Close
        return http(b"fine", content_type="text/plain")

    plane.serve_async(dies)

    # WHEN it comes with others
    plane.submit(b"poison", InferenceId="poison")
    plane.submit(b"x", InferenceId="other")

    # THEN it fails after some attempts, and the others complete
    endings = {message["inferenceId"]: message for message in plane.endings(2)}
    assert deaths == queue.MAX_LOSSES
    assert "server error (0) from model" in endings["poison"]["failureReason"]
    assert endings["other"]["invocationStatus"] == "Completed"


def test_containers_in_a_row_feed_each_other(plane: AsyncPlane) -> None:
    # GIVEN a model of two containers in a row
    async def first(request: Request) -> bytes:
        assert request.headers["content-type"] == "text/csv"
        assert "accept" not in request.headers
        return http(request.body + b" first", content_type="application/json")

    async def second(request: Request) -> bytes:
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept"] == "text/plain"
        return http(request.body + b" second", content_type="text/plain")

    hostnames = ("one", "two")
    containers = [{"Image": "image", "ContainerHostname": name} for name in hostnames]
    plane.model("model", Containers=containers, answerers=dict(zip(hostnames, (first, second), strict=True)))
    plane.create(plane.async_config())

    # WHEN a request goes through
    answer = plane.submit(b"begin", ContentType="text/csv", Accept="text/plain")

    # THEN the second has worked on what the first has answered
    plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == b"begin first second"


def test_a_large_body_goes_through_in_pieces(plane: AsyncPlane) -> None:
    # GIVEN an input larger than what is read or sent at a time, with a length that is no multiple of it
    body = bytes(range(256)) * 20_001
    plane.serve_async(_mirrored)

    # WHEN it is worked on
    answer = plane.submit(InputLocation=plane.upload(body))

    # THEN not a byte is changed on the way
    plane.endings(1)
    assert plane.cloud.read(answer["OutputLocation"]) == body[::-1]


async def _mirrored(request: Request) -> bytes:
    return http(request.body[::-1], content_type="application/octet-stream")


def test_a_model_server_that_refuses_a_large_body_early_is_heard(plane: AsyncPlane) -> None:
    # GIVEN a server that answers 413 on sight of the head and reads no further
    async def refuses(request: Request) -> bytes:
        raise AssertionError("it has read the body")

    told = asyncio.Event()
    endpoint = plane.serve_async(refuses)
    instance = endpoint.variants["AllTraffic"].fleet.instances[0]

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"too large", 413, content_type="text/plain"))
        await writer.drain()
        await told.wait()
        writer.close()

    async def replace() -> asyncio.Server:
        server = await asyncio.start_server(early, "127.0.0.1", 0)
        instance.containers[0].port = server.sockets[0].getsockname()[1]
        return server

    server = plane.run(replace())

    # WHEN a large input is sent to it
    plane.submit(InputLocation=plane.upload(b"x" * 8_000_000))

    # THEN its refusal is the ending
    (message,) = plane.endings(1)
    assert "client error (413)" in message["failureReason"]

    async def close() -> None:
        told.set()
        server.close()
        await server.wait_closed()

    plane.run(close())
