"""Updates: blue/green, canary, linear and rolling; rollback by failure, alarm and timeout; under load."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Endpoint, Params, Stage
from tests.sandbox_runtime.fakes import Load, Plane, Request, http, variant

ALARMS = {"Alarms": [{"AlarmName": "errors"}]}
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


def blue_green(
    kind: str = "ALL_AT_ONCE", *, wait: int = 0, termination: int = 0, timeout: int = 28_800, **routing: Any
) -> Params:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **routing},
            "TerminationWaitInSeconds": termination,
            "MaximumExecutionTimeoutInSeconds": timeout,
        },
        "AutoRollbackConfiguration": ALARMS,
    }


def rolling(*, wait: int = 0, **more: Any) -> Params:
    policy = {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": wait, **more}
    return {"RollingUpdatePolicy": policy, "AutoRollbackConfiguration": ALARMS}


def answerer(text: str) -> Any:
    async def answer(request: Request) -> bytes:
        await asyncio.sleep(0.002)
        return http(text.encode())

    return answer


@pytest.fixture
def endpoint(plane: Plane) -> Endpoint:
    """An endpoint with two instances of the model "old", and a configuration "green" of the model "new"."""
    plane.aws.alarms["errors"] = "OK"
    plane.model("old", answerer=answerer("old"))
    plane.model("new", answerer=answerer("new"))
    plane.model("broken", fails="The primary container did not pass the ping health check.")
    plane.config("green", variant("A", "new", count=2))
    return plane.create(plane.config("blue", variant("A", "old", count=2)))


def green(plane: Plane, name: str = "green") -> Any:
    (store,) = plane.stores._stores.values()
    return store.endpoint_configs[name]


def stage(endpoint: Endpoint) -> Stage:
    """What is done to the new fleet's variant at the moment."""
    pending = endpoint.pending.variants["A"].stage if endpoint.pending is not None else None
    return pending or Stage("", "", endpoint.modified_at)


def assert_rolled_back(plane: Plane, endpoint: Endpoint, reason: str) -> None:
    assert endpoint.status == "InService"
    assert endpoint.config_name == "blue"
    assert reason in (endpoint.failure_reason or "")
    assert endpoint.pending is None
    assert {plane.invoke()["Body"].read() for _ in range(10)} == {b"old"}
    assert len(endpoint.variants["A"].fleet.in_service()) == 2
    assert all(fleet.instances == [] for fleet in plane.fleets.made[1:])


@pytest.mark.parametrize(
    "deployment",
    [
        None,
        blue_green(),
        blue_green("CANARY", wait=6, CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}),
        blue_green("LINEAR", wait=6, termination=6, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 30}),
        rolling(wait=6),
    ],
)
def test_a_good_update_under_load_fails_no_request(
    plane: Plane, endpoint: Endpoint, deployment: Params | None
) -> None:
    # GIVEN an endpoint under load WHEN it is updated
    with Load(plane) as load:
        plane.until(lambda: len(load.answers) > 20)
        plane.update(endpoint, green(plane), deployment)
        answered = len(load.answers)
        plane.until(lambda: len(load.answers) > answered + 20)
    # THEN it serves the new configuration, the old fleet is gone, and not one request failed
    assert load.errors == []
    assert (endpoint.status, endpoint.config_name, endpoint.failure_reason) == ("InService", "green", None)
    assert endpoint.pending is None
    assert endpoint.deployment_config == deployment
    assert load.answers[-1] == b"new"
    assert plane.fleets.made[0].stopped
    assert plane.fleets.made[0].instances == []
    assert len(endpoint.variants["A"].fleet.in_service()) == 2
    assert {plane.invoke()["Body"].read() for _ in range(10)} == {b"new"}


