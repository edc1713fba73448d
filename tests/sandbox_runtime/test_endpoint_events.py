"""What EventBridge hears of endpoints: which events, in which order, and what a failing bus changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import events
from sandbox.events import DEPLOYMENT_CHANGE, STATE_CHANGE, Event, spelled
from sandbox.store import Endpoint, Params
from tests.sandbox_runtime.fakes import SCOPE, Plane, says, variant

ONE = {"Type": "INSTANCE_COUNT", "Value": 1}


def canary(wait: int = 6, termination: int = 6) -> Params:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": wait,
                "CanarySize": ONE,
            },
            "TerminationWaitInSeconds": termination,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


@pytest.fixture
def endpoint(plane: Plane) -> Endpoint:
    """An endpoint with three instances, tagged, and a configuration "green"."""
    plane.aws.alarms["errors"] = "OK"
    plane.model("old", answerer=says("old"))
    plane.model("new", answerer=says("new"))
    plane.config("green", variant("A", "new", count=3))
    plane.stores.of(SCOPE).tags[SCOPE.arn("endpoint/ep")] = {"team": "reviews"}
    return plane.create(plane.config("blue", variant("A", "old", count=3, weight=2.0)))


def green(plane: Plane) -> Any:
    return plane.stores.of(SCOPE).endpoint_configs["green"]


def told(plane: Plane) -> None:
    """Wait until every event has gone out."""
    plane.until(lambda: not plane.events._queues)


def steps(plane: Plane) -> list[tuple[str, str]]:
    """Status, and stage of the new or else of the old fleet, of each deployment event."""
    found = []
    for detail in plane.bus.details(DEPLOYMENT_CHANGE):
        pending = detail.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        stages = [
            stage["StatusMessage"]
            for each in (*pending, *detail["ProductionVariants"])
            for stage in each.get("VariantStatus", [])
        ]
        found.append((detail["EndpointStatus"], "".join(stages)))
    return found


@pytest.mark.parametrize(
    ("status", "in_events"),
    [
        ("InService", "IN_SERVICE"),
        ("UpdateRollbackFailed", "UPDATE_ROLLBACK_FAILED"),
        ("Creating", "CREATING"),
        ("OutOfService", "OUT_OF_SERVICE"),
    ],
)
def test_statuses_are_spelled_as_in_the_guide(status: str, in_events: str) -> None:
    assert spelled(status) == in_events


def test_every_status_of_a_life_is_told_with_what_serves(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN an endpoint that was created WHEN it is deleted
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.until(lambda: not plane.stores.of(SCOPE).endpoints)
    told(plane)
    # THEN each status came once, in order, as the endpoint was at that moment
    creating, in_service, deleting = plane.bus.details(STATE_CHANGE)
    assert [each["EndpointStatus"] for each in (creating, in_service, deleting)] == [
        "CREATING",
        "IN_SERVICE",
        "DELETING",
    ]
    assert creating["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert in_service == {
        "EndpointName": "ep",
        "EndpointArn": SCOPE.arn("endpoint/ep"),
        "EndpointConfigName": "blue",
        "ProductionVariants": [
            {
                "VariantName": "A",
                "CurrentWeight": 2.0,
                "DesiredWeight": 2.0,
                "CurrentInstanceCount": 3,
                "DesiredInstanceCount": 3,
            }
        ],
        "EndpointStatus": "IN_SERVICE",
        "CreationTime": int(endpoint.created_at.timestamp() * 1000 + 0.5),
        "LastModifiedTime": in_service["LastModifiedTime"],
        "Tags": {"team": "reviews"},
    }
    assert in_service["CreationTime"] <= in_service["LastModifiedTime"] <= deleting["LastModifiedTime"]
    assert {event.resource for event in plane.bus.events} == {SCOPE.arn("endpoint/ep")}
    # and nothing of it is a deployment
    assert plane.bus.details(DEPLOYMENT_CHANGE) == []


def test_a_whole_canary_is_told_step_by_step(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN an endpoint WHEN it is updated by a canary of one in three
    plane.update(endpoint, green(plane), canary())
    told(plane)
    # THEN every step is told, in the service's words
    assert steps(plane) == [
        ("UPDATING", ""),
        ("UPDATING", "Launching 3 instance(s)."),
        ("UPDATING", "Activating traffic on canary capacity of 1 instance(s)."),
        (
            "UPDATING",
            "Baking for 6 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of "
            "1 instance(s).",
        ),
        ("UPDATING", "Activating traffic on full capacity of 3 instance(s)."),
        (
            "UPDATING",
            "Baking for 6 seconds (WaitIntervalInSeconds) with traffic enabled on full capacity of "
            "3 instance(s).",
        ),
        (
            "UPDATING",
            "Baking for 6 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of "
            "3 instance(s).",
        ),
        ("UPDATING", "Terminating 3 instance(s)."),
        ("IN_SERVICE", ""),
    ]
    # and the summary has both configurations until the end, where the new one serves
    *during, end = plane.bus.details(DEPLOYMENT_CHANGE)
    assert {detail["EndpointConfigName"] for detail in during} == {"blue"}
    assert {detail["PendingDeploymentSummary"]["EndpointConfigName"] for detail in during} == {"green"}
    baking = during[3]["PendingDeploymentSummary"]["ProductionVariants"][0]
    assert (baking["CurrentInstanceCount"], baking["DesiredInstanceCount"]) == (3, 3)
    assert baking["VariantStatus"][0]["Status"] == "Baking"
    assert (end["EndpointConfigName"], "PendingDeploymentSummary" in end) == ("green", False)
    assert [detail["EndpointStatus"] for detail in plane.bus.details(STATE_CHANGE)][2:] == [
        "UPDATING",
        "IN_SERVICE",
    ]


def test_a_rollback_is_told_with_its_reason(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN a canary that bakes WHEN its alarm fires
    plane.update(endpoint, green(plane), canary(wait=3600), wait=False)
    plane.until(lambda: any("Baking" in message for _, message in steps(plane)))
    plane.aws.alarms["errors"] = "ALARM"
    plane.settle(endpoint)
    told(plane)
    # THEN the endpoint rolls back, the new fleet goes, and the old configuration serves
    assert steps(plane)[-3:] == [
        ("ROLLING_BACK", ""),
        ("ROLLING_BACK", "Terminating 3 instance(s)."),
        ("IN_SERVICE", ""),
    ]
    rolling_back, end = plane.bus.details(STATE_CHANGE)[-2:]
    assert (rolling_back["EndpointStatus"], end["EndpointStatus"]) == ("ROLLING_BACK", "IN_SERVICE")
    assert end["EndpointConfigName"] == "blue"
    assert end["FailureReason"] == "CloudWatch alarms are in ALARM state: errors."


def test_a_failed_creation_is_told_with_its_reason(plane: Plane) -> None:
    plane.model("bad", fails="It does not load.")
    plane.create(plane.config("c", variant("A", "bad")))
    told(plane)
    last = plane.bus.details(STATE_CHANGE)[-1]
    assert (last["EndpointStatus"], last["FailureReason"]) == ("FAILED", "It does not load.")


def test_a_change_of_capacity_shows_on_the_variant_itself(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN an endpoint WHEN it is scaled out
    desired = [{"VariantName": "A", "DesiredInstanceCount": 4}]
    plane.call(lambda: plane.deployments.update_weights_and_capacities(endpoint, desired))
    plane.settle(endpoint)
    told(plane)
    # THEN there is no pending deployment, and the variant says what happens
    assert steps(plane) == [
        ("UPDATING", ""),
        ("UPDATING", "Scaling out desired instance count to 4."),
        ("IN_SERVICE", ""),
    ]
    during = plane.bus.details(DEPLOYMENT_CHANGE)[1]
    assert "PendingDeploymentSummary" not in during
    assert during["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Updating"


@pytest.mark.parametrize("old", ["ml.inf1.xlarge", "ml.m5.large"])
def test_endpoints_without_guardrails_are_updated_at_once_and_tell_no_steps(plane: Plane, old: str) -> None:
    # GIVEN an endpoint to or from an instance type that is excluded, and an alarm that is red
    new = {"ml.inf1.xlarge": "ml.m5.large"}.get(old, "ml.inf1.xlarge")
    plane.aws.alarms["errors"] = "ALARM"
    plane.model("old", answerer=says("old"))
    plane.model("new", answerer=says("new"))
    endpoint = plane.create(plane.config("blue", variant("A", "old", count=2, InstanceType=old)))
    # WHEN it is updated by a canary that would bake for an hour
    plane.update(endpoint, plane.config("next", variant("A", "new", count=2, InstanceType=new)), canary(3600))
    told(plane)
    # THEN the policy is not followed, as on AWS, and only the statuses are told
    assert (endpoint.status, endpoint.config_name) == ("InService", "next")
    assert plane.bus.details(DEPLOYMENT_CHANGE) == []
    assert [detail["EndpointStatus"] for detail in plane.bus.details(STATE_CHANGE)] == [
        "CREATING",
        "IN_SERVICE",
        "UPDATING",
        "IN_SERVICE",
    ]


def test_a_bus_that_fails_for_a_while_loses_and_swaps_nothing(plane: Plane) -> None:
    # GIVEN a bus that refuses the first calls
    plane.bus.failures = [ConnectionError("away")] * 3
    # WHEN an endpoint is created
    plane.serve()
    told(plane)
    # THEN all of it arrives, in order
    assert [each["EndpointStatus"] for each in plane.bus.details(STATE_CHANGE)] == ["CREATING", "IN_SERVICE"]


def test_a_bus_that_is_gone_holds_nobody_up(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN a bus that takes nothing of one endpoint
    monkeypatch.setattr(events, "FIRST_PAUSE", 0.001)
    put: Callable[[Event], Any] = plane.bus.put

    async def picky(event: Event) -> None:
        if event.resource.endswith("/ep"):
            raise ConnectionError("no such bus")
        await put(event)

    plane.events.connect(picky)
    # WHEN that one and another are created
    with caplog.at_level(logging.WARNING, logger="sandbox.events"):
        endpoint = plane.serve()
        plane.create(plane.stores.of(SCOPE).endpoint_configs["config"], "other")
        told(plane)
    # THEN both serve, the other's events arrived, and the log says what was lost, once for each event
    assert endpoint.status == "InService"
    assert len(plane.bus.details(STATE_CHANGE, "other")) == 2
    lost = [record.getMessage() for record in caplog.records]
    assert len(lost) == 2
    assert all("endpoint/ep could not be sent" in line and "no such bus" in line for line in lost)


def test_stopping_gives_the_last_events_a_moment_and_no_more(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a bus that takes the first event late, and no other at all
    monkeypatch.setattr(events, "STOP_LIMIT", 0.2)
    arrived: list[Event] = []

    async def slow(event: Event) -> None:
        if arrived:
            await asyncio.Event().wait()
        await asyncio.sleep(0.02)
        arrived.append(event)

    plane.events.connect(slow)
    plane.serve()
    # WHEN the publisher is stopped
    plane.run(plane.events.stop())
    # THEN what could be sent was, and the rest is given up
    assert len(arrived) == 1
    assert plane.events._queues == {}
