"""How a variant's instances, or its provisioned concurrency, follow its load (Application Auto Scaling).

The values only; `scaling` turns them into scalable targets and policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling

from .errors import Findings, is_token
from .limits import check_integer, check_seconds
from .target_tracking import ScalingMetric, TargetTracking, five_minutes
from .variants import InstanceFleet, ServerlessVariant

__all__ = ["AutoScaling", "ScaledKind", "ScalingMetric", "TargetTracking", "WakeFromZero"]

_Policy = autoscaling.CfnScalingPolicy


class ScaledKind(StrEnum):
    """What a scalable target is part of; each knows metrics of its own."""

    REAL_TIME = "a real-time variant"
    ASYNCHRONOUS = "a variant of an asynchronous endpoint"
    SERVERLESS = "a serverless variant"


_KNOWN_BY = {
    ScaledKind.REAL_TIME: {
        ScalingMetric.INVOCATIONS_PER_INSTANCE,
        ScalingMetric.CONCURRENT_REQUESTS,
        ScalingMetric.CPU_UTILIZATION,
    },
    # https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html: no other is published
    ScaledKind.ASYNCHRONOUS: {
        ScalingMetric.CPU_UTILIZATION,
        ScalingMetric.BACKLOG_PER_INSTANCE,
        ScalingMetric.BACKLOG_WITHOUT_CAPACITY,
    },
    ScaledKind.SERVERLESS: {ScalingMetric.PROVISIONED_CONCURRENCY_UTILIZATION},
}

_MAKERS = {
    ScaledKind.REAL_TIME: "TargetTracking.invocations_per_instance, concurrent_requests or cpu_utilization",
    ScaledKind.ASYNCHRONOUS: "TargetTracking.backlog_per_instance or cpu_utilization, and WakeFromZero",
    ScaledKind.SERVERLESS: "TargetTracking.provisioned_concurrency_utilization",
}


@dataclass(frozen=True, kw_only=True)
class WakeFromZero:
    """Starts the first instance of an asynchronous endpoint when requests wait and there is none: a step
    policy, and the alarm on HasBacklogWithoutCapacity that sets it off.

    The endpoint publishes the metric each minute; the alarm needs two minutes of it.
    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html

    Args:
        instances: How many are started, 1 or more. Default 1.
        cooldown: Pause until more are started, 0 s or more; longer than an instance needs to start. Default
            300 s.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    instances: int = 1
    cooldown: cdk.Duration = field(default_factory=five_minutes)

    metric: ClassVar[ScalingMetric] = ScalingMetric.BACKLOG_WITHOUT_CAPACITY

    def __post_init__(self) -> None:
        findings = Findings("WakeFromZero")
        source = "Application Auto Scaling, StepScalingPolicyConfiguration"
        check_integer(findings, "instances", self.instances, low=1, source=source)
        check_seconds(findings, "cooldown", self.cooldown, low=0, source=source)
        findings.raise_if_any()

    def render(self) -> autoscaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty:
        """The policy as CloudFormation holds it."""
        return _Policy.StepScalingPolicyConfigurationProperty(
            adjustment_type="ChangeInCapacity",
            metric_aggregation_type="Average",
            cooldown=self.cooldown.to_seconds(),
            step_adjustments=[
                _Policy.StepAdjustmentProperty(
                    metric_interval_lower_bound=0, scaling_adjustment=self.instances
                )
            ],
        )


