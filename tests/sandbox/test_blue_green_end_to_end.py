"""The blue/green pattern by the real CDK CLI: a bad version is rolled back by its alarm, a good one goes all
the way, and nobody notices more than the canary's share."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.sandbox.laptop import REVIEWS, STACKS, Laptop, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "blue-green"
VERSION = "patterns.blue-green.version="
LINEAR = [
    "-c",
    "patterns.blue-green.deployment.strategy=linear",
    "-c",
    "patterns.blue-green.deployment.bake_seconds=180",
]


class Steady:
    """Requests at a fixed rate, each noted with its time and whether it was answered."""

    def __init__(self, laptop: Laptop, *, per_second: float) -> None:
        self._runtime = laptop.boto("sagemaker-runtime")
        self._endpoint = laptop.outputs(PATTERN)["EndpointName"]
        self._interval = 1 / per_second
        self._stop = threading.Event()
        self.noted: list[tuple[float, bool]] = []

    @contextmanager
    def running(self) -> Iterator[Steady]:
        callers = [threading.Thread(target=self._work, args=(4,), daemon=True) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            wait_for("the first answers", lambda: len(self.noted) > 10)
            yield self
        finally:
            self._stop.set()
            for caller in callers:
                caller.join(timeout=75)

    def failures(self, since: float = 0) -> int:
        return sum(not ok for at, ok in self.noted if at >= since)

    def _work(self, callers: int) -> None:
        body = json.dumps({"inputs": REVIEWS})
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                answer = self._runtime.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="application/json", Body=body
                )
                ok = bool(answer["Body"].read())
            except Exception:
                ok = False
            self.noted.append((time.monotonic(), ok))
            due += self._interval * callers
            self._stop.wait(max(0.0, due - time.monotonic()))


def describe(laptop: Laptop) -> Any:
    return laptop.boto("sagemaker").describe_endpoint(EndpointName=laptop.outputs(PATTERN)["EndpointName"])


def test_a_failing_version_costs_the_canarys_share_and_is_rolled_back(blue_green: Laptop) -> None:
    # GIVEN steady load on three instances of v1
    (blue_green.project / "changed").touch()
    before = blue_green.outputs(PATTERN)
    with Steady(blue_green, per_second=60).running() as load:
        # WHEN v2, which raises on every call, is deployed with a canary of one in three
        seen: set[str] = set()
        watching = threading.Event()

        def watch() -> None:
            while not watching.is_set():
                pending = describe(blue_green).get("PendingDeploymentSummary")
                if pending:
                    seen.update(
                        status["Status"]
                        for variant in pending["ProductionVariants"]
                        for status in variant.get("VariantStatus", [])
                    )
                watching.wait(0.1)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        begun = time.monotonic()
        deployed = blue_green.sandbox("deploy", PATTERN, "-c", f"{VERSION}v2", check=False)
        ended = time.monotonic()
        watching.set()
        watcher.join(timeout=30)
        wait_for("requests after the rollback", lambda: load.noted[-1][0] > ended + 2)

    # THEN the deployment failed and says that an alarm did it; stack and endpoint are what they were
    assert deployed.returncode != 0
    assert "rolled back" in deployed.stdout + deployed.stderr
    stack = blue_green.boto("cloudformation").describe_stacks(StackName=STACKS[PATTERN])["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    described = describe(blue_green)
    assert described["EndpointConfigName"] == before["EndpointConfigName"]
    assert "alarm" in described["FailureReason"].lower()
    assert "Baking" in seen

    # AND while the canary served at most its share of requests failed, and none after the rollback
    failed_at = [at for at, ok in load.noted if not ok]
    assert failed_at, "the canary was never asked"
    during = [ok for at, ok in load.noted if failed_at[0] <= at <= failed_at[-1]]
    share = during.count(False) / len(during)
    assert share <= 1 / 3 + 3 * math.sqrt((1 / 3) * (2 / 3) / len(during))
    assert failed_at[0] > begun
    assert load.failures(since=ended) == 0


def test_a_good_version_goes_all_the_way_without_one_failed_request(blue_green: Laptop) -> None:
    # GIVEN fifty requests a second on v1
    (blue_green.project / "changed").touch()
    with Steady(blue_green, per_second=50).running() as load:
        # WHEN v3 is deployed as a canary, and v1 again in thirds
        blue_green.sandbox("deploy", PATTERN, "-c", f"{VERSION}v3")
        third = blue_green.outputs(PATTERN)
        serving = describe(blue_green)["EndpointConfigName"]
        status = blue_green.client("status", PATTERN, check=False)
        blue_green.sandbox("deploy", PATTERN, "-c", f"{VERSION}v1", *LINEAR)

    # THEN v3 served, `status` agrees, and not one request failed
    assert third["ModelVersion"] == "v3"
    assert serving == third["EndpointConfigName"]
    assert status.returncode == 0, status.stdout
    assert load.failures() == 0


def test_an_unknown_version_and_an_impossible_canary_are_refused_before_anything_happens(
    blue_green: Laptop,
) -> None:
    # GIVEN the deployed pattern
    # WHEN a version that does not exist and a canary of two in three are asked for
    refused = blue_green.sandbox(
        "deploy",
        PATTERN,
        "-c",
        f"{VERSION}v9",
        "-c",
        "patterns.blue-green.deployment.step_instances=2",
        check=False,
    )

    # THEN both are told, with what is allowed
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "v9" in said
    assert "v1, v2, v3" in said
    assert "step_instances" in said
    assert "Traceback" not in said


def test_the_demo_tells_the_whole_story(blue_green: Laptop) -> None:
    # GIVEN the deployed pattern
    (blue_green.project / "changed").touch()

    # WHEN the demo runs: v1, the bad v2, the good v3, and back in thirds
    told = blue_green.client("demo", PATTERN, check=False)

    # THEN it ends well
    assert told.returncode == 0, told.stdout + told.stderr
    assert describe(blue_green)["EndpointStatus"] == "InService"
