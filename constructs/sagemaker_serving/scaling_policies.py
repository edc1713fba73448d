"""How a variant's number of instances follows its load (Application Auto Scaling, target tracking).

The values only; `scaling` turns them into scalable targets and policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling

from .errors import Findings, is_token
from .limits import check_integer, check_number, check_seconds
from .variants import InstanceFleet

_Policy = autoscaling.CfnScalingPolicy


class ScalingMetric(StrEnum):
    """What a policy holds at its target; the value is the policy's name."""

    INVOCATIONS_PER_INSTANCE = "InvocationsPerInstance"
    CONCURRENT_REQUESTS = "ConcurrentRequests"
    CPU_UTILIZATION = "CpuUtilization"


# Application Auto Scaling's MetricType enumeration.
_PREDEFINED = {
    ScalingMetric.INVOCATIONS_PER_INSTANCE: "SageMakerVariantInvocationsPerInstance",
    ScalingMetric.CONCURRENT_REQUESTS: "SageMakerVariantConcurrentRequestsPerModelHighResolution",
}


def _five_minutes() -> cdk.Duration:
    return cdk.Duration.minutes(5)


@dataclass(frozen=True, kw_only=True)
class TargetTracking:
    """Adds instances while a metric is above its target, and removes them while it is well below.

    Made by `invocations_per_instance`, `concurrent_requests` or `cpu_utilization`.

    Args:
        metric: What is held at the target.
        target: The value to hold, above 0, in the metric's unit.
        scale_in_cooldown: Pause after instances were removed, 0 s or more. Default 300 s.
        scale_out_cooldown: Pause after instances were added, 0 s or more. Default 300 s.
        disable_scale_in: Only ever add instances. Default off.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    metric: ScalingMetric
    target: float
    scale_in_cooldown: cdk.Duration = field(default_factory=_five_minutes)
    scale_out_cooldown: cdk.Duration = field(default_factory=_five_minutes)
    disable_scale_in: bool = False

    def __post_init__(self) -> None:
        findings = Findings("TargetTracking")
        source = "Application Auto Scaling, TargetTrackingScalingPolicyConfiguration"
        check_number(findings, "target", self.target, above=0, source=source)
        check_seconds(findings, "scale_in_cooldown", self.scale_in_cooldown, low=0, source=source)
        check_seconds(findings, "scale_out_cooldown", self.scale_out_cooldown, low=0, source=source)
        findings.raise_if_any()

    @classmethod
    def invocations_per_instance(
        cls,
        target: float,
        *,
        scale_in_cooldown: cdk.Duration | None = None,
        scale_out_cooldown: cdk.Duration | None = None,
        disable_scale_in: bool = False,
    ) -> TargetTracking:
        """Requests per minute and instance (predefined metric SageMakerVariantInvocationsPerInstance).

        Args:
            target: Requests per minute that one instance should get. The developer guide's rule of thumb:
                what one instance can do per second x 60 x a safety factor of 0.5.
            scale_in_cooldown: See `TargetTracking`.
            scale_out_cooldown: See `TargetTracking`.
            disable_scale_in: See `TargetTracking`.
        """
        return cls._of(
            ScalingMetric.INVOCATIONS_PER_INSTANCE,
            target,
            scale_in_cooldown,
            scale_out_cooldown,
            disable_scale_in,
        )

    @classmethod
    def concurrent_requests(
        cls,
        target: float,
        *,
        scale_in_cooldown: cdk.Duration | None = None,
        scale_out_cooldown: cdk.Duration | None = None,
        disable_scale_in: bool = False,
    ) -> TargetTracking:
        """Requests in flight per instance, every 10 s, so that a burst is seen sooner.

        Predefined metric SageMakerVariantConcurrentRequestsPerModelHighResolution.

        Args:
            target: Requests that one instance should have in flight.
            scale_in_cooldown: See `TargetTracking`.
            scale_out_cooldown: See `TargetTracking`.
            disable_scale_in: See `TargetTracking`.
        """
        return cls._of(
            ScalingMetric.CONCURRENT_REQUESTS, target, scale_in_cooldown, scale_out_cooldown, disable_scale_in
        )

    @classmethod
    def cpu_utilization(
        cls,
        target: float,
        *,
        scale_in_cooldown: cdk.Duration | None = None,
        scale_out_cooldown: cdk.Duration | None = None,
        disable_scale_in: bool = False,
    ) -> TargetTracking:
        """Processor use of the variant's instances (customized metric CPUUtilization of the endpoint).

        Args:
            target: Percent, summed over the instance's processors: 0 to 100 x vCPUs, so 70 % of an instance
                with 2 vCPUs is 140.
            scale_in_cooldown: See `TargetTracking`.
            scale_out_cooldown: See `TargetTracking`.
            disable_scale_in: See `TargetTracking`.
        """
        return cls._of(
            ScalingMetric.CPU_UTILIZATION, target, scale_in_cooldown, scale_out_cooldown, disable_scale_in
        )

    @classmethod
    def _of(
        cls,
        metric: ScalingMetric,
        target: float,
        scale_in: cdk.Duration | None,
        scale_out: cdk.Duration | None,
        disable_scale_in: bool,
    ) -> TargetTracking:
        return cls(
            metric=metric,
            target=target,
            scale_in_cooldown=scale_in if scale_in is not None else _five_minutes(),
            scale_out_cooldown=scale_out if scale_out is not None else _five_minutes(),
            disable_scale_in=disable_scale_in,
        )

    def render(
        self, *, endpoint_name: str, variant_name: str
    ) -> autoscaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty:
        """The policy as CloudFormation holds it.

        Args:
            endpoint_name: The endpoint whose metrics a customized metric reads.
            variant_name: The variant that is scaled.
        """
        predefined = _PREDEFINED.get(self.metric)
        customized = None
        if predefined is None:
            dimension = _Policy.MetricDimensionProperty
            customized = _Policy.CustomizedMetricSpecificationProperty(
                metric_name="CPUUtilization",
                namespace="/aws/sagemaker/Endpoints",
                dimensions=[
                    dimension(name="EndpointName", value=endpoint_name),
                    dimension(name="VariantName", value=variant_name),
                ],
                statistic="Average",
                unit="Percent",
            )
        return _Policy.TargetTrackingScalingPolicyConfigurationProperty(
            target_value=self.target,
            predefined_metric_specification=_Policy.PredefinedMetricSpecificationProperty(
                predefined_metric_type=predefined
            )
            if predefined
            else None,
            customized_metric_specification=customized,
            scale_in_cooldown=self.scale_in_cooldown.to_seconds(),
            scale_out_cooldown=self.scale_out_cooldown.to_seconds(),
            disable_scale_in=self.disable_scale_in or None,
        )


@dataclass(frozen=True, kw_only=True)
class AutoScaling:
    """The range of a variant's instances, and what moves it within.

    Args:
        min_capacity: Fewest instances, 1 or more.
        max_capacity: Most instances, at least ``min_capacity``.
        policies: One or more; each for another metric. With several, the largest demand wins.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    min_capacity: int
    max_capacity: int
    policies: Sequence[TargetTracking]

    def __post_init__(self) -> None:
        findings = Findings("AutoScaling")
        # A model behind a real-time variant cannot be scaled to no instances (API shape InitialTaskCount).
        source = "a real-time variant keeps at least one instance"
        low = check_integer(findings, "min_capacity", self.min_capacity, low=1, source=source)
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
        findings.raise_if_any()

    def check_against(self, findings: Findings, variant: InstanceFleet, field: str = "auto_scaling") -> None:
        """Note a finding for every rule that the range breaks on this variant.

        Args:
            findings: Where to note them.
            variant: The variant that is scaled.
            field: The argument that holds the range.
        """
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
