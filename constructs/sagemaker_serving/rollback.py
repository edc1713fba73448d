"""What takes an update back: alarms that see the new fleet alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarm_factory import MICROSECONDS, AlarmFactory
from .alarms import AlarmThresholds, AlarmWindow, Severity
from .metrics import VariantMetrics


class RollbackMetric(StrEnum):
    """What a deployment watches on its new fleet."""

    SERVER_ERROR_RATE = "5xx rate"
    MODEL_LATENCY_P99 = "model latency p99"


@dataclass(frozen=True, kw_only=True)
class RollbackAlarm:
    """What takes an update back: `ServingEndpoint` makes an alarm of it that sees the new fleet alone.

    Such an alarm is bound to one endpoint configuration, so the endpoint makes it after its configuration and
    before itself. An old fleet that is in trouble cannot stop the update that repairs it, and the alarms that
    tell people about the endpoint stay on all of it. Where configurations come and go without CloudFormation
    (`RegistryEndpoint`), it sees all fleets.

    Args:
        endpoint_name: The endpoint whose metric is watched.
        variant_name: The variant whose metric is watched.
        metric: What is watched.
        threshold: Share of requests (0 to 1) or seconds, above 0.
        severity: Part of the alarm's description.
        window: How long the threshold must be exceeded; it has to fit into the deployment's bake.
        topic: Where the alarm is sent.
    """

    endpoint_name: str
    variant_name: str
    metric: RollbackMetric
    threshold: float
    severity: Severity
    window: AlarmWindow
    topic: sns.ITopic

    @property
    def name(self) -> str:
        """For people: the variant and what is watched."""
        return f"{self.variant_name} {self.metric}"

    def make(self, scope: Construct, config_name: str | None = None) -> cloudwatch.Alarm:
        """The alarm.

        Args:
            scope: Where it is made.
            config_name: The endpoint configuration whose fleet is watched, usually a reference. Default: all.
        """
        metrics = VariantMetrics(self.endpoint_name, self.variant_name, config_name=config_name)
        factory = AlarmFactory(
            scope,
            name=f"{'the new fleet of ' if config_name else ''}{self.endpoint_name}/{self.variant_name}",
            stem=f"Rollback-{self.variant_name}",
            window=self.window,
            topic=self.topic,
        )
        thresholds = {self.severity: self.threshold}
        if self.metric is RollbackMetric.SERVER_ERROR_RATE:
            rate = metrics.server_error_rate(period=self.window.period)
            factory.over(self.metric.value, rate, thresholds, text="{:.1%}")
        else:
            latency = metrics.model_latency(period=self.window.period)
            factory.over(self.metric.value, latency, thresholds, scale=MICROSECONDS, text="{:g} s")
        return factory.made[0]


def rollback_alarms(
    *,
    endpoint_name: str,
    variant_name: str,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
    topic: sns.ITopic,
) -> list[RollbackAlarm]:
    """What takes an update of a variant back: 5xx rate and model latency at their highest severity.

    Args:
        endpoint_name: The endpoint.
        variant_name: The variant.
        thresholds: When to raise an alarm; one without a threshold is left out.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
    """
    found = []
    for metric, by_severity in (
        (RollbackMetric.SERVER_ERROR_RATE, thresholds.server_error_rate),
        (RollbackMetric.MODEL_LATENCY_P99, thresholds.model_latency_p99_seconds),
    ):
        if by_severity:
            severity = max(by_severity, key=list(Severity).index)
            found.append(
                RollbackAlarm(
                    endpoint_name=endpoint_name,
                    variant_name=variant_name,
                    metric=metric,
                    threshold=by_severity[severity],
                    severity=severity,
                    window=window,
                    topic=topic,
                )
            )
    return found
