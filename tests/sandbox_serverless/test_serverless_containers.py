"""Containers on demand: none before the first call, one request each, warm for a while, then gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox_fleet.world import alive, wait_for
from tests.sandbox_serverless.plane import ServerlessPlane


def test_nothing_runs_until_the_first_call_and_the_next_one_finds_it_warm(plane: ServerlessPlane) -> None:
    # GIVEN a serverless endpoint in service
    endpoint = plane.serve_serverless()
    assert endpoint.status == "InService"
    assert plane.containers() == []

    # WHEN it is called twice, one after the other
    first, second = plane.ask(), plane.ask()

    # THEN one container was started, and has answered both
    assert first["pid"] == second["pid"]
    assert [each.containers[0].pid for each in plane.containers()] == [first["pid"]]


def test_each_request_at_a_time_has_a_container_of_its_own(plane: ServerlessPlane) -> None:
    plane.serve_serverless()

    # GIVEN two calls at once, none of which ends before both have begun
    futures, gate = plane.busy(2)
    gate.touch()

    # THEN each was worked on by a container that was started for it
    pids = {future.result(20)["pid"] for future in futures}
    assert len(pids) == 2
    assert len(plane.metric("ModelSetupTime")) == 2


def test_a_container_that_becomes_free_is_used_before_another_one_is_ready(
    plane: ServerlessPlane, tmp_path: Path
) -> None:
    # GIVEN a model whose next container waits before it is loaded
    slow = tmp_path / "slow"
    plane.add_model(GATE=str(slow))
    plane.add_config()
    plane.deploy()
    plane.ask()
    slow.write_text("wait")

    # WHEN a call finds the only container at work, and that becomes free
    futures, gate = plane.busy(1)
    waiting = plane.later()
    plane.until(lambda: plane.fleet.executing == 2)
    gate.touch()

    # THEN the call does not wait for the container that was started for it
    assert waiting.result(20)["pid"] == futures[0].result(20)["pid"]
    slow.unlink()


def test_containers_that_nobody_uses_go_and_come_again(make_plane: Callable[..., ServerlessPlane]) -> None:
    # GIVEN a clock at which ten minutes are two seconds, and a container that has answered
    plane = make_plane(scale=300.0)
    plane.serve_serverless()
    first = plane.ask()["pid"]

    # WHEN nobody calls for longer than it is kept warm
    plane.until(lambda: not plane.fleet.instances)

    # THEN its process has ended, and the next call starts another one
    wait_for(lambda: not alive(first))
    assert plane.ask()["pid"] != first


def test_a_container_at_work_outlives_the_time_that_idle_ones_have(
    make_plane: Callable[..., ServerlessPlane],
) -> None:
    plane = make_plane(scale=300.0)
    plane.serve_serverless()
    plane.ask()
    (worker,) = plane.containers()

    # GIVEN a second container, and a request that keeps one of both
    futures, gate = plane.busy(1)
    others, _ = plane.busy(2)

    # WHEN so much time has passed that the idle ones are gone
    gate.touch()
    pids = {future.result(20)["pid"] for future in (*futures, *others)}
    plane.until(lambda: not plane.fleet.instances)

    # THEN all requests were answered
    assert len(pids) >= 2
    assert worker.state == "Terminated"


def test_provisioned_containers_are_there_before_the_first_call_and_stay(
    make_plane: Callable[..., ServerlessPlane],
) -> None:
    # GIVEN two provisioned containers and one more that a burst has brought
    plane = make_plane(scale=300.0)
    plane.serve_serverless(ProvisionedConcurrency=2)
    started = {each.containers[0].pid for each in plane.containers()}
    assert len(started) == 2
    futures, gate = plane.busy(3)
    gate.touch()
    assert {future.result(20)["pid"] for future in futures} > started

    # WHEN the idle one goes
    plane.until(lambda: len(plane.fleet.instances) == 2)

    # THEN the number that is provisioned stays
    assert plane.call(lambda: plane.fleet.warm) == 2


def test_a_provisioned_container_that_dies_is_replaced_without_a_call(plane: ServerlessPlane) -> None:
    plane.serve_serverless(ProvisionedConcurrency=1)
    (lost,) = (each.containers[0].pid for each in plane.containers())

    # WHEN it is killed
    plane.kill(lost)

    # THEN another one takes its place
    plane.until(lambda: [each.containers[0].pid for each in plane.fleet.in_service()] not in ([], [lost]))


def test_memory_decides_how_many_threads_a_container_may_use(plane: ServerlessPlane) -> None:
    plane.serve_serverless(MemorySizeInMB=1024)

    assert plane.ask()["threads"] == "1"


def test_a_container_that_takes_more_than_its_memory_is_ended_as_by_the_kernel(
    plane: ServerlessPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN megabytes of a quarter of their size, for the sake of whoever runs the tests
    monkeypatch.setattr("sandbox.serverless.memory._MB", 256 * 1024)
    plane.serve_serverless(MemorySizeInMB=1024)
    first = plane.ask()["pid"]

    # WHEN a request makes a container take more than it has
    error = plane.refusal(mb=300, gate=str(tmp_path / "never"))

    # THEN the request fails as the model's error, the log says why, and the next call starts another one
    assert error["Error"]["Code"] == "ModelError"
    assert any("MemorySizeInMB" in message for _, _, message in plane.logs.lines)
    assert plane.ask()["pid"] != first