def test_a_canary_takes_its_share_and_tells_its_stage(plane: Plane, endpoint: Endpoint) -> None:
    deployment = blue_green("CANARY", wait=3600, CanarySize=HALF)
    plane.update(endpoint, green(plane), deployment, wait=False)
    plane.until(lambda: endpoint.pending is not None and endpoint.pending.green_shares == {"A": 0.5})
    plane.until(lambda: stage(endpoint).status == "Baking")
    # half of the traffic is on each side, and DescribeEndpoint can show it
    seen = Counter(plane.invoke()["Body"].read() for _ in range(200))
    assert 60 <= seen[b"new"] <= 140
    assert endpoint.status == "Updating"
    assert endpoint.config_name == "blue"
    pending: Any = endpoint.pending
    assert pending.config_name == "green"
    assert pending.variants["A"].desired_instance_count == 2
    assert stage(endpoint).message == (
        "Baking for 3600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity "
        "of 1 instance(s)."
    )
    # metrics tell the fleets apart
    for config in ("blue", "green"):
        assert plane.metrics.values(
            "Invocations", EndpointName="ep", VariantName="A", EndpointConfigName=config
        )
    # an alarm ends it
    plane.aws.alarms["errors"] = "ALARM"
    plane.settle(endpoint)
    assert_rolled_back(plane, endpoint, "CloudWatch alarms are in ALARM state: errors.")


def test_a_fleet_that_does_not_start_rolls_back(plane: Plane, endpoint: Endpoint) -> None:
    config = plane.config("bad", variant("A", "broken", count=2))
    with Load(plane) as load:
        plane.update(endpoint, config, blue_green())
    assert load.errors == []
    assert_rolled_back(plane, endpoint, "did not pass the ping health check")


def test_an_alarm_during_the_termination_wait_rolls_back(plane: Plane, endpoint: Endpoint) -> None:
    plane.update(endpoint, green(plane), blue_green(termination=3600), wait=False)
    plane.until(lambda: "TerminationWaitInSeconds" in stage(endpoint).message)
    assert plane.invoke()["Body"].read() == b"new"
    plane.aws.alarms["errors"] = "ALARM"
    plane.settle(endpoint)
    assert_rolled_back(plane, endpoint, "ALARM")


def test_an_alarm_that_is_red_already_aborts_before_anything_starts(plane: Plane, endpoint: Endpoint) -> None:
    plane.aws.alarms["errors"] = "ALARM"
    plane.update(endpoint, green(plane), blue_green())
    assert_rolled_back(plane, endpoint, "ALARM")
    assert plane.fleets.made[1].sizes == []


def test_an_alarm_that_does_not_exist(plane: Plane, endpoint: Endpoint) -> None:
    plane.aws.alarms.clear()
    plane.update(endpoint, green(plane), blue_green())
    assert_rolled_back(plane, endpoint, "do not all exist: errors.")


def test_alarms_that_cannot_be_read(plane: Plane, endpoint: Endpoint) -> None:
    plane.aws.broken = ConnectionError("gateway is away")
    plane.update(endpoint, green(plane), blue_green())
    assert_rolled_back(plane, endpoint, "could not be read: gateway is away")


def test_the_maximum_execution_timeout(plane: Plane, endpoint: Endpoint) -> None:
    plane.model("slow", hangs=True)
    config = plane.config("hanging", variant("A", "slow"))
    plane.update(endpoint, config, blue_green(timeout=12))
    assert_rolled_back(plane, endpoint, "longer than MaximumExecutionTimeoutInSeconds (12 s)")
    assert plane.fleets.made[1].stopped


