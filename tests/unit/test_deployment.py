"""Deployment policies: their limits, what they refuse on a given fleet, and what the endpoint then holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk.assertions import Template
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_serving.deployment import AllAtOnce, Canary, CapacitySize, DeploymentPolicy, Linear, Rolling
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.variants import InstanceVariant

MINUTE = cdk.Duration.minutes(1)
HOUR = cdk.Duration.hours(1)


def seconds(number: float) -> cdk.Duration:
    return cdk.Duration.seconds(number)


def fleet(*counts: int, instance_type: str = "ml.m5.large") -> list[InstanceVariant]:
    return [
        InstanceVariant(name=f"v{index}", instance_type=instance_type, initial_instance_count=count)
        for index, count in enumerate(counts)
    ]


def against(policy: DeploymentPolicy, variants: Sequence[InstanceVariant]) -> str:
    findings = Findings("test")
    policy.check_against(findings, variants)
    return "\n".join(str(finding) for finding in findings.found)


def rendered(policy: DeploymentPolicy, alarms: Sequence[str]) -> dict[str, Any]:
    stack = cdk.Stack(cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False))
    sagemaker.CfnEndpoint(
        stack, "Endpoint", endpoint_config_name="config", deployment_config=policy.render(alarms)
    )
    [endpoint] = Template.from_stack(stack).find_resources("AWS::SageMaker::Endpoint").values()
    return dict(endpoint["Properties"]["DeploymentConfig"])


TEN = CapacitySize.percent(10)
POLICIES: list[tuple[type[DeploymentPolicy], dict[str, Any]]] = [
    (AllAtOnce, {}),
    (Canary, {"size": TEN}),
    (Linear, {"step": TEN}),
    (Rolling, {"batch": TEN}),
]
BLUE_GREEN = POLICIES[:3]
STEPWISE = POLICIES[1:]


@pytest.mark.parametrize(("kind", "size"), POLICIES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wait": seconds(3601)}, "wait = '3601 s': must be a whole number of seconds, 0 to 3600 s"),
        ({"wait": cdk.Duration.millis(1500)}, "wait = '1.5 s'"),
        ({"wait": 60}, "wait = 60: must be a duration"),
        (
            {"wait": MINUTE, "maximum_execution_timeout": seconds(599)},
            "maximum_execution_timeout = '599 s': must be a whole number of seconds, 600 to 28800 s",
        ),
        ({"wait": MINUTE, "maximum_execution_timeout": seconds(28801)}, "'28801 s'"),
    ],
    ids=["wait too long", "split second", "no duration", "timeout too short", "timeout too long"],
)
def test_waits_and_timeouts_have_limits(
    kind: type[DeploymentPolicy], size: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        kind(**size, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(("kind", "size"), BLUE_GREEN, ids=lambda value: getattr(value, "__name__", ""))
def test_the_wait_before_termination_has_a_limit(kind: type[DeploymentPolicy], size: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration, match="termination_wait = '3601 s'"):
        kind(**size, wait=MINUTE, termination_wait=seconds(3601))


@pytest.mark.parametrize("make", [CapacitySize.instances, CapacitySize.percent])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"], ids=repr)
def test_a_size_is_a_whole_number_from_one(make: Any, value: object) -> None:
    with pytest.raises(InvalidConfiguration, match="CapacitySize"):
        make(value)


def test_a_percentage_is_at_most_100() -> None:
    assert str(CapacitySize.percent(100)) == "100 %"
    with pytest.raises(InvalidConfiguration, match="from 1 to 100"):
        CapacitySize.percent(101)


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda size: Canary(size=size, wait=MINUTE), 1, 50),
        (lambda size: Linear(step=size, wait=MINUTE), 10, 50),
        (lambda size: Rolling(batch=size, wait=MINUTE), 5, 50),
    ],
    ids=["canary", "linear", "rolling"],
)
def test_a_percentage_has_the_range_of_its_policy(make: Any, low: int, high: int) -> None:
    assert make(CapacitySize.percent(low))
    assert make(CapacitySize.percent(high))
    for value in {high + 1, low - 1} - {0}:
        with pytest.raises(
            InvalidConfiguration, match=f"must be {low} to {high} % of the variant's instances"
        ):
            make(CapacitySize.percent(value))


def test_a_size_must_be_a_capacity_size() -> None:
    with pytest.raises(InvalidConfiguration, match="size = 10: must be a CapacitySize"):
        Canary(size=10, wait=MINUTE)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfiguration, match="rollback_batch = 50: must be a CapacitySize"):
        Rolling(batch=TEN, rollback_batch=50, wait=MINUTE)  # type: ignore[arg-type]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        Linear(
            step=CapacitySize.percent(5),
            wait=seconds(4000),
            termination_wait=seconds(4000),
            maximum_execution_timeout=seconds(1),
        )
    fields = {finding.field for finding in caught.value.findings}
    assert fields == {"step", "wait", "termination_wait", "maximum_execution_timeout"}


@pytest.mark.parametrize(
    ("make", "total"),
    [
        (lambda timeout: AllAtOnce(wait=seconds(600), termination_wait=seconds(100), **timeout), 700),
        (lambda timeout: Canary(size=TEN, wait=seconds(600), termination_wait=seconds(100), **timeout), 1300),
        (
            lambda timeout: Linear(
                step=CapacitySize.percent(30), wait=seconds(600), termination_wait=seconds(100), **timeout
            ),
            2500,
        ),
        (lambda timeout: Rolling(batch=CapacitySize.percent(30), wait=seconds(600), **timeout), 2400),
    ],
    ids=["all at once", "canary", "linear", "rolling"],
)
def test_the_timeout_is_more_than_all_waits_together(make: Any, total: int) -> None:
    assert make({"maximum_execution_timeout": seconds(total + 1)})
    with pytest.raises(InvalidConfiguration, match=f"all waits together, .* = {total} s"):
        make({"maximum_execution_timeout": seconds(total)})


def test_waits_that_no_timeout_can_hold_are_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"36000 s .*Fix: wait less, or take larger steps"):
        Linear(step=TEN, wait=HOUR)


@settings(deadline=None)  # each example calls into jsii
@given(percent=st.integers(10, 50), wait=st.integers(1, 600), after=st.integers(0, 600))
def test_the_sum_of_a_linear_deployment_follows_its_formula(percent: int, wait: int, after: int) -> None:
    total = math.ceil(100 / percent) * wait + after
    arguments: dict[str, Any] = {
        "step": CapacitySize.percent(percent),
        "wait": seconds(wait),
        "termination_wait": seconds(after),
    }
    if total >= 600:
        with pytest.raises(InvalidConfiguration, match=f" = {total} s"):
            Linear(**arguments, maximum_execution_timeout=seconds(total))
    assert Linear(**arguments, maximum_execution_timeout=seconds(max(600, total + 1)))


@pytest.mark.parametrize(
    ("make", "count", "legal"),
    [
        (lambda size: Canary(size=size, wait=MINUTE), 10, range(1, 6)),
        (lambda size: Canary(size=size, wait=MINUTE), 3, range(1, 2)),
        (lambda size: Linear(step=size, wait=MINUTE), 30, range(3, 16)),
        (lambda size: Linear(step=size, wait=MINUTE), 2, range(1, 2)),
        (lambda size: Rolling(batch=size, wait=MINUTE), 60, range(3, 31)),
        (lambda size: Rolling(batch=size, wait=MINUTE), 5, range(1, 3)),
    ],
    ids=["canary 10", "canary 3", "linear 30", "linear 2", "rolling 60", "rolling 5"],
)
def test_a_size_by_count_must_fit_the_fleet(make: Any, count: int, legal: range) -> None:
    for value in range(1, count + 1):
        message = against(make(CapacitySize.instances(value)), fleet(count))
        assert (message == "") == (value in legal), value
        if value not in legal:
            assert f"of the {count} of variant v0" in message


@pytest.mark.parametrize(("kind", "size"), STEPWISE, ids=lambda value: getattr(value, "__name__", ""))
def test_no_step_by_count_fits_one_instance(kind: type[DeploymentPolicy], size: dict[str, Any]) -> None:
    policy = kind(**dict.fromkeys(size, CapacitySize.instances(1)), wait=MINUTE)
    assert "needs at least 2 instances" in against(policy, fleet(1))


def test_every_variant_is_looked_at() -> None:
    message = against(Canary(size=CapacitySize.instances(2), wait=MINUTE), fleet(4, 2, 3))
    assert "v0" not in message
    assert "variant v1" in message
    assert "variant v2" in message


def test_the_waits_of_a_step_by_count_follow_from_the_largest_variant() -> None:
    policy = Linear(
        step=CapacitySize.instances(1), wait=seconds(300), maximum_execution_timeout=seconds(1500)
    )
    assert against(policy, fleet(4)) == ""
    assert "5 x 300 s = 1500 s" in against(policy, fleet(2, 5))


def test_a_count_that_is_a_token_is_not_checked() -> None:
    variants = fleet(cdk.Token.as_number(cdk.Fn.ref("Count")))  # type: ignore[arg-type]
    assert against(Canary(size=CapacitySize.instances(99), wait=MINUTE), variants) == ""


def test_waits_that_are_tokens_are_not_checked() -> None:
    unknown = cdk.Duration.seconds(cdk.Token.as_number(cdk.Fn.ref("Wait")))
    assert rendered(AllAtOnce(wait=unknown), [])["BlueGreenUpdatePolicy"] == {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": {"Ref": "Wait"}}
    }


def test_rolling_serves_one_variant_only() -> None:
    policy = Rolling(batch=CapacitySize.percent(50), wait=MINUTE)
    assert against(policy, fleet(2)) == ""
    assert "several variants cannot be updated by rolling" in against(policy, fleet(2, 2))


def test_a_rollback_batch_is_no_more_than_the_fleet() -> None:
    policy = Rolling(batch=CapacitySize.percent(50), rollback_batch=CapacitySize.instances(3), wait=MINUTE)
    assert against(policy, fleet(3)) == ""
    assert "rollback_batch = '3 instances'" in against(policy, fleet(2))


@pytest.mark.parametrize(("kind", "size"), STEPWISE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_stepwise_policy_needs_an_alarm(kind: type[DeploymentPolicy], size: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration, match="without one nothing turns a bad update back"):
        kind(**size, wait=MINUTE).render([])


@pytest.mark.parametrize(("kind", "size"), POLICIES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize(
    ("alarms", "message"),
    [
        ([f"alarm{number}" for number in range(11)], "at most 10 alarms"),
        ([""], r"alarms\[0\] = ''"),
        (["ok", "  "], r"alarms\[1\] = '  '"),
        (["x" * 256], "1 to 255 characters"),
    ],
    ids=["eleven", "empty", "spaces", "long"],
)
def test_alarms_have_limits(
    kind: type[DeploymentPolicy], size: dict[str, Any], alarms: list[str], message: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        kind(**size, wait=MINUTE).render(alarms)


def test_all_at_once_needs_no_alarm_and_always_says_how_long_it_waits() -> None:
    assert rendered(AllAtOnce(), []) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
        }
    }


def test_a_canary_renders_its_first_step_and_its_alarms() -> None:
    policy = Canary(
        size=CapacitySize.percent(10),
        wait=HOUR,
        termination_wait=MINUTE,
        maximum_execution_timeout=seconds(9000),
    )
    assert rendered(policy, ["errors", "latency"]) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 3600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
            "TerminationWaitInSeconds": 60,
            "MaximumExecutionTimeoutInSeconds": 9000,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]},
    }


def test_linear_renders_its_step_and_no_canary() -> None:
    policy = rendered(Linear(step=CapacitySize.instances(2), wait=MINUTE), ["errors"])
    assert policy["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] == {
        "Type": "LINEAR",
        "WaitIntervalInSeconds": 60,
        "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 2},
    }


def test_rolling_renders_its_batches_and_no_blue_green() -> None:
    policy = Rolling(
        batch=CapacitySize.percent(25),
        rollback_batch=CapacitySize.percent(100),
        wait=MINUTE,
        maximum_execution_timeout=HOUR,
    )
    assert rendered(policy, ["errors"]) == {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
            "WaitIntervalInSeconds": 60,
            "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 100},
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }


def test_an_alarm_name_that_is_a_token_is_not_checked() -> None:
    name = cdk.Fn.ref("Alarm")
    policy = rendered(Canary(size=TEN, wait=MINUTE), [name])
    assert policy["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": {"Ref": "Alarm"}}]}


def test_a_percentage_of_one_instance_is_a_warning() -> None:
    canary = Canary(size=TEN, wait=MINUTE)
    assert "needs at least 2 instances to be gradual" in canary.warnings_against(fleet(1))[0]
    assert canary.warnings_against(fleet(2)) == ()
    assert AllAtOnce().warnings_against(fleet(1)) == ()


def test_inf1_is_a_warning_for_every_policy() -> None:
    variants = fleet(2, instance_type="ml.inf1.xlarge")
    for kind, size in POLICIES:
        assert (
            "excluded from deployment guardrails" in kind(**size, wait=MINUTE).warnings_against(variants)[0]
        )
