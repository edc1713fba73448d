"""AutoRollbackConfiguration: which alarms end an update, and which only seem to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.store import Endpoint, Params
from tests.sandbox_runtime.fakes import SCOPE, Plane, says, variant

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEPLOYMENT = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 30}
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]},
}


@pytest.fixture
def endpoint(plane: Plane) -> Endpoint:
    plane.aws.alarms.update(errors="OK", latency="OK")
    plane.model("old", answerer=says("old"))
    plane.model("new", answerer=says("new"))
    plane.config("green", variant("A", "new"))
    return plane.create(plane.config("blue", variant("A", "old")))


def update(plane: Plane, endpoint: Endpoint, *, wait: bool = True) -> None:
    plane.update(endpoint, plane.stores.of(SCOPE).endpoint_configs["green"], DEPLOYMENT, wait=wait)


def dated(*, defined: timedelta) -> Params:
    """When an alarm was defined, seen from when it went into its state."""
    return {"StateUpdatedTimestamp": NOW, "AlarmConfigurationUpdatedTimestamp": NOW + defined}


def test_an_old_fleet_that_is_red_ends_the_update_before_anything_starts(
    plane: Plane, endpoint: Endpoint
) -> None:
    # GIVEN an alarm on the whole endpoint that has been red for what it still watches
    plane.aws.alarms["errors"] = "ALARM"
    plane.aws.dates["errors"] = dated(defined=timedelta(hours=-1))
    # WHEN the endpoint is updated
    update(plane, endpoint)
    # THEN it never starts, and the red alarm is named
    assert (endpoint.status, endpoint.config_name) == ("InService", "blue")
    assert endpoint.failure_reason == "CloudWatch alarms are in ALARM state: errors."
    assert plane.fleets.made[1].sizes == []


@pytest.mark.parametrize("defined", [timedelta(), timedelta(seconds=5)])
def test_an_alarm_that_now_watches_the_new_fleet_is_first_evaluated_again(
    plane: Plane, endpoint: Endpoint, defined: timedelta
) -> None:
    # GIVEN an alarm that went red for the old fleet, and was then given the new one to watch
    plane.aws.alarms["errors"] = "ALARM"
    plane.aws.dates["errors"] = dated(defined=defined)
    # WHEN the endpoint is updated, and CloudWatch evaluates the alarm
    asked = plane.aws.asked
    update(plane, endpoint, wait=False)
    plane.until(lambda: plane.aws.asked > asked + 1)
    assert (endpoint.status, plane.fleets.made[1].sizes) == ("Updating", [])
    plane.aws.alarms["errors"] = "OK"
    plane.settle(endpoint)
    # THEN the update goes through
    assert (endpoint.config_name, endpoint.failure_reason) == ("green", None)


def test_an_alarm_that_stays_red_on_what_it_watches_now_ends_the_update(
    plane: Plane, endpoint: Endpoint
) -> None:
    # GIVEN an alarm that was redefined, and is red still
    plane.aws.alarms["latency"] = "ALARM"
    plane.aws.dates["latency"] = dated(defined=timedelta(seconds=5))
    # WHEN the endpoint is updated THEN it is given its evaluations, and then the update ends
    update(plane, endpoint)
    assert endpoint.failure_reason == "CloudWatch alarms are in ALARM state: latency."
    assert endpoint.config_name == "blue"


def test_one_alarm_of_several_is_enough_and_all_red_ones_are_named(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN an update that bakes
    update(plane, endpoint, wait=False)
    plane.until(lambda: bool(endpoint.pending and endpoint.pending.green_shares))
    # WHEN both alarms fire
    plane.aws.alarms.update(latency="ALARM", errors="ALARM")
    plane.settle(endpoint)
    # THEN the old fleet serves, and both are named
    assert endpoint.config_name == "blue"
    assert endpoint.failure_reason == "CloudWatch alarms are in ALARM state: errors, latency."


def test_missing_data_are_not_an_alarm(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN alarms that know nothing yet, as those on a new fleet do
    plane.aws.alarms.update(errors="INSUFFICIENT_DATA", latency="INSUFFICIENT_DATA")
    # WHEN the endpoint is updated THEN it goes through
    update(plane, endpoint)
    assert (endpoint.config_name, endpoint.failure_reason) == ("green", None)