@dataclass(frozen=True, kw_only=True)
class AutoScaling:
    """The range of a variant's instances, or of its provisioned concurrency, and what moves it within.

    Args:
        min_capacity: Fewest instances, 1 or more; 0 for an asynchronous endpoint with `WakeFromZero`. Of a
            serverless variant: least provisioned concurrency, 1 or more.
        max_capacity: Most instances, or most provisioned concurrency; at least ``min_capacity``, and 1.
        policies: One or more; each for another metric. With several, the largest demand wins.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    min_capacity: int
    max_capacity: int
    policies: Sequence[TargetTracking | WakeFromZero]

    def __post_init__(self) -> None:
        findings = Findings("AutoScaling")
        source = "Application Auto Scaling, ScalableTarget"
        low = check_integer(findings, "min_capacity", self.min_capacity, low=0, source=source)
        high = check_integer(findings, "max_capacity", self.max_capacity, low=1, source=source)
        if low and high:
            findings.require(
                is_token(self.min_capacity) or self.max_capacity >= self.min_capacity,
                "max_capacity",
                self.max_capacity,
                f"must be at least min_capacity, {self.min_capacity}",
                "raise it, or lower min_capacity",
            )
        self._check_policies(findings)
        if low:
            self._check_waking(findings)
        findings.raise_if_any()

    @property
    def reaches_zero(self) -> bool:
        """Whether all instances can be taken away."""
        return self.min_capacity == 0

    def check_against(
        self,
        findings: Findings,
        variant: InstanceFleet | ServerlessVariant,
        field: str = "auto_scaling",
        *,
        asynchronous: bool = False,
    ) -> None:
        """Note a finding for every rule that the range breaks on this variant.

        Args:
            findings: Where to note them.
            variant: The variant that is scaled.
            field: The argument that holds the range.
            asynchronous: Whether its endpoint is asynchronous.
        """
        if isinstance(variant, ServerlessVariant):
            self._check_kind(findings, variant.name, ScaledKind.SERVERLESS, field)
            self._check_concurrency(findings, variant, field)
            return
        kind = ScaledKind.ASYNCHRONOUS if asynchronous else ScaledKind.REAL_TIME
        self._check_kind(findings, variant.name, kind, field)
        findings.require(
            not variant.instance.is_burstable,
            field,
            variant.instance.name,
            f"variant {variant.name} runs on burstable instances, which cannot be scaled automatically "
            "(developer guide, endpoint-auto-scaling)",
            "choose another instance family, for example ml.m5 or ml.c7g",
        )
        count = variant.initial_instance_count
        if any(is_token(value) for value in (count, self.min_capacity, self.max_capacity)):
            return
        findings.require(
            self.min_capacity <= count <= self.max_capacity,
            field,
            f"{self.min_capacity} to {self.max_capacity}",
            f"variant {variant.name} starts with {count}, outside the range, and would be scaled at once",
            "start it within the range, or widen the range",
        )

    def _check_kind(self, findings: Findings, name: str, kind: ScaledKind, field: str) -> None:
        """Metrics that are not published for this kind of variant, and zero where it cannot be woken."""
        for policy in self.policies:
            findings.require(
                policy.metric in _KNOWN_BY[kind],
                f"{field}.policies",
                policy.metric.value,
                f"SageMaker does not publish this metric for {kind}, which {name} is, so nothing would scale "
                "(developer guide, monitoring of its kind of endpoint)",
                f"use {_MAKERS[kind]}",
            )
        findings.require(
            kind is ScaledKind.ASYNCHRONOUS or not self.reaches_zero,
            f"{field}.min_capacity",
            self.min_capacity,
            f"{kind} keeps at least one, and {name} is one: only requests to an asynchronous endpoint wait "
            "in a queue until there is an instance again (developer guide, async-inference-autoscale)",
            "give 1 or more",
        )

    def _check_concurrency(self, findings: Findings, variant: ServerlessVariant, field: str) -> None:
        provisioned, limit = variant.provisioned_concurrency, variant.max_concurrency
        if not findings.require(
            provisioned is not None,
            field,
            f"{self.min_capacity} to {self.max_capacity}",
            f"variant {variant.name} has no provisioned concurrency that could be scaled (developer guide, "
            "serverless endpoints, autoscaling provisioned concurrency)",
            "give the variant a provisioned_concurrency, or no scaling",
        ):
            return
        findings.require(
            is_token(limit) or self.max_capacity <= limit,
            f"{field}.max_capacity",
            self.max_capacity,
            f"variant {variant.name} has max_concurrency {limit}, and provisioned concurrency is part of it "
            "(API ServerlessProvisionedConcurrency)",
            f"give at most {limit}, or raise max_concurrency",
        )
        findings.require(
            is_token(provisioned)
            or any(map(is_token, (self.min_capacity, self.max_capacity)))
            or self.min_capacity <= (provisioned or 0) <= self.max_capacity,
            field,
            f"{self.min_capacity} to {self.max_capacity}",
            f"variant {variant.name} starts with a provisioned concurrency of {provisioned}, outside the "
            "range, and would be scaled at once",
            "start it within the range, or widen the range",
        )

    def _check_waking(self, findings: Findings) -> None:
        wakes = ScalingMetric.BACKLOG_WITHOUT_CAPACITY in [policy.metric for policy in self.policies]
        findings.require(
            wakes or not self.reaches_zero,
            "policies",
            [policy.metric.value for policy in self.policies],
            "with min_capacity 0 nothing starts the first instance until more requests wait than a target "
            "(developer guide, async-inference-autoscale, scale up from zero)",
            "add WakeFromZero(), or give min_capacity 1",
        )
        findings.require(
            not wakes or self.reaches_zero or is_token(self.min_capacity),
            "policies",
            ScalingMetric.BACKLOG_WITHOUT_CAPACITY.value,
            f"with min_capacity {self.min_capacity} there is always an instance, and nothing to wake",
            "remove WakeFromZero, or give min_capacity 0",
        )

    def _check_policies(self, findings: Findings) -> None:
        findings.require(
            len(self.policies) > 0,
            "policies",
            list(self.policies),
            "without a policy nothing scales",
            "give for example TargetTracking.invocations_per_instance(1000)",
        )
        metrics = [policy.metric for policy in self.policies]
        for metric in sorted({metric for metric in metrics if metrics.count(metric) > 1}):
            findings.require(
                False,
                "policies",
                metric.value,
                "two policies for one metric work against each other",
                "keep one of them",
            )
