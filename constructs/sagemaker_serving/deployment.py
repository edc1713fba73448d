"""How an update reaches an endpoint: all at once, canary, linear or rolling, with its waits and limits.

Limits: API shapes BlueGreenUpdatePolicy, TrafficRoutingConfig, RollingUpdatePolicy, CapacitySize, AlarmList;
developer guide, "Deployment guardrails for updating models in production" and its exclusions page.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeGuard

import aws_cdk as cdk
from aws_cdk import aws_sagemaker as sagemaker

from .capacity import CapacitySize
from .errors import Findings, is_token
from .limits import check_seconds, seconds_or_none
from .variants import InstanceVariant, ProductionVariant

__all__ = ["AllAtOnce", "Canary", "CapacitySize", "DeploymentPolicy", "Linear", "Rolling"]

MAX_WAIT_SECONDS = 3600
MIN_TIMEOUT_SECONDS = 600
MAX_TIMEOUT_SECONDS = 28800
MAX_ALARMS = 10
MAX_ALARM_NAME = 255

_Config = sagemaker.CfnEndpoint


@dataclass(frozen=True, kw_only=True)
class DeploymentPolicy(ABC):
    """What all deployment policies share; use `AllAtOnce`, `Canary`, `Linear` or `Rolling`.

    Args:
        wait: The bake after each step, in which alarms can still turn the update back; 0 to 3600 s.
        maximum_execution_timeout: Time for the whole deployment, 600 to 28800 s, more than all waits together
            and with room to start instances. Default: SageMaker's.
    """

    wait: cdk.Duration
    maximum_execution_timeout: cdk.Duration | None = None

    requires_alarms: ClassVar[bool] = True
    """Whether the policy protects nothing without an alarm."""

    # Of a policy that takes steps: the field with their size, its range, and the API member that says so.
    _size_field: ClassVar[str] = ""
    _percent_range: ClassVar[tuple[int, int]] = (1, 100)
    _shape: ClassVar[str] = ""

    def __post_init__(self) -> None:
        findings = Findings(type(self).__name__)
        check_seconds(
            findings, "wait", self.wait, low=0, high=MAX_WAIT_SECONDS, source="WaitIntervalInSeconds"
        )
        check_seconds(
            findings,
            "maximum_execution_timeout",
            self.maximum_execution_timeout,
            low=MIN_TIMEOUT_SECONDS,
            high=MAX_TIMEOUT_SECONDS,
            source="MaximumExecutionTimeoutInSeconds",
        )
        self._check_own(findings)
        # Only when each value is legal by itself does their sum say something.
        if not findings.found and (self._size is None or self._size.is_percent):
            self._check_total(findings, self._steps(0), "")
        findings.raise_if_any()

    @abstractmethod
    def render(self, alarm_names: Sequence[str]) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
        """The policy as the endpoint holds it.

        Args:
            alarm_names: Names of the CloudWatch alarms that turn an update back, 1 to 10; none only with
                `AllAtOnce`.

        Raises:
            InvalidConfiguration: There are too few or too many alarms, or a name is not legal.
        """

    def check_alarms(self, findings: Findings, alarm_names: Sequence[str], field: str = "alarms") -> None:
        """Note a finding for every rule that the rollback alarms break.

        Args:
            findings: Where to note them.
            alarm_names: As in `render`.
            field: The argument that holds them.
        """
        findings.require(
            not self.requires_alarms or len(alarm_names) > 0,
            field,
            list(alarm_names),
            f"{type(self).__name__} bakes under alarms; without one nothing turns a bad update back",
            "give at least one alarm, or use AllAtOnce",
        )
        findings.require(
            len(alarm_names) <= MAX_ALARMS,
            field,
            f"{len(alarm_names)} alarms",
            f"at most {MAX_ALARMS} alarms can turn an update back (API shape AlarmList)",
            "watch less, or combine some in a composite alarm",
        )
        for index, name in enumerate(alarm_names):
            findings.require(
                is_token(name) or (1 <= len(name) <= MAX_ALARM_NAME and not name.isspace()),
                f"{field}[{index}]",
                name,
                f"an alarm's name has 1 to {MAX_ALARM_NAME} characters, not all spaces (API shape AlarmName)",
                "give the name of an alarm in the same account and Region",
            )

    def check_against(
        self, findings: Findings, variants: Sequence[ProductionVariant], field: str = "deployment"
    ) -> None:
        """Note a finding for every rule that the policy breaks on a fleet of these variants.

        Args:
            findings: Where to note them.
            variants: All production variants of the endpoint.
            field: The argument that holds the policy.
        """
        size = self._size
        if size is None or size.is_percent:
            return
        counts = [(variant, variant.initial_instance_count) for variant in _on_instances(variants)]
        known = [(variant, count) for variant, count in counts if not is_token(count)]
        for variant, count in known:
            self._check_count(findings, f"{field}.{self._size_field}", size, variant.name, count)
        if known:
            self._check_total(findings, self._steps(max(count for _, count in known)), f"{field}.")

    def warnings_against(self, variants: Sequence[ProductionVariant]) -> tuple[str, ...]:
        """What is allowed on a fleet of these variants but should be known.

        Args:
            variants: All production variants of the endpoint.
        """
        found = [
            f"Variant {variant.name}: deployment guardrails are for real-time and asynchronous endpoints; "
            "SageMaker updates a serverless one without them. Leave the deployment policy out."
            for variant in variants
            if not isinstance(variant, InstanceVariant)
        ]
        for variant in _on_instances(variants):
            if not variant.instance.supports_deployment_guardrails:
                found.append(
                    f"Variant {variant.name}: {variant.instance} is excluded from deployment guardrails; "
                    "SageMaker updates it all at once, without a bake."
                )
            elif self._size is not None and self._size.is_percent and variant.initial_instance_count == 1:
                found.append(
                    f"Variant {variant.name}: {self._size} of one instance is less than one; traffic shifts "
                    f"by whole instances. {type(self).__name__} needs at least 2 instances to be gradual."
                )
        return tuple(found)

    @property
    def _size(self) -> CapacitySize | None:
        return getattr(self, self._size_field) if self._size_field else None

    def _check_own(self, findings: Findings) -> None:
        """Check the size, where it is a percentage; by count it depends on the fleet."""
        size = self._size
        if not self._size_field or not _is_size(size, findings, self._size_field) or not size.is_percent:
            return
        low, high = self._percent_range
        findings.require(
            low <= size.value <= high,
            self._size_field,
            str(size),
            f"must be {low} to {high} % of the variant's instances (API shape {self._shape})",
            f"give CapacitySize.percent of {low} to {high}",
        )

    @abstractmethod
    def _steps(self, instance_count: int) -> int:
        """How many times the policy waits for a fleet of that size."""

    def _auto_rollback(
        self, alarm_names: Sequence[str]
    ) -> sagemaker.CfnEndpoint.AutoRollbackConfigProperty | None:
        findings = Findings(type(self).__name__)
        self.check_alarms(findings, alarm_names)
        findings.raise_if_any()
        if not alarm_names:
            return None
        return _Config.AutoRollbackConfigProperty(
            alarms=[_Config.AlarmProperty(alarm_name=name) for name in alarm_names]
        )

    def _waits(self) -> list[tuple[int, cdk.Duration]]:
        """Further waits of the policy: how many times, and how long."""
        return []

    def _check_count(
        self, findings: Findings, field: str, size: CapacitySize, variant: str, count: int
    ) -> None:
        low_percent, high_percent = self._percent_range
        low = max(1, math.ceil(count * low_percent / 100))
        high = count * high_percent // 100
        span = f"{low} to {high}" if low < high else f"{high}"
        findings.require(
            low <= size.value <= high,
            field,
            str(size),
            f"must be {low_percent} to {high_percent} % of the {count} of variant {variant} "
            f"(API shape {self._shape})",
            f"give CapacitySize.instances({span})"
            if high
            else "needs at least 2 instances, or use AllAtOnce",
        )

    def _check_total(self, findings: Findings, steps: int, prefix: str) -> None:
        """The timeout must exceed the sum of all waits (API member MaximumExecutionTimeoutInSeconds)."""
        waits = [(steps, self.wait), *self._waits()]
        if any(wait.is_unresolved() for _, wait in waits):
            return
        total = sum(times * int(wait.to_seconds()) for times, wait in waits)
        timeout = self.maximum_execution_timeout
        if timeout is not None and timeout.is_unresolved():
            return
        limit = MAX_TIMEOUT_SECONDS if timeout is None else int(timeout.to_seconds())
        sum_text = " + ".join(f"{times} x {wait.to_seconds():g} s" for times, wait in waits)
        rule = f"must be more than all waits together, {sum_text} = {total} s"
        findings.require(
            limit > total,
            f"{prefix}maximum_execution_timeout",
            f"{limit} s" if timeout is not None else f"not given; at most {limit} s",
            f"{rule} (API member MaximumExecutionTimeoutInSeconds)",
            f"give more than {total} s, and room to start instances"
            if total < MAX_TIMEOUT_SECONDS
            else "wait less, or take larger steps",
        )


@dataclass(frozen=True, kw_only=True)
class _BlueGreen(DeploymentPolicy):
    """A second fleet is started, takes over the traffic in steps, and then the old one is removed.

    Args:
        termination_wait: How long the old fleet is kept after the shift, 0 to 3600 s. Default 0.
    """

    termination_wait: cdk.Duration | None = None

    _routing_type: ClassVar[str] = ""
    _size_property: ClassVar[str] = ""

    def _check_own(self, findings: Findings) -> None:
        super()._check_own(findings)
        check_seconds(
            findings,
            "termination_wait",
            self.termination_wait,
            low=0,
            high=MAX_WAIT_SECONDS,
            source="TerminationWaitInSeconds",
        )

    def _waits(self) -> list[tuple[int, cdk.Duration]]:
        return [] if self.termination_wait is None else [(1, self.termination_wait)]

    def render(self, alarm_names: Sequence[str]) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
        """See `DeploymentPolicy.render`."""
        size = {self._size_property: self._size.render()} if self._size else {}
        return _Config.DeploymentConfigProperty(
            blue_green_update_policy=_Config.BlueGreenUpdatePolicyProperty(
                traffic_routing_configuration=_Config.TrafficRoutingConfigProperty(
                    type=self._routing_type, wait_interval_in_seconds=self.wait.to_seconds(), **size
                ),
                termination_wait_in_seconds=seconds_or_none(self.termination_wait),
                maximum_execution_timeout_in_seconds=seconds_or_none(self.maximum_execution_timeout),
            ),
            auto_rollback_configuration=self._auto_rollback(alarm_names),
        )


@dataclass(frozen=True, kw_only=True)
class AllAtOnce(_BlueGreen):
    """Blue/green: all traffic moves to the new fleet in one step.

    Args:
        wait: The bake after the shift, 0 to 3600 s. Default 0.
        termination_wait: How long the old fleet is kept after the bake, 0 to 3600 s. Default 0.
        maximum_execution_timeout: 600 to 28800 s, more than the waits together. Default: SageMaker's.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    wait: cdk.Duration = field(default_factory=lambda: cdk.Duration.seconds(0))

    requires_alarms: ClassVar[bool] = False
    _routing_type: ClassVar[str] = "ALL_AT_ONCE"

    def _steps(self, instance_count: int) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class Canary(_BlueGreen):
    """Blue/green in two steps: a small part of the traffic first, and after a bake the rest.

    Args:
        size: The first step, at most 50 % of each variant's instances.
        wait: The bake after each of the two steps, 0 to 3600 s.
        termination_wait: How long the old fleet is kept after the last bake, 0 to 3600 s. Default 0.
        maximum_execution_timeout: 600 to 28800 s, more than the waits together. Default: SageMaker's.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    size: CapacitySize

    _routing_type: ClassVar[str] = "CANARY"
    _size_property: ClassVar[str] = "canary_size"
    _size_field: ClassVar[str] = "size"
    _percent_range: ClassVar[tuple[int, int]] = (1, 50)
    _shape: ClassVar[str] = "TrafficRoutingConfig.CanarySize"

    def _steps(self, instance_count: int) -> int:
        return 2


@dataclass(frozen=True, kw_only=True)
class Linear(_BlueGreen):
    """Blue/green in equal steps, with a bake after each.

    Args:
        step: Each step, 10 to 50 % of each variant's instances.
        wait: The bake after each step, 0 to 3600 s.
        termination_wait: How long the old fleet is kept after the last bake, 0 to 3600 s. Default 0.
        maximum_execution_timeout: 600 to 28800 s, more than the waits together. Default: SageMaker's.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    step: CapacitySize

    _routing_type: ClassVar[str] = "LINEAR"
    _size_property: ClassVar[str] = "linear_step_size"
    _size_field: ClassVar[str] = "step"
    _percent_range: ClassVar[tuple[int, int]] = (10, 50)
    _shape: ClassVar[str] = "TrafficRoutingConfig.LinearStepSize"

    def _steps(self, instance_count: int) -> int:
        return self.step.steps(instance_count)


