"""What a queue survives: no instances, other instances, updates, deletion, a crash."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sandbox import supervisor
from sandbox.async_queue import notices, queue
from sandbox.home import Home
from tests.sandbox_async.cloud import refusal
from tests.sandbox_async.containers import Gate, says_other
from tests.sandbox_async.plane import AsyncPlane
from tests.sandbox_runtime.fakes import variant


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
    assert plane.completed() == [True] * 4


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
    plane.model("other", answerer=says_other, PrimaryContainer={"Image": "image"})
    config = plane.async_config("next")
    config.request["ProductionVariants"][0]["ModelName"] = "other"
    plane.update(endpoint, config)

    # THEN the new fleet ends all of them, each once
    assert endpoint.config_name == "next"
    plane.endings(6)
    plane.quiet(endpoint)
    assert sorted(plane.ids()) == [f"r{number}" for number in range(6)]
    assert {plane.cloud.read(f"s3://data/output/r{number}.out") for number in range(6)} == {b"other"}


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
    assert plane.completed() == [True] * 9


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
    plane.model("other", answerer=says_other, PrimaryContainer={"Image": "image"})
    config = plane.async_config()
    config.request["ProductionVariants"].append(variant("idle", "other", weight=0.0))
    plane.create(config)
    answers = [plane.submit(b"x", InferenceId=f"r{number}") for number in range(12)]
    plane.endings(12)
    assert {plane.cloud.read(answer["OutputLocation"]) for answer in answers} == {b"X"}


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

    # WHEN the process is killed, not without files of attempts and of a request that was never accepted,
    # and the endpoint is there again
    folder = plane.folder / "000000000000" / "ap-northeast-2" / "ep"
    (folder / "99.body").write_bytes(b"never accepted")
    (folder / "3-0.attempt").mkdir(exist_ok=True)
    plane.crash()
    (folder / "4-7.attempt").mkdir()
    gate.open = True
    plane.cloud.on_publish = lambda topic, message: None
    endpoint = plane.serve_async(gate, concurrency=2)

    # THEN each has exactly one ending, and what had its output before was not worked on again
    plane.endings(6)
    plane.quiet(endpoint)
    assert sorted(plane.ids()) == ["done", "told", "wait1", "wait2", "work1", "work2"]
    assert plane.completed() == [True] * 6
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
    assert plane.ids()[-1] == "new"

    # AND nothing but the journal is left on disk
    plane.until(lambda: [path.name for path in folder.iterdir()] == ["journal.log"])


def test_down_ends_the_account_and_its_queues(tmp_path: Path) -> None:
    # GIVEN the folder of a sandbox that was killed, with a queue in it
    home = Home(tmp_path / "sandbox")
    home.make()
    queue_folder = home.queue_dir / "000000000000" / "ap-northeast-2" / "ep"
    queue_folder.mkdir(parents=True)
    (queue_folder / "journal.log").write_text("")

    # WHEN it is taken down
    supervisor.down(home, lambda text: None)

    # THEN no later sandbox finds it
    assert not home.queue_dir.exists()


def test_an_endpoint_whose_queue_cannot_be_kept_is_none(plane: AsyncPlane) -> None:
    # GIVEN something else in the place of the queues
    plane.folder.write_text("not a folder")

    # WHEN an endpoint is created
    endpoint = plane.serve_async()

    # THEN it fails with the reason, and no instance is left
    assert endpoint.status == "Failed"
    assert "queue cannot be kept on disk" in str(endpoint.failure_reason)
    assert [fleet.stopped for fleet in plane.fleets.made] == [True]
