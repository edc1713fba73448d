"""When to raise an alarm: thresholds by severity, and how long they must be exceeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

import aws_cdk as cdk

from .errors import Findings
from .limits import check_integer, check_number, check_seconds
from .metrics import PUBLISHING_PERIOD_SECONDS

HOUR_SECONDS = 3600
_DAY_SECONDS = 24 * HOUR_SECONDS
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
            limit = _DAY_SECONDS if period < HOUR_SECONDS else 7 * _DAY_SECONDS
            findings.require(
                span <= limit,
                "period x evaluation_periods",
                f"{span} s",
                f"may span at most {limit} s: 1 day for periods under an hour, else 7 days ({source})",
                "use fewer evaluation periods, or a longer period",
            )
            object.__setattr__(self, "seconds", span)
        findings.raise_if_any()


def check_hours(findings: Findings, field: str, hours: int | None) -> None:
    """Note a finding unless an alarm can wait for so many hours.

    Args:
        findings: Where to note it.
        field: The argument that holds them.
        hours: How many; None for no alarm.
    """
    if hours is not None:
        check_integer(
            findings,
            field,
            hours,
            low=1,
            high=MAX_IDLE_HOURS,
            source="hours in 7 days, the longest alarm; CloudWatch API operation PutMetricAlarm",
        )


@dataclass(frozen=True)
class AlarmThresholds:
    """When to raise an alarm, by severity; an empty mapping makes no alarm.

    Args:
        server_error_rate: Share of requests answered with 5xx, above 0 up to 1; of each container too, where
            the model has several.
        client_error_rate: Share of requests answered with 4xx, above 0 up to 1.
        model_latency_p99_seconds: 99th percentile of the container's time, in seconds, above 0.
        container_latency_p99_seconds: The same of one container, where the model has several.
        cpu_percent: Processor use in percent of *all* vCPUs of an instance, above 0 up to 100.
        memory_percent: Memory use in percent, above 0 up to 100.
        disk_percent: Disk use in percent, above 0 up to 100; data capture pauses when the disk fills up.
        backlog_age_seconds: Of an asynchronous endpoint: age of the oldest request in its queue, in seconds,
            above 0. Longer than an instance needs to start, where there may be none.
        failed_requests: Of an asynchronous endpoint: requests that failed within one period, above 0.
        concurrency_percent: Of a serverless variant: concurrent requests in percent of the maximum, above 0
            up to 100. At 100 requests are throttled.
        setup_time_p99_seconds: Of a serverless variant: 99th percentile of a cold start, in seconds, above 0.
        idle_hours: Raise an alarm after this many hours without one request, 1 to 168; None for no such
            alarm. A new endpoint counts as idle until its first request: the alarm is raised once, soon after
            creation. Of an asynchronous endpoint only hours count in which it has instances, and a serverless
            variant has the alarm only with provisioned concurrency: without, it costs nothing.

    Raises:
        InvalidConfiguration: A threshold out of range.
    """

    server_error_rate: Mapping[Severity, float] = field(default_factory=_critical(0.05))
    client_error_rate: Mapping[Severity, float] = field(default_factory=_warning(0.25))
    model_latency_p99_seconds: Mapping[Severity, float] = field(default_factory=_critical(1.0))
    container_latency_p99_seconds: Mapping[Severity, float] = field(default_factory=_critical(1.0))
    cpu_percent: Mapping[Severity, float] = field(default_factory=_warning(85))
    memory_percent: Mapping[Severity, float] = field(default_factory=_warning(85))
    disk_percent: Mapping[Severity, float] = field(default_factory=_warning(75))
    backlog_age_seconds: Mapping[Severity, float] = field(default_factory=_critical(900))
    failed_requests: Mapping[Severity, float] = field(default_factory=_warning(1))
    concurrency_percent: Mapping[Severity, float] = field(default_factory=_warning(80))
    setup_time_p99_seconds: Mapping[Severity, float] = field(default_factory=_warning(60))
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
        check_hours(findings, "idle_hours", self.idle_hours)
        findings.raise_if_any()

    def as_warnings(self) -> AlarmThresholds:
        """The same at each metric's lowest threshold, as warnings and without the alarm on idleness: for a
        variant whose answers no caller sees."""
        lowest = {
            item.name: {Severity.WARNING: min(values.values())}
            if (values := getattr(self, item.name))
            else {}
            for item in fields(self)
            if item.name != "idle_hours"
        }
        return AlarmThresholds(**lowest, idle_hours=None)
