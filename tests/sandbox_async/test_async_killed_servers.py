"""Five hundred requests while model servers are killed at random: each one is accounted for, once."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.engine import EngineSettings
from sandbox.fleet import FleetManager, fleet
from tests.sandbox_async.plane import AsyncPlane
from tests.sandbox_fleet.world import IMAGE, archive

REQUESTS = 500
INSTANCES = 3

WORKER = """
import time

def model_fn(model_dir):
    return None
def input_fn(data, content_type):
    if bytes(data).startswith(b"bad"):
        raise ValueError("this input is broken")
    return bytes(data)
def predict_fn(data, model):
    time.sleep(0.02)
    return data.upper()
def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


class RealPlane(AsyncPlane):
    """Asynchronous endpoints with real model servers."""

    def __init__(self, tmp: Path) -> None:
        super().__init__(tmp)
        settings = EngineSettings(1, 1, tmp / "fleets", self.clock)
        self.fleets = FleetManager(settings, self.cloud, self.metrics, self.logs)  # type: ignore[arg-type]
        self.deployments._fleets = self.fleets
        self.run(self.fleets.start())
        self.cloud.objects["data", "model.tar.gz"] = archive({"code/inference.py": WORKER})
        self.model("model", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://data/model.tar.gz"})

    def close(self) -> None:
        self.run(self.queues.stop())
        self.run(self.fleets.stop())
        self.fleets.made = []  # type: ignore[attr-defined]
        super().close()


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlane]:
    # servers that are killed every few moments are no crash loop here
    monkeypatch.setattr(fleet, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(fleet, "LONGEST_BACKOFF", 0.05)
    plane = RealPlane(tmp_path)
    yield plane
    plane.close()


class Killer:
    """Kills a model server, any of them, each time that a few more requests have ended."""

    def __init__(self, plane: RealPlane, seed: int) -> None:
        self._plane = plane
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kills = 0

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = 0
        while not self._stop.wait(0.01):
            if len(self._plane.cloud.results()) < due:
                continue
            servers = self._plane.call(self._plane.fleets.processes)
            serving = [server for server in servers if server.state == "InService"]
            if serving:
                due = len(self._plane.cloud.results()) + self._chance.randint(5, 25)
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(serving).pid, signal.SIGKILL)
                    self.kills += 1


def test_every_request_has_exactly_one_ending_while_servers_are_killed(plane: RealPlane) -> None:
    # GIVEN an endpoint of real model servers
    endpoint = plane.create(plane.async_config(count=INSTANCES, concurrency=4))
    assert endpoint.status == "InService"

    # WHEN five hundred requests come, some with inputs in S3, some broken, while servers are killed
    expected: dict[str, str] = {}
    with Killer(plane, seed=7) as killer:
        for number in range(REQUESTS):
            name = f"r{number:03}"
            if number % 25 == 7:
                plane.submit(b"bad", InferenceId=name)
            elif number % 25 == 13:
                plane.submit(InputLocation="s3://data/none", InferenceId=name)
            elif number % 5 == 0:
                plane.submit(InputLocation=plane.upload(name.encode(), f"input/{name}"), InferenceId=name)
            else:
                plane.submit(name.encode(), InferenceId=name)
            expected[name] = "Failed" if number % 25 in (7, 13) else "Completed"
        plane.endings(REQUESTS, seconds=120)
    plane.quiet(endpoint)

    # THEN each has one notice, of the right kind, and no other
    endings = Counter(message["inferenceId"] for message in plane.cloud.results())
    assert len(endings) == REQUESTS
    assert set(endings.values()) == {1}
    assert {each["inferenceId"]: each["invocationStatus"] for each in plane.cloud.results()} == expected

    # AND each has its output or its failure, and not both
    completed = {name for name, status in expected.items() if status == "Completed"}
    assert plane.cloud.keys("output") == sorted(f"output/{name}.out" for name in completed)
    assert plane.cloud.keys("failure") == sorted(
        f"failure/{name}-error.out" for name in expected.keys() - completed
    )
    assert all(
        plane.cloud.read(f"s3://data/output/{name}.out") == name.upper().encode() for name in completed
    )

    # AND that was not for lack of deaths
    went_away = [line for _, _, line in plane.logs.lines if "the model server went away" in line]
    assert killer.kills >= 20
    assert went_away, "no request was on a server that was killed"
