"""Shadow variants: copies of requests, of which the caller notices nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.runtime import shadow as shadow_module
from sandbox.store import Endpoint, Params
from tests.sandbox_runtime.fakes import Answerer, Close, FakeFleet, Load, Plane, Request, http, says, variant

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
}


async def hangs(request: Request) -> bytes:
    await asyncio.sleep(600)
    return http(b"never")


async def crashes(request: Request) -> bytes:
    raise Close


async def fails(request: Request) -> bytes:
    return http(b"no", 500)


def config(plane: Plane, name: str, *, weight: float = 1.0, **request: Any) -> Any:
    shadow = variant("shadow", "candidate", weight=weight)
    return plane.config(
        name, variant("primary", "champion", weight=1.0), ShadowProductionVariants=[shadow], **request
    )


def serve(plane: Plane, shadow: Answerer, **options: Any) -> Endpoint:
    plane.model("champion", answerer=says("champion"))
    plane.model("candidate", answerer=shadow)
    return plane.create(config(plane, "config", **options))


def fleet(plane: Plane, name: str) -> FakeFleet:
    return next(each for each in reversed(plane.fleets.made) if each.variant_name == name)


def copies(plane: Plane) -> list[Request]:
    return [
        request
        for each in fleet(plane, "shadow").instances
        for server in each.containers
        for request in server.requests
    ]


def values(plane: Plane, metric: str, name: str) -> list[float]:
    return plane.metrics.values(metric, EndpointName="ep", VariantName=name)


def test_a_shadow_gets_what_production_gets(plane: Plane) -> None:
    serve(plane, says("candidate"))
    # WHEN the endpoint is invoked THEN production answers
    answer = plane.invoke(b"review", ContentType="text/x", CustomAttributes="a=1", InferenceId="id-7")
    assert answer["Body"].read() == b"champion"
    assert answer["InvokedProductionVariant"] == "primary"
    # AND the shadow got the same request
    plane.until(lambda: len(copies(plane)) == 1)
    (copy,) = copies(plane)
    (original,) = fleet(plane, "primary").instances[0].containers[0].requests
    assert copy.body == original.body == b"review"
    assert {**copy.headers, "host": ""} == {**original.headers, "host": ""}
    # AND each has metrics under its own name
    plane.until(lambda: values(plane, "Invocations", "shadow") == [1])
    assert values(plane, "Invocations", "primary") == [1]
    assert values(plane, "Invocation5XXErrors", "shadow") == [0]
    assert len(values(plane, "ModelLatency", "shadow")) == 1


@pytest.mark.parametrize("shadow", [hangs, crashes, fails])
def test_a_bad_shadow_is_not_the_caller_s_affair(plane: Plane, shadow: Answerer) -> None:
    # GIVEN a shadow that never answers, dies or fails
    serve(plane, shadow)
    # WHEN many requests come THEN every one of them has production's answer
    with Load(plane) as load:
        plane.until(lambda: len(load.answers) >= 200)
    assert load.errors == []
    assert set(load.answers) == {b"champion"}
    assert set(values(plane, "Invocation5XXErrors", "primary")) == {0}
    if shadow is not hangs:
        assert set(values(plane, "Invocation5XXErrors", "shadow")) == {1}


def test_a_shadow_s_error_is_in_its_log_stream_and_its_metrics(plane: Plane) -> None:
    serve(plane, fails)
    plane.invoke()
    plane.until(lambda: plane.logs.lines != [])
    ((group, stream, line),) = plane.logs.lines
    assert group == "/aws/sagemaker/Endpoints/ep"
    assert stream.startswith("shadow/i-")
    assert "Received server error (500)" in line
    assert values(plane, "Invocation5XXErrors", "shadow") == [1]
    assert values(plane, "InvocationModelErrors", "primary") == [0]


def test_a_shadow_without_instances_holds_nobody_up(plane: Plane) -> None:
    serve(plane, says("candidate"))
    instance = fleet(plane, "shadow").instances[0]
    instance.state = "Suspect"
    assert [plane.invoke()["Body"].read() for _ in range(3)] == [b"champion"] * 3
    # WHEN an instance is there again THEN the copies that waited for it go on
    instance.state = "InService"
    plane.until(lambda: len(copies(plane)) == 3)


@pytest.mark.parametrize(("weight", "share"), [(0.25, 0.25), (0.0, 0.0), (3.0, 1.0)])
def test_the_sample_is_the_shadow_s_weight_over_production_s(
    make_plane: Any, weight: float, share: float
) -> None:
    plane = make_plane(chance=random.Random(11).random)
    serve(plane, says("candidate"), weight=weight)
    for _ in range(200):
        plane.invoke()
    error = (share * (1 - share) / 200) ** 0.5
    plane.until(lambda: abs(len(copies(plane)) / 200 - share) <= 3 * error)


def test_copies_beyond_the_limit_are_dropped_and_counted(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "MAX_COPIES", 5)
    monkeypatch.setattr(shadow_module, "TELL_AFTER_SECONDS", 0.05)
    # GIVEN a shadow that holds every copy
    serve(plane, hangs)
    # WHEN more requests come than copies may wait THEN all are answered, and the log tells how many it missed
    for _ in range(12):
        plane.invoke()
    plane.until(lambda: sum(int(line.split()[0]) for _, _, line in plane.logs.lines) == 7)
    assert {stream for _, stream, _ in plane.logs.lines} == {"shadow"}
    assert "requests were not copied to shadow variant shadow" in plane.logs.lines[0][2]
    assert len(copies(plane)) == 5


def test_large_copies_are_bounded_by_their_bytes(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "MAX_COPIED_BYTES", 10_000)
    serve(plane, hangs)
    for _ in range(4):
        plane.invoke(b"x" * 4000)
    plane.until(lambda: len(copies(plane)) == 2)


def test_a_shadow_s_copy_ends_at_the_invocation_s_time_limit(make_plane: Any) -> None:
    plane = make_plane(invocation_seconds=0.3)
    serve(plane, hangs)
    plane.invoke()
    plane.until(lambda: values(plane, "Invocation5XXErrors", "shadow") == [1])
    assert fleet(plane, "shadow").instances[0].in_flight == 0


def test_streamed_requests_are_copied_too(plane: Plane) -> None:
    async def pieces(request: Request) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"

    plane.model("champion", answerer=pieces)
    plane.model("candidate", answerer=pieces)
    plane.create(config(plane, "config"))
    answer = plane.client.invoke_endpoint_with_response_stream(EndpointName="ep", Body=b"x")
    assert [event["PayloadPart"]["Bytes"] for event in answer["Body"]] == [b"a"]
    plane.until(lambda: values(plane, "InvocationModelErrors", "shadow") == [0])


def test_refused_requests_are_not_copied(plane: Plane) -> None:
    serve(plane, says("candidate"))
    for target in ({"TargetVariant": "shadow"}, {"TargetContainerHostname": "x"}):
        with pytest.raises(plane.client.exceptions.ValidationError):
            plane.invoke(**target)
    plane.invoke()
    plane.until(lambda: len(copies(plane)) == 1)


def test_data_capture_keeps_both_answers(plane: Plane) -> None:
    # GIVEN data capture WHEN the endpoint is invoked and then deleted
    endpoint = serve(plane, says("candidate"), DataCaptureConfig=CAPTURE)
    plane.invoke(b"review")
    plane.until(lambda: values(plane, "Invocations", "shadow") == [1])
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.until(lambda: len(plane.aws.objects) == 2)
    # THEN what either variant made of the request is in S3 under its own name
    found = {key.split("/")[2]: _output(params) for key, params in plane.aws.objects.items()}
    assert found == {"primary": "champion", "shadow": "candidate"}


def test_an_update_brings_a_new_shadow_and_ends_the_old_one(plane: Plane) -> None:
    endpoint = serve(plane, says("candidate"))
    old = fleet(plane, "shadow")
    plane.update(endpoint, config(plane, "next"))
    assert old.stopped
    assert list(endpoint.shadow_variants) == ["shadow"]
    plane.invoke()
    plane.until(lambda: len(copies(plane)) == 1)
    assert old is not fleet(plane, "shadow")
    # AND an update without shadow ends it
    plane.update(endpoint, plane.config("plain", variant("primary", "champion")))
    assert fleet(plane, "shadow").stopped
    assert endpoint.shadow_variants == {}
    plane.invoke()


def test_an_update_whose_shadow_does_not_start_is_rolled_back(plane: Plane) -> None:
    endpoint = serve(plane, says("candidate"))
    serving = fleet(plane, "shadow")
    plane.model("candidate", fails="The shadow container did not pass the ping health check.")
    plane.update(endpoint, config(plane, "next"))
    assert endpoint.config_name == "config"
    assert "ping health check" in (endpoint.failure_reason or "")
    assert not serving.stopped
    plane.invoke()
    plane.until(lambda: len([each for each in serving.instances[0].containers[0].requests]) == 1)


def test_a_shadow_is_scaled_like_other_variants(plane: Plane) -> None:
    endpoint = serve(plane, says("candidate"))
    desired = [{"VariantName": "shadow", "DesiredInstanceCount": 2, "DesiredWeight": 0.0}]
    plane.call(lambda: plane.deployments.update_weights_and_capacities(endpoint, desired))
    plane.settle(endpoint)
    assert len(fleet(plane, "shadow").instances) == 2
    plane.invoke()
    assert copies(plane) == []
    # AND RetainAllVariantProperties keeps it so
    plane.update(endpoint, config(plane, "next"), retain_all=True)
    assert len(fleet(plane, "shadow").instances) == 2
    assert endpoint.shadow_variants["shadow"].weight == 0.0


def test_a_deleted_endpoint_leaves_no_shadow(plane: Plane) -> None:
    endpoint = serve(plane, hangs)
    plane.invoke()
    plane.until(lambda: len(copies(plane)) == 1)
    plane.run(_stop_containers(fleet(plane, "shadow")))
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.until(lambda: all(each.stopped and not each.instances for each in plane.fleets.made))


async def _stop_containers(shadow: FakeFleet) -> None:
    for instance in shadow.instances:
        for server in instance.containers:
            await server.stop()


def _output(params: Params) -> str:
    record = json.loads(params["Body"].decode().splitlines()[0])
    return base64.b64decode(record["captureData"]["endpointOutput"]["data"]).decode()