def test_a_fault_of_ours_rolls_back(
    plane: Plane, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("sandbox.deployments.update.start_fleets", broken)
    plane.update(endpoint, green(plane), blue_green())
    assert_rolled_back(plane, endpoint, "RuntimeError: bug")


def test_the_next_good_update_clears_the_reason(plane: Plane, endpoint: Endpoint) -> None:
    plane.update(endpoint, plane.config("bad", variant("A", "broken")), None)
    assert endpoint.failure_reason
    plane.update(endpoint, green(plane), None)
    assert (endpoint.config_name, endpoint.failure_reason) == ("green", None)


def test_a_missing_model_refuses_at_once_and_changes_nothing(plane: Plane, endpoint: Endpoint) -> None:
    config = plane.config("gone", variant("A", "gone"))
    with pytest.raises(ServiceError, match="Could not find model"):
        plane.update(endpoint, config, None)
    assert (endpoint.status, endpoint.pending) == ("InService", None)


def test_retained_properties(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN capacity and weight that were changed since the endpoint was created
    desired = [{"VariantName": "A", "DesiredWeight": 5.0, "DesiredInstanceCount": 3}]
    plane.call(lambda: plane.deployments.update_weights_and_capacities(endpoint, desired))
    plane.settle(endpoint)
    # WHEN an update retains all but the weight
    config = plane.config("next", variant("A", "new", count=1, weight=2.0), variant("B", "new", count=1))
    plane.update(endpoint, config, None, retain_all=True, exclude=frozenset({"DesiredWeight"}))
    # THEN the count stays, the weight comes from the configuration, and a new variant is as configured
    assert {name: (one.weight, len(one.fleet.in_service())) for name, one in endpoint.variants.items()} == {
        "A": (2.0, 3),
        "B": (1.0, 1),
    }
    # and without retention everything comes from the configuration
    plane.update(endpoint, green(plane), None)
    assert {name: (one.weight, len(one.fleet.in_service())) for name, one in endpoint.variants.items()} == {
        "A": (1.0, 2)
    }


def test_rolling_goes_batch_by_batch(plane: Plane, endpoint: Endpoint) -> None:
    plane.update(endpoint, plane.config("four", variant("A", "old", count=4)), None)
    plane.update(endpoint, plane.config("next", variant("A", "new", count=4)), rolling())
    old, new = plane.fleets.made[1:]
    assert new.sizes == [2, 4]
    assert old.sizes == [4, 2]
    assert old.stopped
    assert (endpoint.status, endpoint.config_name) == ("InService", "next")


def test_rolling_back_a_rolling_update_restores_the_old_fleet(plane: Plane, endpoint: Endpoint) -> None:
    plane.update(endpoint, plane.config("blue", variant("A", "old", count=4)), None)
    old = plane.fleets.made[1]
    config = plane.config("next", variant("A", "new", count=4))
    deployment = rolling(wait=60, RollbackMaximumBatchSize={"Type": "INSTANCE_COUNT", "Value": 1})
    with Load(plane) as load:
        plane.update(endpoint, config, deployment, wait=False)
        plane.until(lambda: old.sizes == [4, 2])
        plane.aws.alarms["errors"] = "ALARM"
        plane.settle(endpoint)
    assert load.errors == []
    assert old.sizes == [4, 2, 3, 4]
    assert (endpoint.status, endpoint.config_name) == ("InService", "blue")
    assert plane.fleets.made[2].instances == []
    assert {plane.invoke()["Body"].read() for _ in range(10)} == {b"old"}


def test_a_rollback_that_fails_still_serves(plane: Plane, endpoint: Endpoint) -> None:
    old = plane.fleets.made[0]
    plane.update(endpoint, green(plane), rolling(wait=60), wait=False)
    plane.until(lambda: old.sizes == [2, 1])
    old.scale_error = "no capacity"
    plane.aws.alarms["errors"] = "ALARM"
    plane.settle(endpoint)
    assert endpoint.status == "UpdateRollbackFailed"
    assert "The rollback failed: no capacity" in (endpoint.failure_reason or "")
    plane.invoke()
    # and another update mends it
    plane.aws.alarms["errors"] = "OK"
    plane.update(endpoint, green(plane), None)
    assert (endpoint.status, endpoint.config_name) == ("InService", "green")
    assert plane.invoke()["Body"].read() == b"new"


def test_data_capture_follows_the_configuration(plane: Plane, endpoint: Endpoint) -> None:
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    captured = plane.config("captured", variant("A", "new"), DataCaptureConfig=capture)
    plane.invoke()
    plane.update(endpoint, captured, None)
    assert endpoint.data_capture == capture
    plane.invoke()
    plane.update(endpoint, green(plane), None)
    assert endpoint.data_capture is None
    plane.invoke()
    # the one invocation in between was written when its fleet went
    assert len(plane.aws.objects) == 1


def test_stopping_in_the_middle_of_an_update(plane: Plane, endpoint: Endpoint) -> None:
    plane.update(endpoint, green(plane), blue_green(termination=3600), wait=False)
    plane.until(lambda: stage(endpoint).status == "Baking")
    told = len(plane.bus.events)
    plane.run(plane.deployments.stop())
    plane.run(plane.events.stop())
    # nothing is rolled back, told or changed any more: the process ends, and its fleets with it
    assert (endpoint.status, endpoint.config_name) == ("Updating", "blue")
    assert len(plane.bus.events) == told
    plane.invoke()
