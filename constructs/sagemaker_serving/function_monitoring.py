"""Watches a function's alias: alarms that tell a topic, and a dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarm_factory import AlarmFactory
from .alarms import AlarmWindow, Severity
from .container_function import ALIAS, ContainerFunction
from .errors import Findings
from .limits import check_number

NAMESPACE = "AWS/Lambda"


@dataclass(frozen=True, kw_only=True)
class FunctionThresholds:
    """When to raise an alarm, by severity; an empty mapping makes no alarm.

    Args:
        error_rate: Share of calls that ended in a function error (raised, timed out, killed), above 0 up
            to 1. Default critical 0.05.
        throttles: Calls of a data point that were refused for want of concurrency, above 0. Default
            warning 1.
        duration_share: 99th percentile of the duration as a share of the timeout, above 0 up to 1. Default
            warning 0.8.

    Raises:
        InvalidConfiguration: A threshold out of range.
    """

    error_rate: Mapping[Severity, float] = field(default_factory=lambda: {Severity.CRITICAL: 0.05})
    throttles: Mapping[Severity, float] = field(default_factory=lambda: {Severity.WARNING: 1})
    duration_share: Mapping[Severity, float] = field(default_factory=lambda: {Severity.WARNING: 0.8})

    def __post_init__(self) -> None:
        findings = Findings("FunctionThresholds")
        for name, highest in (("error_rate", 1.0), ("throttles", None), ("duration_share", 1.0)):
            for severity, value in getattr(self, name).items():
                where = f"{name}[{severity}]"
                above = check_number(findings, where, value, above=0, source="an alarm that can be raised")
                findings.require(
                    not above or highest is None or value <= highest,
                    where,
                    value,
                    f"is a share, and never above {highest:g}" if highest else "",
                    "write 5 % as 0.05",
                )
        findings.raise_if_any()


class FunctionMetrics:
    """Metrics of a function's alias (AWS Lambda Developer Guide, types of metrics for Lambda functions).

    Args:
        function_name: The function.
        alias: Calls through this alias are counted.
    """

    def __init__(self, function_name: str, alias: str = ALIAS) -> None:
        self._dimensions = {"FunctionName": function_name, "Resource": f"{function_name}:{alias}"}

    def invocations(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Calls (count, sum over the period; default 1 minute)."""
        return self._metric("Invocations", "Sum", period)

    def error_rate(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Share of calls that ended in a function error (0 to 1; default over 1 minute)."""
        return self._metric("Errors", "Average", period)

    def throttles(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Calls refused for want of concurrency (count, sum over the period; default 1 minute)."""
        return self._metric("Throttles", "Sum", period)

    def duration(self, *, statistic: str = "p99", period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Time in the handler (milliseconds; default 99th percentile over 1 minute)."""
        return self._metric("Duration", statistic, period)

    def concurrent_executions(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Calls at the same time (count, maximum; default over 1 minute)."""
        return self._metric("ConcurrentExecutions", "Maximum", period)

    def _metric(self, name: str, statistic: str, period: cdk.Duration | None) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=period or cdk.Duration.minutes(1),
        )


class FunctionMonitoring(Construct):
    """Alarms and a dashboard for a `ContainerFunction`.

    Args:
        function: What is watched.
        topic: Where every alarm is sent.
        thresholds: When to raise an alarm. Default `FunctionThresholds()`.
        window: How long a threshold must be exceeded. Default `AlarmWindow()`: 2 data points of 60 s.

    Attributes:
        alarms: All alarms.
        dashboard: Named as the function.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function: ContainerFunction,
        topic: sns.ITopic,
        thresholds: FunctionThresholds | None = None,
        window: AlarmWindow | None = None,
    ) -> None:
        super().__init__(scope, id_)
        limits, span = thresholds or FunctionThresholds(), window or AlarmWindow()
        metrics = FunctionMetrics(function.function_name)
        factory = AlarmFactory(self, name=function.function_name, stem="Function", window=span, topic=topic)
        factory.over("error rate", metrics.error_rate(period=span.period), limits.error_rate, text="{:.1%}")
        factory.over("throttles", metrics.throttles(period=span.period), limits.throttles, text="{:g}")
        if not function.timeout.is_unresolved():
            factory.over(
                "duration p99",
                metrics.duration(period=span.period),
                limits.duration_share,
                scale=function.timeout.to_milliseconds(),
                text="{:.0%} of the timeout",
            )
        self.alarms: list[cloudwatch.Alarm] = factory.made
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=function.function_name, widgets=self._rows(metrics)
        )

    def _rows(self, metrics: FunctionMetrics) -> list[list[cloudwatch.IWidget]]:
        return [
            [cloudwatch.AlarmStatusWidget(alarms=self.alarms, title="Alarms", width=24, height=3)],
            [
                _graph("Calls per minute", metrics.invocations(), metrics.throttles()),
                _graph("Error rate", metrics.error_rate()),
                _graph("Duration (milliseconds)", metrics.duration(statistic="p50"), metrics.duration()),
                _graph("Calls at the same time", metrics.concurrent_executions()),
            ],
        ]


def _graph(title: str, *metrics: cloudwatch.Metric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=6,
    )