@dataclass(frozen=True, kw_only=True)
class Rolling(DeploymentPolicy):
    """Instances are replaced batch by batch, so that no second fleet is paid for. One variant only.

    Args:
        batch: Each batch, 5 to 50 % of the variant's instances.
        wait: The bake after each batch, 0 to 3600 s.
        rollback_batch: Each batch when the update is turned back. Default: all at once.
        maximum_execution_timeout: 600 to 28800 s, more than the waits together. Default: SageMaker's.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    batch: CapacitySize
    rollback_batch: CapacitySize | None = None

    _size_field: ClassVar[str] = "batch"
    _percent_range: ClassVar[tuple[int, int]] = (5, 50)
    _shape: ClassVar[str] = "RollingUpdatePolicy.MaximumBatchSize"

    def _check_own(self, findings: Findings) -> None:
        super()._check_own(findings)
        if self.rollback_batch is not None:
            _is_size(self.rollback_batch, findings, "rollback_batch")

    def _steps(self, instance_count: int) -> int:
        return self.batch.steps(instance_count)

    def check_against(
        self, findings: Findings, variants: Sequence[ProductionVariant], field: str = "deployment"
    ) -> None:
        """See `DeploymentPolicy.check_against`."""
        super().check_against(findings, variants, field)
        findings.require(
            len(variants) <= 1,
            field,
            f"Rolling with {len(variants)} variants",
            "several variants cannot be updated by rolling (developer guide, guardrails exclusions)",
            "use AllAtOnce, Canary or Linear",
        )
        for variant in variants:
            findings.require(
                isinstance(variant, InstanceVariant),
                field,
                f"Rolling with the serverless variant {variant.name!r}",
                "serverless endpoints cannot be updated by rolling (developer guide, guardrails exclusions)",
                "leave the deployment policy out",
            )
        rollback = self.rollback_batch
        if rollback is None or rollback.is_percent:
            return
        for variant in _on_instances(variants):
            findings.require(
                is_token(variant.initial_instance_count) or rollback.value <= variant.initial_instance_count,
                f"{field}.rollback_batch",
                str(rollback),
                f"variant {variant.name} has {variant.initial_instance_count} (API RollingUpdatePolicy)",
                "give no more than that",
            )

    def render(self, alarm_names: Sequence[str]) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
        """See `DeploymentPolicy.render`."""
        return _Config.DeploymentConfigProperty(
            rolling_update_policy=_Config.RollingUpdatePolicyProperty(
                maximum_batch_size=self.batch.render(),
                wait_interval_in_seconds=self.wait.to_seconds(),
                rollback_maximum_batch_size=self.rollback_batch.render() if self.rollback_batch else None,
                maximum_execution_timeout_in_seconds=seconds_or_none(self.maximum_execution_timeout),
            ),
            auto_rollback_configuration=self._auto_rollback(alarm_names),
        )


def _on_instances(variants: Sequence[ProductionVariant]) -> list[InstanceVariant]:
    return [variant for variant in variants if isinstance(variant, InstanceVariant)]


def _is_size(size: object, findings: Findings, field: str) -> TypeGuard[CapacitySize]:
    return findings.require(
        isinstance(size, CapacitySize),
        field,
        size,
        "must be a CapacitySize",
        "give CapacitySize.percent(...) or CapacitySize.instances(...)",
    )
