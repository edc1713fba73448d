"""What scaling policies do when their alarms fire."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms import AlarmEvaluator, Point
from sandbox.autoscaling.capacity import step, step_findings, track_in, track_out
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.store import Params, Scope
from tests.sandbox_api.world import SCOPE, World

WHICH = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/blue",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


class Scaled:
    """An endpoint with 2 instances under a policy, 1 to 10 instances."""

    def __init__(self, world: World, autoscaling: Any, sagemaker: Any, until: Any) -> None:
        self.world, self.autoscaling, self.sagemaker, self.until = world, autoscaling, sagemaker, until
        self.arn = ""
        self.alarms: list[str] = []
        self.name = "p"

    def track(self, name: str = "p", **config: Any) -> Scaled:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        return self._put(
            name,
            "TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 100.0,
                "PredefinedMetricSpecification": metric,
                **config,
            },
        )

    def step(self, **config: Any) -> Scaled:
        alarm = {
            "AlarmName": "mine",
            "Namespace": "AWS/SageMaker",
            "MetricName": "InvocationsPerInstance",
            "Dimensions": [],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 100.0,
        }
        self.world.cloudwatch.alarms["mine"] = alarm
        return self._put("p", "StepScaling", StepScalingPolicyConfiguration=config)

    def _put(self, name: str, kind: str, **config: Any) -> Scaled:
        made = self.autoscaling.put_scaling_policy(**WHICH, PolicyName=name, PolicyType=kind, **config)
        self.arn, self.alarms = made["PolicyARN"], [alarm["AlarmName"] for alarm in made["Alarms"]]
        self.name = name
        return self

    def traffic(self, per_minute: float) -> None:
        """Twenty minutes of it, per instance."""
        now = time.time()
        self.world.cloudwatch.published = [
            (now - age, "InvocationsPerInstance", per_minute / 6, 1.0) for age in range(0, 1200, 10)
        ]

    def fire(self, alarm: str, state: str = "ALARM", scope: Scope = SCOPE) -> None:
        self.world.run(self.world.autoscaling.alarm_fired(self.arn, alarm, state, scope))

    def high(self) -> None:
        self.fire(self.alarms[0])

    def low(self) -> None:
        self.fire(self.alarms[1])

    @property
    def count(self) -> int:
        answer = self.sagemaker.describe_endpoint(EndpointName="e")
        count: int = answer["ProductionVariants"][0]["DesiredInstanceCount"]
        return count

    def activities(self, **more: Any) -> list[Params]:
        found = self.autoscaling.describe_scaling_activities(ServiceNamespace="sagemaker", **more)
        activities: list[Params] = found["ScalingActivities"]
        return activities

    def settled(self) -> Params:
        """The newest activity, once it has ended."""
        self.until(lambda: "EndTime" in self.activities(IncludeNotScaledActivities=True)[0])
        return self.activities(IncludeNotScaledActivities=True)[0]


@pytest.fixture
def scaled(world: World, autoscaling: Any, sagemaker: Any, make_endpoint: Any, until: Any) -> Scaled:
    make_endpoint("e")
    autoscaling.register_scalable_target(**WHICH, MinCapacity=1, MaxCapacity=10)
    return Scaled(world, autoscaling, sagemaker, until)


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


@pytest.mark.parametrize("status", ["Updating", "Creating", "Failed"])
def test_an_endpoint_that_is_not_in_service_is_left_alone(scaled: Scaled, status: str) -> None:
    # GIVEN an endpoint that is being changed
    scaled.track()
    scaled.traffic(500)
    scaled.world.endpoint("e").status = status

    # WHEN the alarm fires
    scaled.high()

    # THEN nothing is asked of it
    assert [what for what, _ in scaled.world.deployments.calls] == ["create"]
    assert scaled.activities() == []


def test_at_its_limits_a_policy_notes_once_that_it_did_not_scale(scaled: Scaled) -> None:
    # GIVEN a fleet at its maximum
    scaled.autoscaling.register_scalable_target(**WHICH, MaxCapacity=2)
    scaled.track()
    scaled.traffic(500)

    # WHEN the high alarm fires again and again
    reads = scaled.world.cloudwatch.reads
    for _ in range(3):
        scaled.high()

    # THEN one not-scaled activity tells so on request, and no metric was read for it
    assert scaled.activities() == []
    (activity,) = scaled.activities(IncludeNotScaledActivities=True)
    assert activity["NotScaledReasons"] == [
        {"Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 2, "MaxCapacity": 2}
    ]
    assert activity["Description"] == "Attempting to scale due to alarm triggered"
    assert scaled.world.cloudwatch.reads == reads


def test_a_refused_change_fails_its_activity_and_is_not_repeated_at_once(scaled: Scaled) -> None:
    # GIVEN no room for more model servers
    scaled.track()
    scaled.traffic(500)
    scaled.world.deployments.refusal = ServiceError("ResourceLimitExceeded", "No more than 24 model servers.")

    # WHEN the alarm fires twice
    scaled.high()
    scaled.high()

    # THEN one activity failed, with the reason
    (activity,) = scaled.activities()
    assert activity["StatusCode"] == "Failed"
    assert activity["StatusMessage"] == (
        "Failed to set desired instance count to 10. Reason: No more than 24 model servers."
    )


def test_a_change_that_sagemaker_cannot_fulfil_is_followed_up(scaled: Scaled) -> None:
    # GIVEN a SageMaker that comes up one instance short, after a while
    scaled.track()
    scaled.traffic(200)
    scaled.world.deployments.hold = True
    scaled.world.deployments.short_by = 1

    # WHEN the policy scales out
    scaled.high()
    during = scaled.activities()[0]
    scaled.world.loop.call_soon_threadsafe(scaled.world.deployments.finish)

    # THEN the activity is in progress first, then failed
    assert during["StatusCode"] == "InProgress"
    assert during["StatusMessage"].endswith("Waiting for change to be fulfilled by sagemaker.")
    assert scaled.settled()["StatusCode"] == "Failed"


def test_step_scaling_takes_the_step_that_covers_the_breach(scaled: Scaled) -> None:
    # GIVEN a policy with two steps, called by an alarm of the user
    scaled.step(
        AdjustmentType="ChangeInCapacity",
        MetricAggregationType="Maximum",
        StepAdjustments=[
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 50.0, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 50.0, "ScalingAdjustment": 3},
        ],
    )
    scaled.traffic(160)

    # WHEN the alarm with threshold 100 fires, and goes on firing within the cooldown
    scaled.fire("mine")
    scaled.settled()
    scaled.fire("mine")

    # THEN the second step was taken, once
    assert scaled.count == 5


def test_step_scaling_scales_in_too(scaled: Scaled) -> None:
    # GIVEN a policy for an alarm that fires under its threshold
    scaled.step(
        AdjustmentType="ExactCapacity",
        StepAdjustments=[{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": 1}],
    )
    scaled.traffic(10)

    # WHEN it fires, and an alarm that is gone
    scaled.fire("gone")
    unchanged = scaled.count
    scaled.fire("mine")

    # THEN the capacity is the exact one
    assert (unchanged, scaled.count) == (2, 1)


CHANGE, PERCENT, EXACT = "ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"


@pytest.mark.parametrize(
    ("kind", "adjustment", "least", "capacity", "expected"),
    [
        (CHANGE, 3, None, 2, 5),
        (CHANGE, -3, None, 2, 0),
        (EXACT, 7, None, 2, 7),
        (PERCENT, 50, None, 10, 15),
        (PERCENT, 127, None, 10, 22),  # 12.7 becomes 12
        (PERCENT, 10, None, 3, 4),  # 0.3 becomes 1
        (PERCENT, -10, None, 3, 2),  # -0.3 becomes -1
        (PERCENT, -67, None, 10, 4),  # -6.7 becomes -6
        (PERCENT, 10, 2, 3, 5),
        (PERCENT, -10, 2, 3, 1),
        (PERCENT, 0, 2, 3, 3),
    ],
)
def test_adjustments_round_as_documented(
    kind: str, adjustment: int, least: int | None, capacity: int, expected: int
) -> None:
    # GIVEN one step without bounds
    config: Params = {"AdjustmentType": kind, "StepAdjustments": [{"ScalingAdjustment": adjustment}]}
    if least is not None:
        config["MinAdjustmentMagnitude"] = least

    # WHEN it is applied
    # THEN the capacity is rounded as the API documents
    assert step(config, capacity, 1.0) == expected


@pytest.mark.parametrize(
    ("breach", "adjustment"), [(0.0, 1), (9.9, 1), (10.0, 2), (99.0, 2), (-0.1, -1), (-10.0, -2), (-99.0, -2)]
)
def test_bounds_of_steps_are_inclusive_towards_the_threshold(breach: float, adjustment: int) -> None:
    # GIVEN steps on both sides of the threshold
    config = {
        "AdjustmentType": CHANGE,
        "StepAdjustments": [
            {"MetricIntervalUpperBound": -10.0, "ScalingAdjustment": -2},
            {"MetricIntervalLowerBound": -10.0, "MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1},
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 2},
        ],
    }
    assert not list(step_findings(config))

    # WHEN the metric lies so far from the threshold
    # THEN exactly that step is taken
    assert step(config, 10, breach) == 10 + adjustment


@pytest.mark.parametrize(
    ("steps", "finding"),
    [
        ([], "StepAdjustments needs at least one step"),
        ([(0, 10), (5, None)], "one ends at 10, the next starts at 5"),
        ([(0, 10), (20, None)], "one ends at 10, the next starts at 20"),
        ([(10, 10)], "a step needs a lower bound below its upper bound, not 10 and 10"),
        ([(None, None), (0, 1)], "a step without bounds must be the only one"),
    ],
)
def test_steps_that_overlap_or_leave_gaps_are_refused(steps: list[Any], finding: str) -> None:
    # GIVEN steps with one mistake
    bounds = ("MetricIntervalLowerBound", "MetricIntervalUpperBound")
    adjustments = [
        {"ScalingAdjustment": 1}
        | {name: float(value) for name, value in zip(bounds, pair, strict=True) if value is not None}
        for pair in steps
    ]

    # WHEN they are checked
    # THEN the mistake is named
    findings = list(step_findings({"AdjustmentType": CHANGE, "StepAdjustments": adjustments}))
    assert any(finding in text for text in findings)


def test_a_step_that_does_not_cover_the_breach_changes_nothing() -> None:
    # GIVEN a step above the threshold only
    config = {
        "AdjustmentType": CHANGE,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    }

    # WHEN the metric lies under it
    # THEN there is no new capacity
    assert step(config, 3, -5.0) is None


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
