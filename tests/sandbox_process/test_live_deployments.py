"""Deployments of real model servers under 50 requests a second: shares, failures, events."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import pytest

from sandbox.home import State
from sandbox.store import Params
from tests.sandbox_process.live import FAILS, SAYS, Live, Load, at_once, canary, linear, seconds


@pytest.fixture(scope="module")
def live(sandbox: State) -> Iterator[Live]:
    live = Live(sandbox)
    live.config("live-v1", SAYS.format(answer="v1"))
    live.config("live-v2", FAILS)
    live.config("live-v3", SAYS.format(answer="v3"))
    yield live
    live.close()


def baking(live: Live, endpoint: str) -> Params | None:
    """PendingDeploymentSummary of an endpoint while its new fleet bakes."""
    pending: Params = live.sagemaker.describe_endpoint(EndpointName=endpoint).get(
        "PendingDeploymentSummary", {}
    )
    stages = [
        stage for each in pending.get("ProductionVariants", []) for stage in each.get("VariantStatus", [])
    ]
    return pending if any(stage["Status"] == "Baking" for stage in stages) else None


def test_a_canary_that_always_fails_costs_its_share_and_is_rolled_back(live: Live) -> None:
    # GIVEN three instances under load, an alarm on the fleet to come, and a queue that hears of it all
    with live.endpoint("canary", "live-v1") as endpoint, Load(live, endpoint) as load:
        queue = live.listen(endpoint)
        alarm = live.alarm("canary-errors", endpoint, "live-v2")
        live.until("some load", lambda: len(load.answers) > 50)

        # WHEN a version that raises on every call is deployed to one in three
        live.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName="live-v2", DeploymentConfig=canary(alarm)
        )
        described = live.settled(endpoint)
        answered = len(load.answers)
        live.until("load after the rollback", lambda: len(load.answers) > answered + 150)
        statuses = live.until(
            "the last event", lambda: queue.read() and len(found := queue.statuses()) == 3 and found
        )

    # THEN the old configuration serves, and the endpoint says why
    assert described["EndpointConfigName"] == "live-v1"
    assert described["FailureReason"] == f"CloudWatch alarms are in ALARM state: {alarm}."
    # AND at most the canary's share of the requests failed, and none before and after
    failed = load.failures
    during = load.between(failed[0].sent, failed[-1].sent)
    share, error = len(failed) / len(during), sqrt(1 / 3 * 2 / 3 / len(during))
    assert len(failed) > 10
    assert share <= 1 / 3 + 3 * error, f"{len(failed)} of {len(during)} failed"
    assert all(answer.text == "v1" for answer in load.answers[answered:])
    assert "Received server error (500)" in failed[0].error
    # AND the canary never got further, and EventBridge heard of each step in order
    assert statuses == ["UPDATING", "ROLLING_BACK", "IN_SERVICE"]
    assert [stage["StatusMessage"] for stage in queue.stages()] == [
        "Launching 3 instance(s).",
        "Activating traffic on canary capacity of 1 instance(s).",
        "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of "
        "1 instance(s).",
        "Terminating 3 instance(s).",
    ]
    assert queue.events[-1]["detail"]["EndpointConfigName"] == "live-v1"


def test_a_good_linear_update_shows_its_thirds_and_fails_no_request(live: Live) -> None:
    # GIVEN three instances under load
    with live.endpoint("linear", "live-v1") as endpoint, Load(live, endpoint) as load:
        queue = live.listen(endpoint)
        alarm = live.alarm("linear-errors", endpoint, "live-v3")
        live.until("some load", lambda: len(load.answers) > 50)

        # WHEN a good version is deployed in steps of 33 percent
        live.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName="live-v3", DeploymentConfig=linear(alarm)
        )
        described = live.settled(endpoint)
        answered = len(load.answers)
        live.until("load after the update", lambda: len(load.answers) > answered + 100)
        live.until("the last event", lambda: queue.read() and queue.statuses()[-1:] == ["IN_SERVICE"])

    # THEN it serves, and not one request failed
    assert described["EndpointConfigName"] == "live-v3"
    assert load.failures == []
    assert {answer.text for answer in load.answers[answered:]} == {"v3"}
    # AND each step brought a third of the traffic more
    stages = queue.stages()
    shifts = [stage for stage in stages if stage["Status"] == "ActivatingTraffic"]
    bakes = [stage for stage in stages if stage["Status"] == "Baking"]
    assert [stage["StatusMessage"] for stage in shifts] == [
        "Activating traffic on partial capacity of 1 instance(s).",
        "Activating traffic on partial capacity of 2 instance(s).",
        "Activating traffic on full capacity of 3 instance(s).",
    ]
    ends = [*map(seconds, shifts[1:]), load.answers[-1].sent]
    for expected, bake, end in zip((1 / 3, 2 / 3, 1.0), bakes, ends, strict=True):
        step = load.between(seconds(bake), end)
        share = sum(answer.text == "v3" for answer in step) / len(step)
        # four standard errors: one run in ten thousand is further off
        assert abs(share - expected) <= 4 * sqrt(expected * (1 - expected) / len(step)), (expected, len(step))


def test_a_good_canary_goes_all_the_way_and_fails_no_request(live: Live) -> None:
    # GIVEN three instances under load
    with live.endpoint("good", "live-v1") as endpoint, Load(live, endpoint) as load:
        queue = live.listen(endpoint)
        alarm = live.alarm("good-errors", endpoint, "live-v3")
        live.until("some load", lambda: len(load.answers) > 50)

        # WHEN a good version is deployed by a canary
        live.sagemaker.update_endpoint(
            EndpointName=endpoint, EndpointConfigName="live-v3", DeploymentConfig=canary(alarm, wait=120)
        )
        pending = live.until("the canary", lambda: baking(live, endpoint))
        described = live.settled(endpoint)
        live.until("the last event", lambda: queue.read() and queue.statuses()[-1:] == ["IN_SERVICE"])

    # THEN it went all the way, and not one request failed
    assert described["EndpointConfigName"] == "live-v3"
    assert "FailureReason" not in described
    assert load.failures == []
    assert load.answers[-1].text == "v3"
    # AND DescribeEndpoint showed the deployment while it ran
    main = pending["ProductionVariants"][0]
    assert pending["EndpointConfigName"] == "live-v3"
    assert (main["CurrentInstanceCount"], main["DesiredInstanceCount"]) == (3, 3)
    assert "canary capacity of 1 instance(s)" in main["VariantStatus"][0]["StatusMessage"]
    assert pending["StartTime"] <= main["VariantStatus"][0]["StartTime"]
    # AND EventBridge heard of each step in order
    assert [stage["Status"] for stage in queue.stages()] == [
        "Creating",
        "ActivatingTraffic",
        "Baking",
        "ActivatingTraffic",
        "Baking",
        "Baking",
    ]
    assert queue.statuses() == ["UPDATING", "IN_SERVICE"]
    types = {event["detail-type"] for event in queue.events}
    assert types == {"SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"}
    first = queue.events[0]
    assert (first["source"], first["resources"]) == ("aws.sagemaker", [described["EndpointArn"]])


def test_an_old_fleet_that_is_red_does_not_abort_what_replaces_it(live: Live) -> None:
    # GIVEN an endpoint on which every request fails, and an alarm that is red for it
    live.config("live-red", FAILS, count=1)
    live.config("live-mended", SAYS.format(answer="mended"), count=1)
    with live.endpoint("red", "live-red") as endpoint, Load(live, endpoint, rate=20) as load:
        alarm = live.alarm("red-errors", endpoint, "live-red")
        live.until("the alarm", lambda: live.state(alarm) == "ALARM")

        # WHEN the alarm is given the fleet to come, and a good version is deployed at once
        live.alarm(alarm, endpoint, "live-mended")
        live.sagemaker.update_endpoint(
            EndpointName=endpoint,
            EndpointConfigName="live-mended",
            DeploymentConfig=at_once(alarm, wait=60),
        )
        described = live.settled(endpoint)
        answered = len(load.answers)
        live.until("load after the update", lambda: len(load.answers) > answered + 20)

    # THEN it goes through
    assert (described["EndpointConfigName"], described.get("FailureReason")) == ("live-mended", None)
    assert {answer.text for answer in load.answers[answered:]} == {"mended"}
