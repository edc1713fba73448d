"""DeploymentConfig: which policies fit which configurations."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sandbox.control_plane.deployment_rules import deployment_findings
from sandbox.store import Params

PERCENT, COUNT = "CAPACITY_PERCENT", "INSTANCE_COUNT"


def config(*counts: int) -> Params:
    return {
        "ProductionVariants": [
            {"VariantName": f"v{n}", "InitialInstanceCount": c} for n, c in enumerate(counts)
        ]
    }


def blue_green(
    kind: str, wait: int = 0, timeout: int | None = None, termination: int = 0, **sizes: Any
) -> Params:
    policy: Params = {
        "TrafficRoutingConfiguration": {
            "Type": kind,
            "WaitIntervalInSeconds": wait,
            **{name: {"Type": t, "Value": v} for name, (t, v) in sizes.items()},
        },
        "TerminationWaitInSeconds": termination,
    }
    if timeout:
        policy["MaximumExecutionTimeoutInSeconds"] = timeout
    return {"BlueGreenUpdatePolicy": policy}


def rolling(kind: str, value: int, wait: int = 0, **more: Any) -> Params:
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": kind, "Value": value},
            "WaitIntervalInSeconds": wait,
            **more,
        }
    }


@pytest.mark.parametrize(
    ("deployment", "target"),
    [
        (blue_green("ALL_AT_ONCE", wait=300), config(1)),
        (blue_green("CANARY", CanarySize=(PERCENT, 1)), config(1)),
        (blue_green("CANARY", CanarySize=(COUNT, 1)), config(2, 3)),
        (blue_green("LINEAR", wait=1000, LinearStepSize=(PERCENT, 10)), config(1)),
        (blue_green("LINEAR", LinearStepSize=(COUNT, 2)), config(4)),
        (rolling(PERCENT, 5), config(1)),
        (rolling(COUNT, 1, RollbackMaximumBatchSize={"Type": PERCENT, "Value": 100}), config(2)),
        (blue_green("CANARY", wait=299, timeout=600, CanarySize=(PERCENT, 10)), config(2)),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}, config(1)),
    ],
)
def test_a_policy_within_the_limits_is_accepted(deployment: Params, target: Params) -> None:
    # GIVEN a policy at the edge of what is legal
    # WHEN it is checked for a new endpoint and for an update
    names = frozenset(variant["VariantName"] for variant in target["ProductionVariants"])

    # THEN it passes
    assert list(deployment_findings(deployment, target)) == []
    assert list(deployment_findings(deployment, target, names)) == []


@pytest.mark.parametrize(
    ("deployment", "target", "finding"),
    [
        (
            blue_green("ALL_AT_ONCE") | rolling(PERCENT, 10),
            config(2),
            "either BlueGreenUpdatePolicy or RollingUpd",
        ),
        (blue_green("CANARY"), config(2), "of Type CANARY needs CanarySize"),
        (blue_green("LINEAR"), config(2), "of Type LINEAR needs LinearStepSize"),
        (
            blue_green("ALL_AT_ONCE", CanarySize=(PERCENT, 10)),
            config(2),
            "CanarySize is for Type CANARY, not for ALL_AT_ONCE",
        ),
        (
            blue_green("CANARY", CanarySize=(PERCENT, 10), LinearStepSize=(PERCENT, 10)),
            config(2),
            "LinearStepSize is for Type LINEAR, not for CANARY",
        ),
        (blue_green("CANARY", CanarySize=(PERCENT, 51)), config(2), "between 1 and 50 percent, not 51"),
        (
            blue_green("CANARY", CanarySize=(COUNT, 1)),
            config(1),
            "CanarySize by INSTANCE_COUNT needs at least 2 instances; variant v0 has 1",
        ),
        (
            blue_green("CANARY", CanarySize=(COUNT, 2)),
            config(3),
            "must be between 1 and 1 instances (1 to 50 percent) of variant v0, which has 3; it is 2",
        ),
        (blue_green("LINEAR", LinearStepSize=(PERCENT, 9)), config(2), "between 10 and 50 percent, not 9"),
        (
            blue_green("LINEAR", LinearStepSize=(COUNT, 1)),
            config(20),
            "LinearStepSize must be between 2 and 10 instances (10 to 50 percent)",
        ),
        (rolling(PERCENT, 4), config(2), "MaximumBatchSize must be between 5 and 50 percent, not 4"),
        (rolling(PERCENT, 10), config(2, 2), "not supported for endpoints with several production variants"),
        (
            rolling(PERCENT, 10),
            {"ProductionVariants": [{"VariantName": "v0", "ServerlessConfig": {}}]},
            "RollingUpdatePolicy is not supported for serverless variants",
        ),
        (
            rolling(PERCENT, 10, RollbackMaximumBatchSize={"Type": PERCENT, "Value": 101}),
            config(2),
            "RollbackMaximumBatchSize must be at most 100 percent, not 101",
        ),
        (
            rolling(COUNT, 1, RollbackMaximumBatchSize={"Type": COUNT, "Value": 3}),
            config(2),
            "RollbackMaximumBatchSize must be at most the 2 instances of variant v0, not 3",
        ),
        (
            blue_green("CANARY", wait=300, timeout=600, CanarySize=(PERCENT, 10)),
            config(2),
            "600 must be greater than the sum of all waits, which is 600 seconds",
        ),
        (
            blue_green("LINEAR", wait=3600, LinearStepSize=(PERCENT, 10)),
            config(2),
            "28800 must be greater than the sum of all waits, which is 36000 seconds",
        ),
        (
            blue_green("ALL_AT_ONCE", wait=500, termination=100, timeout=600),
            config(2),
            "the sum of all waits, which is 600 seconds",
        ),
        (
            rolling(COUNT, 1, wait=3600, MaximumExecutionTimeoutInSeconds=7000),
            config(2),
            "which is 7200 seconds",
        ),
        (
            {"AutoRollbackConfiguration": {"Alarms": [{}]}},
            config(1),
            "every alarm of AutoRollbackConfiguration",
        ),
    ],
)
def test_a_policy_beyond_a_limit_is_refused(deployment: Params, target: Params, finding: str) -> None:
    # GIVEN a policy with one mistake
    before = copy.deepcopy(deployment)

    # WHEN it is checked
    findings = list(deployment_findings(deployment, target))

    # THEN the rule is told once, and the request is untouched
    assert len(findings) == 1
    assert finding in findings[0]
    assert deployment == before


def test_steps_are_held_against_the_instances_that_there_will_be() -> None:
    # GIVEN a canary of two instances, for a variant that is configured with four
    deployment, target = blue_green("CANARY", CanarySize=(COUNT, 2)), config(4)

    # WHEN the endpoint has been scaled to three, and keeps that
    findings = list(deployment_findings(deployment, target, frozenset({"v0"}), {"v0": 3, "gone": 9}))

    # THEN two are too many, while they would do for a fleet as configured
    assert findings == [
        "CanarySize must be between 1 and 1 instances (1 to 50 percent) of variant v0, which has 3; it is 2"
    ]
    assert list(deployment_findings(deployment, target, frozenset({"v0"}))) == []


def test_all_findings_are_told_together() -> None:
    # GIVEN a rolling update of two variants of which one has another name, with too large a batch and too
    # little time
    deployment = rolling(PERCENT, 60, wait=600, MaximumExecutionTimeoutInSeconds=600)

    # WHEN it is checked
    findings = list(deployment_findings(deployment, config(2, 2), frozenset({"v0"})))

    # THEN nothing is left for the next attempt
    assert [finding.split()[0] for finding in findings] == [
        "RollingUpdatePolicy",
        "MaximumBatchSize",
        "MaximumExecutionTimeoutInSeconds",
        "an",
    ]
