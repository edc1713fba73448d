"""One container of three is killed under load, with real model servers: the others' requests all succeed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.fleet import FleetManager
from tests.sandbox_fleet.world import ECHO, World
from tests.sandbox_runtime.fakes import SCOPE, Plane, variant

HOSTS = ("host-0", "host-1", "host-2")
NAMING = """
import time
def predict_fn(data, model):
    time.sleep(0.005)
    text = data if isinstance(data, str) else bytes(data).decode()
    return {name!r} + "(" + text + ")"
"""


@pytest.fixture
def plane(make_plane: Any, tmp_path: Path) -> Iterator[Plane]:
    """The data plane over a real fleet manager."""
    made: Plane = make_plane()
    world = World(tmp_path / "world", logs=made.logs, metrics=made.metrics)  # type: ignore[arg-type]
    work = world.manager()
    manager: FleetManager = made.run(work.__aenter__())
    made.deployments._fleets = manager
    models = world.model(*(ECHO + NAMING.format(name=name) for name in HOSTS))
    made.model("three", **models.request)
    yield made
    made.run(work.__aexit__(None, None, None))


class Callers:
    """One client for each target, which calls until it is told to stop."""

    def __init__(self, plane: Plane, targets: list[dict[str, str]]) -> None:
        self.answers: list[list[str]] = [[] for _ in targets]
        self.errors: list[list[Exception]] = [[] for _ in targets]
        self._plane = plane
        self._stop = threading.Event()
        plane.client  # noqa: B018 - made once, before the threads share it
        self._threads = [
            threading.Thread(target=self._work, args=(at, target)) for at, target in enumerate(targets)
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _work(self, at: int, target: dict[str, str]) -> None:
        while not self._stop.is_set():
            try:
                answer = self._plane.invoke(b"x", Accept="text/plain", **target)
                self.answers[at].append(answer["Body"].read().decode())
            except Exception as error:
                self.errors[at].append(error)


def serve(plane: Plane, mode: str) -> Any:
    plane.stores.of(SCOPE).models["three"].request["InferenceExecutionConfig"] = {"Mode": mode}
    endpoint = plane.create(plane.config("c", variant("AllTraffic", "three")))
    assert endpoint.status == "InService", endpoint.failure_reason
    return endpoint.variants["AllTraffic"].fleet


def kill_one(plane: Plane, fleet: Any, callers: Callers) -> None:
    """Kill the middle container under load; return when all callers have gone on for a while after."""
    plane.until(lambda: all(len(answers) > 20 for answers in callers.answers))
    (instance,) = fleet.instances
    pid = instance.containers[1].pid
    os.kill(pid, signal.SIGKILL)
    plane.until(lambda: instance.containers[1].pid not in (0, pid) and fleet.in_service() == [instance])
    reached = [len(answers) for answers in callers.answers]
    plane.until(
        lambda: all(
            len(answers) > before + 20 for answers, before in zip(callers.answers, reached, strict=True)
        )
    )


def test_only_the_killed_container_s_own_request_fails(plane: Plane) -> None:
    # GIVEN an instance of three directly invoked containers, each under load
    fleet = serve(plane, "Direct")
    with Callers(plane, [{"TargetContainerHostname": host} for host in HOSTS]) as callers:
        kill_one(plane, fleet, callers)
    # THEN no request of the other two failed, and of its own at most the one that it was working on
    assert callers.errors[0] == callers.errors[2] == []
    assert len(callers.errors[1]) <= 1
    assert all("from host-1" in str(error) for error in callers.errors[1])
    for host, answers in zip(HOSTS, callers.answers, strict=True):
        assert set(answers) == {f"{host}(x)"}


def test_a_pipeline_fails_what_it_was_working_on_and_goes_on(plane: Plane) -> None:
    # GIVEN an instance of three containers in a row, with three callers
    fleet = serve(plane, "Serial")
    with Callers(plane, [{}] * 3) as callers:
        kill_one(plane, fleet, callers)
    # THEN at most the requests that were under way failed, and the stage is named
    errors = [error for each in callers.errors for error in each]
    assert len(errors) <= 3
    assert all("from host-1" in str(error) for error in errors)
    assert {text for answers in callers.answers for text in answers} == {"host-2(host-1(host-0(x)))"}
