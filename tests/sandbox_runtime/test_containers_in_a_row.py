"""Serial inference pipelines: what each container is told, what fails where, what is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sandbox_runtime.fakes import Answerer, Close, Plane, Request, http

STAGES = ("normalize", "classify", "render")


async def stage(request: Request) -> bytes:
    """Wraps what it gets in its own name and tells its own content type."""
    name = request.server.hostname
    return http(f"{name}({request.body.decode()})".encode(), content_type=f"text/x-{name}")


def serve(plane: Plane, **answerers: Answerer) -> Any:
    containers = [{"ContainerHostname": name} for name in STAGES]
    plane.serve(Containers=containers, answerers=dict.fromkeys(STAGES, stage) | answerers)
    return plane.fleets.made[0].instances[0].containers


def told(server: Any, header: str) -> list[str | None]:
    return [request.headers.get(header) for request in server.requests]


def measured(plane: Plane, metric: str) -> dict[str, list[float]]:
    dimensions = {"EndpointName": "ep", "VariantName": "AllTraffic"}
    return {name: plane.metrics.values(metric, **dimensions, ContainerName=name) for name in STAGES}


def test_each_container_gets_what_the_one_before_made(plane: Plane) -> None:
    servers = serve(plane)
    answer = plane.invoke(b"x", ContentType="text/plain", Accept="text/x-ko", CustomAttributes="trace=1")
    # THEN the answer is the last one's, and each was told what kind of body it got
    assert answer["Body"].read() == b"render(classify(normalize(x)))"
    assert answer["ContentType"] == "text/x-render"
    assert [told(each, "content-type") for each in servers] == [
        ["text/plain"],
        ["text/x-normalize"],
        ["text/x-classify"],
    ]
    # AND only the last one, whose answer goes to the caller, is told what the caller accepts
    assert [told(each, "accept") for each in servers] == [[None], [None], ["text/x-ko"]]
    assert [told(each, "x-amzn-sagemaker-custom-attributes") for each in servers] == [["trace=1"]] * 3


def test_custom_attributes_of_the_last_container_go_back(plane: Plane) -> None:
    async def tells(request: Request) -> bytes:
        name = request.server.hostname
        return http(b"x", **{"x_amzn_sagemaker_custom_attributes": f"from={name}"})

    serve(plane, classify=tells, render=tells)
    assert plane.invoke()["CustomAttributes"] == "from=render"


@pytest.mark.parametrize("content_type", ["garbage", "application/json; charset=utf-8; x=1", "*/*"])
def test_a_content_type_is_passed_on_as_it_is(plane: Plane, content_type: str) -> None:
    async def odd(request: Request) -> bytes:
        return http(b"x", content_type=content_type)

    servers = serve(plane, normalize=odd)
    plane.invoke()
    assert told(servers[1], "content-type") == [content_type]


def test_an_answer_without_content_type_is_octets(plane: Plane) -> None:
    async def silent(request: Request) -> bytes:
        return http(b"x")

    servers = serve(plane, normalize=silent)
    plane.invoke()
    assert told(servers[1], "content-type") == ["application/octet-stream"]


@pytest.mark.parametrize(
    ("status", "kind", "metric"),
    [(500, "server", "Invocation5XXErrors"), (415, "client", "Invocation4XXErrors")],
)
def test_a_failing_middle_stage_is_named_and_ends_the_chain(
    plane: Plane, status: int, kind: str, metric: str
) -> None:
    async def fails(request: Request) -> bytes:
        return http("분류할 수 없습니다".encode(), status)

    servers = serve(plane, classify=fails)
    # WHEN the middle container answers with an error
    with pytest.raises(plane.client.exceptions.ModelError) as caught:
        plane.invoke()
    # THEN the caller learns which one, its status and its words
    response = caught.value.response
    assert response["Error"]["Message"].startswith(
        f'Received {kind} error ({status}) from classify with message "분류할 수 없습니다". See https://'
    )
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == "분류할 수 없습니다"
    # AND the container behind it was not asked
    assert [len(each.requests) for each in servers] == [1, 1, 0]
    assert measured(plane, metric) == {"normalize": [0], "classify": [1], "render": []}
    assert measured(plane, "Invocations") == {"normalize": [1], "classify": [1], "render": []}
    assert plane.metrics.values(metric, EndpointName="ep", VariantName="AllTraffic") == [1]
    assert plane.logs.lines[-1][2].startswith("invocation failed: ModelError: Received")


def test_a_hanging_stage_is_named_when_the_time_of_the_whole_chain_is_over(make_plane: Any) -> None:
    async def slow(request: Request) -> bytes:
        await asyncio.sleep(0.3)
        return http(b"x")

    async def hangs(request: Request) -> bytes:
        await asyncio.sleep(30)
        return http(b"never")

    # GIVEN a limit that the first container alone keeps
    plane = make_plane(invocation_seconds=0.6)
    servers = serve(plane, normalize=slow, classify=slow, render=hangs)
    with pytest.raises(plane.client.exceptions.ModelError) as caught:
        plane.invoke()
    assert "timed out while waiting for a response from container " in str(caught.value)
    assert caught.value.response["OriginalStatusCode"] == 0
    named = str(caught.value).partition("response from container ")[2].partition(".")[0]
    # THEN the container is named that was working when the time was over
    busy = [each.hostname for each in servers if each.requests][-1]
    assert named == busy
    assert f"from {busy} with message" in str(caught.value)
    assert measured(plane, "Invocation5XXErrors")[busy] == [1]
    assert plane.fleets.made[0].instances[0].in_flight == 0


def test_a_stage_that_answers_too_much_is_named(make_plane: Any) -> None:
    async def large(request: Request) -> bytes:
        return http(b"x" * 2001)

    plane = make_plane(max_payload=2000)
    servers = serve(plane, normalize=large)
    with pytest.raises(plane.client.exceptions.ModelError, match=r"from normalize .*exceeds 2000 bytes"):
        plane.invoke()
    assert servers[1].requests == []


def test_a_stage_that_goes_away_fails_the_request_and_takes_no_other(plane: Plane) -> None:
    # GIVEN two instances; of one the last container's process is gone
    serve(plane)
    fleet = plane.fleets.made[0]
    plane.run(fleet.scale_to(2))
    broken, whole = fleet.instances
    plane.run(broken.containers[2].stop())
    fleet.report_failure = lambda instance: setattr(instance, "state", "Suspect")
    # WHEN requests come THEN one fails, because the containers before had worked on it, and names the last
    failures = []
    for _ in range(6):
        try:
            plane.invoke()
        except plane.client.exceptions.ModelError as error:
            failures.append(str(error))
    assert len(failures) == 1
    assert "from render with message" in failures[0]
    assert len(broken.containers[0].requests) == 1
    assert len(whole.containers[2].requests) == 5


def test_a_stage_that_closes_the_connection_is_named(plane: Plane) -> None:
    async def dies(request: Request) -> bytes:
        raise Close

    serve(plane, classify=dies)
    with pytest.raises(plane.client.exceptions.ModelError, match=r"from classify .*closed the connection"):
        plane.invoke()


def test_latency_is_told_for_each_container_and_for_all(plane: Plane) -> None:
    async def slow(request: Request) -> bytes:
        await asyncio.sleep(0.1)
        return http(b"x")

    serve(plane, normalize=slow, render=slow)
    plane.invoke()
    latency = {name: values[0] for name, values in measured(plane, "ContainerLatency").items()}
    (whole,) = plane.metrics.values("ModelLatency", EndpointName="ep", VariantName="AllTraffic")
    # clocks of two kinds: a sleep of 0.1 s may be measured as a little less
    assert latency["normalize"] >= 95_000
    assert latency["render"] >= 95_000
    # THEN ModelLatency is the total of all containers, in microseconds
    assert whole == pytest.approx(sum(latency.values()), abs=10)
    # AND no container is blamed for the time that others took
    overhead = measured(plane, "OverheadLatency")
    assert all(values[0] < 100_000 for values in overhead.values())


def test_the_last_container_streams(plane: Plane) -> None:
    # GIVEN a last container that sends its second piece only after the caller has read the first
    go_on = asyncio.Event()

    async def pieces(request: Request) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/x-pieces\r\ntransfer-encoding: chunked\r\n\r\n"
        yield b"%x\r\n%b\r\n" % (len(request.body), request.body)
        await go_on.wait()
        yield b"3\r\nend\r\n0\r\n\r\n"

    servers = serve(plane, render=pieces)
    response = plane.client.invoke_endpoint_with_response_stream(
        EndpointName="ep", Body=b"x", ContentType="text/plain", Accept="text/x-pieces"
    )
    events = iter(response["Body"])
    first = next(events)["PayloadPart"]["Bytes"]
    plane.loop.call_soon_threadsafe(go_on.set)
    rest = b"".join(event["PayloadPart"]["Bytes"] for event in events)
    # THEN it streams what the containers before it made of the request
    assert first + rest == b"classify(normalize(x))end"
    assert response["ContentType"] == "text/x-pieces"
    assert [told(each, "accept") for each in servers] == [[None], [None], ["text/x-pieces"]]
    plane.until(lambda: len(measured(plane, "Invocations")["render"]) == 1)
    assert measured(plane, "Invocations") == {name: [1] for name in STAGES}


def test_a_stage_that_fails_before_the_stream_is_a_plain_error(plane: Plane) -> None:
    async def fails(request: Request) -> bytes:
        return http(b"no", 500)

    serve(plane, normalize=fails)
    with pytest.raises(plane.client.exceptions.ModelError, match=r"\(500\) from normalize"):
        plane.client.invoke_endpoint_with_response_stream(EndpointName="ep", Body=b"x")


def test_a_pipeline_takes_no_target_container(plane: Plane) -> None:
    serve(plane)
    with pytest.raises(plane.client.exceptions.ValidationError, match="not a multi-container endpoint"):
        plane.invoke(TargetContainerHostname="classify")
