"""Rules of DeploymentConfig beyond the shapes (sagemaker-rules 9.1 and 9.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from sandbox.control_plane.config_rules import is_serverless
from sandbox.store import Params

_DEFAULT_TIMEOUT = 28_800  # the longest; the API names no default


def deployment_findings(
    deployment: Params,
    config: Params,
    old_variants: frozenset[str] | None = None,
    kept_counts: Mapping[str, int] | None = None,
) -> Iterator[str]:
    """What is wrong with a DeploymentConfig for the configuration that it deploys.

    Args:
        deployment: DeploymentConfig.
        config: The request that made the new endpoint configuration.
        old_variants: Names of the variants that serve now; None when the endpoint is new.
        kept_counts: Instances of variants that keep their number (RetainAllVariantProperties), by name.
    """
    variants = config["ProductionVariants"]
    counts = {v["VariantName"]: v["InitialInstanceCount"] for v in variants if "InitialInstanceCount" in v}
    counts |= {name: count for name, count in (kept_counts or {}).items() if name in counts}
    if "BlueGreenUpdatePolicy" in deployment and "RollingUpdatePolicy" in deployment:
        yield "DeploymentConfig has either BlueGreenUpdatePolicy or RollingUpdatePolicy, not both"
    if "BlueGreenUpdatePolicy" in deployment:
        yield from _blue_green(deployment["BlueGreenUpdatePolicy"], counts)
    if "RollingUpdatePolicy" in deployment:
        yield from _rolling(deployment["RollingUpdatePolicy"], counts, config)
    alarms = [
        alarm.get("AlarmName") for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    ]
    if None in alarms:
        yield "every alarm of AutoRollbackConfiguration needs AlarmName"
    names = {variant["VariantName"] for variant in variants}
    if old_variants is not None and names != old_variants:
        yield (
            "an update with a DeploymentConfig must keep the names of the variants: the endpoint has "
            f"{_listed(old_variants)}, the new configuration {_listed(names)}"
        )


def _listed(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _blue_green(policy: Params, counts: dict[str, int]) -> Iterator[str]:
    routing = policy["TrafficRoutingConfiguration"]
    kind, wait = routing["Type"], routing["WaitIntervalInSeconds"]
    for member, needed_by in (("CanarySize", "CANARY"), ("LinearStepSize", "LINEAR")):
        if kind == needed_by and member not in routing:
            yield f"TrafficRoutingConfiguration of Type {kind} needs {member}"
        elif kind != needed_by and member in routing:
            yield f"TrafficRoutingConfiguration.{member} is for Type {needed_by}, not for {kind}"
    waits = wait
    if kind == "CANARY" and "CanarySize" in routing:
        yield from _size("CanarySize", routing["CanarySize"], counts, lowest=1)
        waits = 2 * wait
    if kind == "LINEAR" and "LinearStepSize" in routing:
        yield from _size("LinearStepSize", routing["LinearStepSize"], counts, lowest=10)
        waits = _steps(routing["LinearStepSize"], counts) * wait
    yield from _timeout(policy, waits + policy.get("TerminationWaitInSeconds", 0))


def _rolling(policy: Params, counts: dict[str, int], config: Params) -> Iterator[str]:
    if is_serverless(config):
        yield "RollingUpdatePolicy is not supported for serverless variants"
    if len(config["ProductionVariants"]) > 1:
        yield "RollingUpdatePolicy is not supported for endpoints with several production variants"
    yield from _size("MaximumBatchSize", policy["MaximumBatchSize"], counts, lowest=5)
    if "RollbackMaximumBatchSize" in policy:
        yield from _rollback_size(policy["RollbackMaximumBatchSize"], counts)
    yield from _timeout(policy, _steps(policy["MaximumBatchSize"], counts) * policy["WaitIntervalInSeconds"])


def _rollback_size(size: Params, counts: Mapping[str, int]) -> Iterator[str]:
    """A rollback may go in one batch."""
    value = size["Value"]
    if size["Type"] == "CAPACITY_PERCENT":
        if value > 100:
            yield f"RollbackMaximumBatchSize must be at most 100 percent, not {value}"
        return
    for name, count in counts.items():
        if value > count:
            yield (
                f"RollbackMaximumBatchSize must be at most the {count} instances of variant {name}, "
                f"not {value}"
            )


def _size(member: str, size: Params, counts: dict[str, int], lowest: int) -> Iterator[str]:
    """A step is at most half of every variant's instances, and at least `lowest` percent of them."""
    value = size["Value"]
    if size["Type"] == "CAPACITY_PERCENT":
        if not lowest <= value <= 50:
            yield f"{member} must be between {lowest} and 50 percent, not {value}"
        return
    for name, count in counts.items():
        if count < 2:
            yield f"{member} by INSTANCE_COUNT needs at least 2 instances; variant {name} has {count}"
        elif value > count // 2 or value * 100 < lowest * count:
            smallest = max(1, math.ceil(count * lowest / 100))
            yield (
                f"{member} must be between {smallest} and {count // 2} instances "
                f"({lowest} to 50 percent) of variant {name}, which has {count}; it is {value}"
            )


def _steps(size: Params, counts: dict[str, int]) -> int:
    if size["Type"] == "CAPACITY_PERCENT":
        return math.ceil(100 / int(size["Value"]))
    return max((math.ceil(count / size["Value"]) for count in counts.values()), default=1)


def _timeout(policy: Params, waits: int) -> Iterator[str]:
    timeout = policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_TIMEOUT)
    if waits >= timeout:
        yield (
            f"MaximumExecutionTimeoutInSeconds {timeout} must be greater than the sum of all waits, "
            f"which is {waits} seconds"
        )
