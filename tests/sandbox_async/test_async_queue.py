"""The queue between acceptance and ending: order, concurrency, instances that come, go and die, crashes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from sandbox.async_queue import notices, queue
from tests.sandbox_async.cloud import refusal
from tests.sandbox_async.plane import AsyncPlane
from tests.sandbox_runtime.fakes import Close, Request, Reset, http, variant


class Gate:
    """A container that answers when it is let, and counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.open = False
        self.now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.bodies: list[bytes] = []

    async def __call__(self, request: Request) -> bytes:
        port = request.server.port
        self.now[port] += 1
        self.most[port] = max(self.most[port], self.now[port])
        self.bodies.append(request.body)
        while not self.open:
            await asyncio.sleep(0.005)
        self.now[port] -= 1
        return http(request.body.upper(), content_type="text/plain")


def ids(plane: AsyncPlane) -> list[str]:
    return [message["inferenceId"] for message in plane.cloud.results()]


def completed(plane: AsyncPlane) -> list[bool]:
    return [message["invocationStatus"] == "Completed" for message in plane.cloud.results()]


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
    assert ids(plane) == [f"r{number}" for number in range(8)]


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
    assert ids(plane) == ["a", "b"]
    assert completed(plane) == [True, True]


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


def test_requests_wait_while_there_is_no_instance(plane: AsyncPlane) -> None:
    # GIVEN an endpoint at zero instances
    endpoint = plane.serve_async()
    plane.scale(endpoint, 0)
    assert endpoint.variants["AllTraffic"].fleet.in_service() == []

    # WHEN requests come
    answers = [plane.submit(b"x", InferenceId=f"r{number}") for number in range(4)]

    # THEN they are accepted and wait, until there is one
    assert {answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers} == {202}
    assert plane.queues.backlog(endpoint) == 4
    plane.scale(endpoint, 2)
    plane.endings(4)
    assert completed(plane) == [True] * 4


def test_the_queue_survives_a_restart_of_the_fleet_and_an_update_of_the_endpoint(plane: AsyncPlane) -> None:
    # GIVEN requests that wait for and are in work at an endpoint
    gate = Gate()
    endpoint = plane.serve_async(gate, concurrency=2)
    for number in range(6):
        plane.submit(b"x", InferenceId=f"r{number}")
    plane.until(lambda: sum(gate.now.values()) == 2)

    # WHEN the whole fleet dies, and the endpoint is then updated to another model
    fleet = endpoint.variants["AllTraffic"].fleet
    plane.run(fleet.stop(drain=False))
    plane.model("other", answerer=_says_other, PrimaryContainer={"Image": "image"})
    config = plane.async_config("next")
    config.request["ProductionVariants"][0]["ModelName"] = "other"
    plane.update(endpoint, config)

    # THEN the new fleet ends all of them, each once
    assert endpoint.config_name == "next"
    plane.endings(6)
    plane.quiet(endpoint)
    assert sorted(ids(plane)) == [f"r{number}" for number in range(6)]
    assert {plane.cloud.read(f"s3://data/output/r{number}.out") for number in range(6)} == {b"other"}


async def _says_other(request: Request) -> bytes:
    return http(b"other", content_type="text/plain")


def test_a_canary_gets_requests_of_the_queue_and_the_rest_follows(plane: AsyncPlane) -> None:
    # GIVEN an endpoint of two instances that is being updated by a canary, with a bake of 3 real seconds
    old, new = Gate(), Gate()
    endpoint = plane.serve_async(old, count=2, concurrency=1)
    plane.model("other", answerer=new, PrimaryContainer={"Image": "image"})
    config = plane.async_config("next", count=2, concurrency=1)
    config.request["ProductionVariants"][0]["ModelName"] = "other"
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": 180, "CanarySize": size}
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    plane.update(endpoint, config, policy, wait=False)
    plane.until(lambda: endpoint.pending is not None and endpoint.pending.green_shares == {"AllTraffic": 0.5})

    # WHEN as many requests come as both fleets can work on
    for number in range(4):
        plane.submit(b"x", InferenceId=f"during{number}")

    # THEN both work on them, the new one alone on those that come afterwards, and each has one ending
    plane.until(lambda: sum(old.now.values()) == sum(new.now.values()) == 2)
    old.open = new.open = True
    plane.settle(endpoint)
    for number in range(5):
        plane.submit(b"x", InferenceId=f"after{number}")
    plane.endings(9)
    assert (len(old.bodies), len(new.bodies)) == (2, 7)
    assert completed(plane) == [True] * 9


