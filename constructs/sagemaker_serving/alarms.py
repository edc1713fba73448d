"""Alarms on a variant: thresholds by severity, and the factory that turns them into CloudWatch alarms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns

from constructs import Construct

from .errors import Findings
from .instances import InstanceType
from .limits import check_integer, check_number, check_seconds
from .metrics import PUBLISHING_PERIOD_SECONDS, VariantMetrics

_HOUR_SECONDS = 3600
_DAY_SECONDS = 24 * _HOUR_SECONDS
MAX_IDLE_HOURS = 7 * 24
"""An alarm with periods of an hour looks back at most seven days (CloudWatch API operation
PutMetricAlarm)."""


class Severity(StrEnum):
    """How much an alarm matters: it is part of the alarm's description."""

    WARNING = "warning"
    CRITICAL = "critical"


def _critical(value: float) -> Callable[[], Mapping[Severity, float]]:
    return lambda: {Severity.CRITICAL: value}


def _warning(value: float) -> Callable[[], Mapping[Severity, float]]:
    return lambda: {Severity.WARNING: value}


@dataclass(frozen=True)
class AlarmWindow:
    """How long a metric must be over its threshold.

    Args:
        period: One data point; a multiple of 60 s, as SageMaker publishes each minute. Default 60 s.
        evaluation_periods: Data points in a row that must breach, at least 1. Default 2. All of them together
            span at most 1 day, or 7 days if the period is an hour or longer (CloudWatch API operation
            PutMetricAlarm).

    Raises:
        InvalidConfiguration: Outside these limits.
    """

    period: cdk.Duration = field(default_factory=lambda: cdk.Duration.seconds(PUBLISHING_PERIOD_SECONDS))
    evaluation_periods: int = 2
    seconds: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        findings = Findings("AlarmWindow")
        source = "CloudWatch API operation PutMetricAlarm"
        period = check_seconds(
            findings, "period", self.period, low=PUBLISHING_PERIOD_SECONDS, high=_DAY_SECONDS, source=source
        )
        periods_fit = check_integer(
            findings, "evaluation_periods", self.evaluation_periods, low=1, source=source
        )
        if period is not None and periods_fit:
            findings.require(
                period % PUBLISHING_PERIOD_SECONDS == 0,
                "period",
                f"{period} s",
                "must be a multiple of 60 s: SageMaker publishes each minute",
                f"use {period // PUBLISHING_PERIOD_SECONDS * PUBLISHING_PERIOD_SECONDS} s",
            )
            span = period * self.evaluation_periods
            limit = _DAY_SECONDS if period < _HOUR_SECONDS else 7 * _DAY_SECONDS
            findings.require(
                span <= limit,
                "period x evaluation_periods",
                f"{span} s",
                f"may span at most {limit} s: 1 day for periods under an hour, else 7 days ({source})",
                "use fewer evaluation periods, or a longer period",
            )
            object.__setattr__(self, "seconds", span)
        findings.raise_if_any()


@dataclass(frozen=True)
class AlarmThresholds:
    """When to raise an alarm, by severity; an empty mapping makes no alarm.

    Args:
        server_error_rate: Share of requests answered with 5xx, above 0 up to 1.
        client_error_rate: Share of requests answered with 4xx, above 0 up to 1.
        model_latency_p99_seconds: 99th percentile of the container's time, in seconds, above 0.
        cpu_percent: Processor use in percent of *all* vCPUs of an instance, above 0 up to 100.
        memory_percent: Memory use in percent, above 0 up to 100.
        disk_percent: Disk use in percent, above 0 up to 100; data capture pauses when the disk fills up.
        idle_hours: Raise an alarm after this many hours without one request, 1 to 168; None for no such
            alarm. A new endpoint counts as idle until its first request: the alarm is raised once, soon after
            creation.

    Raises:
        InvalidConfiguration: A threshold out of range.
    """

    server_error_rate: Mapping[Severity, float] = field(default_factory=_critical(0.05))
    client_error_rate: Mapping[Severity, float] = field(default_factory=_warning(0.25))
    model_latency_p99_seconds: Mapping[Severity, float] = field(default_factory=_critical(1.0))
    cpu_percent: Mapping[Severity, float] = field(default_factory=_warning(85))
    memory_percent: Mapping[Severity, float] = field(default_factory=_warning(85))
    disk_percent: Mapping[Severity, float] = field(default_factory=_warning(75))
    idle_hours: int | None = 24

    def __post_init__(self) -> None:
        findings = Findings("AlarmThresholds")
        for item in fields(self):
            if item.name == "idle_hours":
                continue
            highest = 1 if item.name.endswith("rate") else 100 if item.name.endswith("percent") else None
            for severity, value in getattr(self, item.name).items():
                where = f"{item.name}[{severity}]"
                in_range = check_number(findings, where, value, above=0, source="an alarm that can be raised")
                if in_range and highest is not None:
                    findings.require(
                        value <= highest,
                        where,
                        value,
                        f"the metric never exceeds {highest}",
                        f"give a number above 0, up to {highest}",
                    )
        if self.idle_hours is not None:
            check_integer(
                findings,
                "idle_hours",
                self.idle_hours,
                low=1,
                high=MAX_IDLE_HOURS,
                source="hours in 7 days, the longest alarm; CloudWatch API operation PutMetricAlarm",
            )
        findings.raise_if_any()


