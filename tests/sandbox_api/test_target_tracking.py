"""What target tracking does when its alarms fire."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms import AlarmEvaluator, Point
from sandbox.autoscaling.capacity import track_in, track_out
from sandbox.clock import Clock
from sandbox.store import Params, Scope
from tests.sandbox_api.scaled import WHICH, Scaled
from tests.sandbox_api.world import SCOPE, World


@pytest.mark.parametrize(("per_minute", "count"), [(101, 3), (150, 3), (151, 4), (320, 7), (5000, 10)])
def test_target_tracking_scales_out_in_proportion(scaled: Scaled, per_minute: float, count: int) -> None:
    # GIVEN 2 instances and more traffic than the target
    scaled.track()
    scaled.traffic(per_minute)

    # WHEN the high alarm fires
    scaled.high()

    # THEN as many instances are wanted as bring the traffic per instance under the target, up to the maximum
    assert scaled.count == count
    activity = scaled.settled()
    assert activity["Description"] == f"Setting desired instance count to {count}."
    assert activity["Cause"] == f"monitor alarm {scaled.alarms[0]} in state ALARM triggered policy p"
    assert activity["StatusCode"] == "Successful"
    assert activity["StatusMessage"] == (
        f"Successfully set desired instance count to {count}. Change successfully fulfilled by sagemaker."
    )


@pytest.mark.parametrize(("per_minute", "count"), [(0, 1), (20, 1), (49, 1), (51, 2), (89, 2)])
def test_target_tracking_scales_in_no_further_than_the_target_allows(
    scaled: Scaled, per_minute: float, count: int
) -> None:
    # GIVEN 2 instances and less traffic than the target
    scaled.track()
    scaled.traffic(per_minute)

    # WHEN the low alarm fires
    scaled.low()

    # THEN only as many instances go as keep the traffic per instance under the target
    assert scaled.count == count


def test_nothing_scales_without_data(scaled: Scaled) -> None:
    # GIVEN a policy, and no metric at all
    scaled.track(
        PredefinedMetricSpecification={
            "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        }
    )

    # WHEN its alarms fire
    scaled.high()
    scaled.low()

    # THEN nothing changes
    assert scaled.count == 2
    assert scaled.activities() == []


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_only_the_alarm_state_scales(scaled: Scaled, state: str) -> None:
    # GIVEN a policy with traffic to scale out for
    scaled.track()
    scaled.traffic(500)

    # WHEN the alarm calls in another state, or from another Region, or for a policy that is not there
    scaled.fire(scaled.alarms[0], state)
    scaled.fire(scaled.alarms[0], scope=Scope(SCOPE.account, "us-east-1"))
    scaled.arn += "x"
    scaled.high()

    # THEN nothing changes
    assert scaled.count == 2


def test_within_the_cooldown_only_a_greater_need_scales_out(scaled: Scaled) -> None:
    # GIVEN a scale-out from 2 to 4
    scaled.track()
    scaled.traffic(200)
    scaled.high()
    scaled.settled()
    assert scaled.count == 4

    # WHEN the alarm goes on firing with the same traffic, then with more
    scaled.high()
    same = scaled.count
    scaled.traffic(300)
    scaled.high()

    # THEN what was added counts until the cooldown is over
    assert (same, scaled.count) == (4, 6)


def test_after_a_change_only_newer_data_count(scaled: Scaled) -> None:
    # GIVEN policies without cooldown, and a change in either direction
    scaled.track(ScaleOutCooldown=0, ScaleInCooldown=0)
    scaled.traffic(200)
    scaled.high()
    scaled.settled()

    # WHEN alarms fire again before a period has passed
    scaled.high()
    scaled.traffic(10)
    scaled.low()

    # THEN data of the smaller fleet are not mistaken for the larger one's
    assert scaled.count == 4


def test_a_scale_in_waits_for_its_cooldown(scaled: Scaled) -> None:
    # GIVEN 2 instances, of which one was just taken out
    scaled.track()
    scaled.traffic(10)
    scaled.low()
    scaled.settled()
    assert scaled.count == 1
    scaled.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredInstanceCount": 3}]
    )

    # WHEN the low alarm goes on firing
    scaled.low()

    # THEN no more go; but a scale-out is not held up
    assert scaled.count == 3
    scaled.traffic(200)
    target = next(scaled.world.autoscaling._registry.targets(SCOPE))
    target.changed_at = 0.0
    scaled.high()
    assert scaled.count == 6


def test_scale_in_can_be_disabled_and_either_side_suspended(scaled: Scaled) -> None:
    # GIVEN a policy that never scales in
    scaled.track(DisableScaleIn=True)
    scaled.traffic(0)
    scaled.low()
    assert scaled.count == 2

    # WHEN scaling in is allowed but suspended, and scaling out is suspended too
    scaled.track(DisableScaleIn=False)
    suspended = {"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": True}
    scaled.autoscaling.register_scalable_target(**WHICH, SuspendedState=suspended)
    scaled.low()
    scaled.traffic(500)
    scaled.high()
    held = scaled.count

    # THEN nothing changes until it is resumed
    scaled.autoscaling.register_scalable_target(**WHICH, SuspendedState=dict.fromkeys(suspended, False))
    scaled.high()
    assert (held, scaled.count) == (2, 10)


def test_all_tracking_policies_must_be_ready_before_any_scales_in(scaled: Scaled) -> None:
    # GIVEN two policies
    scaled.track("first")
    first = (scaled.arn, list(scaled.alarms))
    scaled.track("second")
    scaled.traffic(10)

    # WHEN the low alarm of one fires, then that of the other
    scaled.low()
    alone = scaled.count
    scaled.arn, scaled.alarms = first
    scaled.low()

    # THEN the instance goes with the second one
    assert (alone, scaled.count) == (2, 1)


@given(st.integers(1, 100), st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_tracking_reaches_the_target_and_wastes_no_instance(
    capacity: int, metric: float, target: float
) -> None:
    # GIVEN a fleet with a metric above or under the target
    # WHEN the capacity is computed
    # THEN the same load on that many instances is at or under the target, and on one fewer it is above
    load = capacity * metric
    if metric > target:
        wanted = track_out(capacity, metric, target)
        assert wanted > capacity
        assert load / wanted <= target * (1 + 1e-9)
    else:
        wanted = track_in(capacity, metric, target)
        assert 1 <= wanted <= capacity
        assert load / wanted <= target * (1 + 1e-9)
        assert wanted == 1 or load / (wanted - 1) > target * (1 - 1e-9)


class Source:
    """CloudWatch for the evaluator, over the fake that the policies use."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.states: dict[str, str] = {}

    def scopes(self) -> list[Scope]:
        return [SCOPE]

    def alarms(self, scope: Scope) -> Iterator[Params]:
        for name, alarm in list(self.world.cloudwatch.alarms.items()):
            yield alarm | {"StateValue": self.states.get(name, "INSUFFICIENT_DATA")}

    def points(self, scope: Scope, namespace: str, metric: str, dimensions: Any) -> list[Point]:
        return [
            Point.of_value(at, value)
            for at, name, value, _ in list(self.world.cloudwatch.published)
            if name == metric
        ]

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        self.states[alarm_name] = state