def test_an_endpoint_at_zero_instances_can_be_updated(plane: AsyncPlane) -> None:
    # GIVEN an endpoint at zero instances that keeps its count, with a request waiting
    endpoint = plane.serve_async(count=3)
    plane.scale(endpoint, 0)
    plane.submit(b"x", InferenceId="one")
    size = {"Type": "CAPACITY_PERCENT", "Value": 33}
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 1, "LinearStepSize": size}
    guarded = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 1}}

    # WHEN it is updated, by steps and by batches
    for number, policy in enumerate((guarded, rolling, None)):
        plane.update(endpoint, plane.async_config(f"next{number}", count=3), policy, retain_all=True)
        assert endpoint.config_name == f"next{number}"

    # THEN it is still at zero, and the request waits for an instance
    assert endpoint.variants["AllTraffic"].fleet.in_service() == []
    assert plane.queues.backlog(endpoint) == 1
    plane.scale(endpoint, 1)
    assert plane.endings(1)[0]["inferenceId"] == "one"


def test_a_variant_of_weight_zero_gets_no_requests(plane: AsyncPlane) -> None:
    plane.model("model", PrimaryContainer={"Image": "image"})
    plane.model("other", answerer=_says_other, PrimaryContainer={"Image": "image"})
    config = plane.async_config()
    config.request["ProductionVariants"].append(variant("idle", "other", weight=0.0))
    plane.create(config)
    answers = [plane.submit(b"x", InferenceId=f"r{number}") for number in range(12)]
    plane.endings(12)
    assert {plane.cloud.read(answer["OutputLocation"]) for answer in answers} == {b"X"}


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


def test_a_deleted_endpoint_ends_what_it_has_accepted(plane: AsyncPlane) -> None:
    # GIVEN an endpoint with one request in work and three that wait
    gate = Gate()
    endpoint = plane.serve_async(gate, concurrency=1)
    for number in range(4):
        plane.submit(b"x", InferenceId=f"r{number}")
    plane.until(lambda: sum(gate.now.values()) == 1)

    # WHEN it is deleted
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.endings(3)
    gate.open = True
    plane.until(lambda: plane.stores.of(endpoint.scope).endpoints == {})

    # THEN the one in work has completed, the others have failed, and nothing is left on disk
    endings = {message["inferenceId"]: message for message in plane.endings(4)}
    assert endings["r0"]["invocationStatus"] == "Completed"
    for number in (1, 2, 3):
        assert endings[f"r{number}"]["failureReason"] == queue._DELETED
    assert len(plane.cloud.results()) == 4
    assert not [path for path in plane.folder.rglob("*") if path.is_file()]


def test_a_crash_loses_nothing_and_ends_nothing_twice(
    plane: AsyncPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN requests that have ended, that have ended without their notice, that are in work, and that wait
    gate = Gate()
    gate.open = True
    plane.serve_async(gate, concurrency=2)
    plane.submit(b"done", InferenceId="done")
    plane.endings(1)
    monkeypatch.setattr(notices, "FIRST_PAUSE", 30.0)

    def refuse(topic: str, message: object) -> None:
        raise refusal("InternalError", "Publish")

    plane.cloud.on_publish = refuse
    plane.submit(b"told", InferenceId="told")
    plane.until(lambda: len(plane.metric("NotificationFailures")) == 1)
    gate.open = False
    for name in ("work1", "work2", "wait1", "wait2"):
        plane.submit(name.encode(), InferenceId=name)
    plane.until(lambda: len(gate.bodies) == 4)

    # WHEN the process is killed, and the endpoint is there again
    plane.crash()
    gate.open = True
    plane.cloud.on_publish = lambda topic, message: None
    endpoint = plane.serve_async(gate, concurrency=2)

    # THEN each has exactly one ending, and what had its output before was not worked on again
    plane.endings(6)
    plane.quiet(endpoint)
    assert sorted(ids(plane)) == ["done", "told", "wait1", "wait2", "work1", "work2"]
    assert completed(plane) == [True] * 6
    assert Counter(gate.bodies) == {
        b"done": 1,
        b"told": 1,
        b"work1": 2,
        b"work2": 2,
        b"wait1": 1,
        b"wait2": 1,
    }

    # AND a request that comes then is none of those before
    plane.submit(b"new", InferenceId="new")
    plane.endings(7)
    assert ids(plane)[-1] == "new"


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