@dataclass(frozen=True)
class RollbackAlarm:
    """An alarm that a deployment watches while it bakes.

    Args:
        alarm: The alarm; the endpoint depends on it, so it must not depend on the endpoint.
        endpoint_name: The endpoint whose metric it watches.
        variant_name: The variant whose metric it watches.
        window_seconds: Seconds from the first bad data point until the alarm is raised.
    """

    alarm: cloudwatch.AlarmBase
    endpoint_name: str
    variant_name: str
    window_seconds: int


class VariantAlarms:
    """Makes the alarms of one variant; every one of them tells the topic.

    Args:
        scope: Where the alarms are made.
        metrics: The variant's metrics.
        instance_type: For the number of vCPUs.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        metrics: VariantMetrics,
        instance_type: InstanceType,
        thresholds: AlarmThresholds,
        window: AlarmWindow,
        topic: sns.ITopic,
    ) -> None:
        self._scope = scope
        self._metrics = metrics
        self._window = window
        self._action = actions.SnsAction(topic)
        self.all: list[cloudwatch.Alarm] = []
        self.rollback: list[RollbackAlarm] = []
        period = window.period
        over = self._over

        errors = over(
            "5xx rate", metrics.server_error_rate(period=period), thresholds.server_error_rate, text="{:.1%}"
        )
        over(
            "4xx rate", metrics.client_error_rate(period=period), thresholds.client_error_rate, text="{:.1%}"
        )
        latency = over(
            "model latency p99",
            metrics.model_latency(period=period),
            thresholds.model_latency_p99_seconds,
            scale=1e6,
            text="{:g} s",
        )
        cpus = vcpu_count(instance_type)
        over("CPU", metrics.cpu_utilization(period=period), thresholds.cpu_percent, scale=cpus)
        over("memory", metrics.memory_utilization(period=period), thresholds.memory_percent)
        over("disk", metrics.disk_utilization(period=period), thresholds.disk_percent)
        if thresholds.idle_hours is not None:
            self._idle(thresholds.idle_hours)
        self.rollback = [
            RollbackAlarm(
                alarms[max(alarms, key=list(Severity).index)],
                metrics.endpoint_name,
                metrics.variant_name,
                window.seconds,
            )
            for alarms in (errors, latency)
            if alarms
        ]

    def _over(
        self,
        subject: str,
        metric: cloudwatch.Metric,
        thresholds: Mapping[Severity, float],
        *,
        scale: float = 1,
        text: str = "{:g} %",
    ) -> dict[Severity, cloudwatch.Alarm]:
        return {
            severity: self._alarm(
                f"{subject} {severity}",
                metric,
                threshold=value * scale,
                comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                periods=self._window.evaluation_periods,
                missing=cloudwatch.TreatMissingData.NOT_BREACHING,
                text=f"[{severity}] {subject} of {self._name} at or above {text.format(value)}",
            )
            for severity, value in thresholds.items()
        }

    def _idle(self, hours: int) -> None:
        self._alarm(
            "no invocations",
            self._metrics.invocations(period=cdk.Duration.seconds(_HOUR_SECONDS)),
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            periods=hours,
            missing=cloudwatch.TreatMissingData.BREACHING,  # without requests there is no data
            text=f"[{Severity.WARNING}] no request to {self._name} for {hours} h, and it costs money",
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.Metric,
        *,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator,
        periods: int,
        missing: cloudwatch.TreatMissingData,
        text: str,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self._scope,
            _construct_id(self._metrics.variant_name, name),
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            treat_missing_data=missing,
            alarm_description=text,
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)
        return alarm

    @property
    def _name(self) -> str:
        return f"{self._metrics.endpoint_name}/{self._metrics.variant_name}"


def vcpu_count(instance_type: InstanceType) -> int:
    """Virtual CPUs of an instance type, from its size: an xlarge has 4, and an nxlarge n times as many.

    Args:
        instance_type: A known type; a token counts as one with 2, the fewest that endpoints commonly have.

    Returns:
        For example 2 for ``ml.m5.large``, 16 for ``ml.c7g.4xlarge``.
    """
    if instance_type.name == "ml.c4.8xlarge":
        return 36  # the one size that breaks the rule
    multiple = re.fullmatch(r"(\d*)xlarge", instance_type.size)
    if multiple:
        return 4 * int(multiple[1] or 1)
    if instance_type.size == "medium" and not instance_type.is_burstable:
        return 1
    return 2


def _construct_id(variant_name: str, name: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", name)
    return f"{variant_name}-{'-'.join(word[0].upper() + word[1:] for word in words)}"