@pytest.mark.parametrize("world", [60.0], indirect=True)
def test_from_traffic_to_instances_with_minutes_as_seconds(scaled: Scaled, world: World) -> None:
    # GIVEN a world in which a minute takes a second, with 2 instances under target tracking
    scaled.track()

    def fire(arn: str, alarm: str, state: str, scope: Scope) -> None:
        world.run(world.autoscaling.alarm_fired(arn, alarm, state, scope))

    evaluator = AlarmEvaluator(Source(world), Clock(60.0), fire)
    start = time.time()

    # WHEN 360 invocations a minute keep arriving, an equal share at each instance
    def served() -> bool:
        nonlocal start
        now = time.time()
        share = 360 * (now - start) / scaled.count
        start = now
        world.cloudwatch.published.append((now, "InvocationsPerInstance", share, 1.0))
        evaluator.evaluate(now)
        return scaled.count >= 4

    scaled.until(served)

    # THEN the fleet grew because the high alarm fired
    assert "AlarmHigh" in scaled.settled()["Cause"]


def test_variants_without_traffic_report_zeros(scaled: Scaled, caplog: pytest.LogCaptureFixture) -> None:
    # GIVEN a policy on invocations, and one on another metric
    other = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
    scaled.track()
    scaled.track("other", PredefinedMetricSpecification=other)

    # WHEN nobody invokes the endpoint
    # THEN zeros come all the same, so that the low alarm has data to fire on
    published = scaled.world.cloudwatch.published
    scaled.until(lambda: published)
    assert {(metric, value) for _, metric, value, _ in published} == {("InvocationsPerInstance", 0.0)}
    assert not caplog.records
