"""DeploymentConfig as steps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.deployments.policy import CapacitySize, Policy


def blue_green(kind: str, **routing: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": 60, **routing},
            "TerminationWaitInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 900,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]},
    }


def test_without_a_config_all_at_once_and_no_waits() -> None:
    policy = Policy.of(None)
    assert policy == Policy()
    assert policy.shifts({"A": 3}) == [{"A": 1.0}]
    assert (policy.wait, policy.termination_wait, policy.alarms) == (0, 0, ())


def test_all_members_are_read() -> None:
    policy = Policy.of(blue_green("ALL_AT_ONCE"))
    assert (policy.wait, policy.termination_wait, policy.timeout) == (60, 120, 900)
    assert policy.alarms == ("errors", "latency")
    assert policy.shifts({"A": 1}) == [{"A": 1.0}]


@pytest.mark.parametrize(
    ("size", "share"),
    [
        ({"Type": "INSTANCE_COUNT", "Value": 1}, 0.25),
        ({"Type": "CAPACITY_PERCENT", "Value": 50}, 0.5),
        # traffic shifts by whole instances
        ({"Type": "CAPACITY_PERCENT", "Value": 10}, 0.25),
        ({"Type": "CAPACITY_PERCENT", "Value": 40}, 0.5),
    ],
)
def test_canary_is_one_part_and_then_the_rest(size: dict[str, Any], share: float) -> None:
    policy = Policy.of(blue_green("CANARY", CanarySize=size))
    assert policy.shifts({"A": 4}) == [{"A": share}, {"A": 1.0}]


@pytest.mark.parametrize(
    ("size", "shares"),
    [
        ({"Type": "CAPACITY_PERCENT", "Value": 50}, [1 / 3, 1]),
        ({"Type": "CAPACITY_PERCENT", "Value": 40}, [1 / 3, 2 / 3, 1]),
        ({"Type": "CAPACITY_PERCENT", "Value": 33}, [1 / 3, 2 / 3, 1]),
        ({"Type": "CAPACITY_PERCENT", "Value": 10}, [1 / 3, 2 / 3, 1]),
        ({"Type": "INSTANCE_COUNT", "Value": 1}, [1 / 3, 2 / 3, 1]),
        ({"Type": "INSTANCE_COUNT", "Value": 2}, [2 / 3, 1]),
    ],
)
def test_linear_goes_step_by_step(size: dict[str, Any], shares: list[float]) -> None:
    policy = Policy.of(blue_green("LINEAR", LinearStepSize=size))
    assert [shift["A"] for shift in policy.shifts({"A": 3})] == pytest.approx(shares)


@given(
    kind=st.sampled_from(["INSTANCE_COUNT", "CAPACITY_PERCENT"]),
    value=st.integers(1, 50),
    counts=st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 50), min_size=1),
)
def test_linear_never_goes_back_and_ends_whole(kind: str, value: int, counts: dict[str, int]) -> None:
    shifts = Policy(routing="LINEAR", step=CapacitySize(kind, value)).shifts(counts)
    assert shifts[-1] == dict.fromkeys(counts, 1.0)
    for name in counts:
        shares = [shift[name] for shift in shifts]
        assert shares == sorted(shares)
        assert all(0 < share <= 1 for share in shares)
    # no more steps than the timeout is checked against, and each moves something
    most = max(math.ceil((count if kind == "INSTANCE_COUNT" else 100) / value) for count in counts.values())
    assert len(shifts) <= most
    assert all(before != after for before, after in itertools.pairwise(shifts))


def test_rolling() -> None:
    size = {"Type": "CAPACITY_PERCENT", "Value": 25}
    config = {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 30}}
    policy = Policy.of(config)
    assert policy.rolling is not None
    assert policy.rolling.batch.instances(8) == 2
    assert policy.rolling.batch.instances(2) == 1
    assert policy.rolling.rollback_batch.instances(8) == 8
    assert policy.wait == 30
    config["RollingUpdatePolicy"]["RollbackMaximumBatchSize"] = {"Type": "INSTANCE_COUNT", "Value": 3}
    rolling = Policy.of(config).rolling
    assert rolling is not None
    assert rolling.rollback_batch.instances(8) == 3
