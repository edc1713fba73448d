"""Holding a metric at a target (Application Auto Scaling, target tracking): the values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling

from .errors import Findings
from .limits import check_number, check_seconds
from .metrics import INSTANCE_NAMESPACE, INVOCATION_NAMESPACE

_Policy = autoscaling.CfnScalingPolicy


class ScalingMetric(StrEnum):
    """What a policy holds at its target; the value is the policy's name."""

    INVOCATIONS_PER_INSTANCE = "InvocationsPerInstance"
    CONCURRENT_REQUESTS = "ConcurrentRequests"
    CPU_UTILIZATION = "CpuUtilization"
    BACKLOG_PER_INSTANCE = "BacklogPerInstance"
    BACKLOG_WITHOUT_CAPACITY = "HasBacklogWithoutCapacity"
    PROVISIONED_CONCURRENCY_UTILIZATION = "ProvisionedConcurrencyUtilization"


# Application Auto Scaling's MetricType enumeration.
_PREDEFINED = {
    ScalingMetric.INVOCATIONS_PER_INSTANCE: "SageMakerVariantInvocationsPerInstance",
    ScalingMetric.CONCURRENT_REQUESTS: "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    ScalingMetric.PROVISIONED_CONCURRENCY_UTILIZATION: "SageMakerVariantProvisionedConcurrencyUtilization",
}


def five_minutes() -> cdk.Duration:
    """Application Auto Scaling's usual cooldown."""
    return cdk.Duration.minutes(5)


@dataclass(frozen=True, kw_only=True)
class TargetTracking:
    """Adds capacity while a metric is above its target, and removes it while the metric is well below.

    Made by `invocations_per_instance`, `concurrent_requests`, `cpu_utilization`, `backlog_per_instance` or
    `provisioned_concurrency_utilization`.

    Args:
        metric: What is held at the target.
        target: The value to hold, above 0, in the metric's unit.
        scale_in_cooldown: Pause after instances were removed, 0 s or more. Default 300 s.
        scale_out_cooldown: Pause after instances were added, 0 s or more. Default 300 s.
        disable_scale_in: Only ever add capacity. Default off.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    metric: ScalingMetric
    target: float
    scale_in_cooldown: cdk.Duration = field(default_factory=five_minutes)
    scale_out_cooldown: cdk.Duration = field(default_factory=five_minutes)
    disable_scale_in: bool = False

    def __post_init__(self) -> None:
        findings = Findings("TargetTracking")
        source = "Application Auto Scaling, TargetTrackingScalingPolicyConfiguration"
        number = check_number(findings, "target", self.target, above=0, source=source)
        if number and self.metric is ScalingMetric.PROVISIONED_CONCURRENCY_UTILIZATION:
            findings.require(
                self.target <= 1,
                "target",
                self.target,
                "is a share of the provisioned concurrency, which never exceeds 1 (predefined metric "
                "SageMakerVariantProvisionedConcurrencyUtilization)",
                "give a number above 0, up to 1, for example 0.7",
            )
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
    def backlog_per_instance(
        cls,
        target: float,
        *,
        scale_in_cooldown: cdk.Duration | None = None,
        scale_out_cooldown: cdk.Duration | None = None,
        disable_scale_in: bool = False,
    ) -> TargetTracking:
        """Requests of an asynchronous endpoint that wait or are worked on, per instance (customized metric
        ApproximateBacklogSizePerInstance of the endpoint).

        By itself it leaves zero instances only when more requests wait than the target: add `WakeFromZero`.
        https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html

        Args:
            target: Requests that one instance should have before it: what it can do in the time that callers
                wait.
            scale_in_cooldown: See `TargetTracking`.
            scale_out_cooldown: See `TargetTracking`.
            disable_scale_in: See `TargetTracking`.
        """
        return cls._of(
            ScalingMetric.BACKLOG_PER_INSTANCE,
            target,
            scale_in_cooldown,
            scale_out_cooldown,
            disable_scale_in,
        )

    @classmethod
    def provisioned_concurrency_utilization(
        cls,
        target: float,
        *,
        scale_in_cooldown: cdk.Duration | None = None,
        scale_out_cooldown: cdk.Duration | None = None,
        disable_scale_in: bool = False,
    ) -> TargetTracking:
        """Share of a serverless variant's provisioned concurrency that is in use (predefined metric
        SageMakerVariantProvisionedConcurrencyUtilization).

        Args:
            target: Above 0, up to 1; 0.7 keeps 30 % in reserve.
            scale_in_cooldown: See `TargetTracking`.
            scale_out_cooldown: See `TargetTracking`.
            disable_scale_in: See `TargetTracking`.
        """
        return cls._of(
            ScalingMetric.PROVISIONED_CONCURRENCY_UTILIZATION,
            target,
            scale_in_cooldown,
            scale_out_cooldown,
            disable_scale_in,
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
            scale_in_cooldown=scale_in if scale_in is not None else five_minutes(),
            scale_out_cooldown=scale_out if scale_out is not None else five_minutes(),
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
        if self.metric is ScalingMetric.CPU_UTILIZATION:
            customized = _customized(
                INSTANCE_NAMESPACE, "CPUUtilization", "Percent", endpoint_name, variant_name
            )
        elif self.metric is ScalingMetric.BACKLOG_PER_INSTANCE:
            # of the endpoint: published with no other dimension
            customized = _customized(
                INVOCATION_NAMESPACE, "ApproximateBacklogSizePerInstance", None, endpoint_name
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


def _customized(
    namespace: str, metric: str, unit: str | None, endpoint_name: str, variant_name: str | None = None
) -> autoscaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty:
    dimensions = {"EndpointName": endpoint_name}
    if variant_name is not None:
        dimensions["VariantName"] = variant_name
    return _Policy.CustomizedMetricSpecificationProperty(
        metric_name=metric,
        namespace=namespace,
        dimensions=[
            _Policy.MetricDimensionProperty(name=name, value=value) for name, value in dimensions.items()
        ],
        statistic="Average",
        unit=unit,
    )
