"""Turns thresholds into CloudWatch alarms: of a variant, and of each of its containers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from constructs import Construct

from .alarms import HOUR_SECONDS, AlarmThresholds, AlarmWindow, Severity
from .instances import InstanceType
from .metrics import ContainerMetrics, VariantMetrics
from .naming import free_id

MICROSECONDS = 1e6


class AlarmFactory:
    """Makes alarms that tell a topic.

    Args:
        scope: Where the alarms are made.
        name: What they are about, as a person reads it.
        stem: What their construct ids begin with.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.

    Attributes:
        made: All alarms so far.
    """

    def __init__(
        self, scope: Construct, *, name: str, stem: str, window: AlarmWindow, topic: sns.ITopic
    ) -> None:
        self._scope = scope
        self._name = name
        self._stem = stem
        self._window = window
        self._action = actions.SnsAction(topic)
        self.made: list[cloudwatch.Alarm] = []

    def over(
        self,
        subject: str,
        metric: cloudwatch.Metric,
        thresholds: Mapping[Severity, float],
        *,
        scale: float = 1,
        text: str = "{:g} %",
    ) -> None:
        """An alarm for each severity, raised when a metric is at its threshold or above; silence is fine.

        Args:
            subject: What the metric tells, for example ``5xx rate``.
            metric: The metric.
            thresholds: Severity to threshold.
            scale: What a threshold is multiplied by to be in the metric's unit.
            text: How a threshold is written.
        """
        for severity, value in thresholds.items():
            self._alarm(
                f"{subject} {severity}",
                metric,
                threshold=value * scale,
                comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                periods=self._window.evaluation_periods,
                missing=cloudwatch.TreatMissingData.NOT_BREACHING,
                text=f"[{severity}] {subject} of {self._name} at or above {text.format(value)}",
            )

    def once(
        self, subject: str, metric: cloudwatch.Metric, severity: Severity, *, at_least: float = 1
    ) -> None:
        """An alarm raised by one period in which something was counted; silence is fine.

        Args:
            subject: What is counted, for example ``expired requests``.
            metric: How many there were.
            severity: How much the alarm matters.
            at_least: So many raise it.
        """
        self._alarm(
            f"{subject} {severity}",
            metric,
            threshold=at_least,
            comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            periods=1,
            missing=cloudwatch.TreatMissingData.NOT_BREACHING,
            text=f"[{severity}] {subject} of {self._name}: {at_least:g} or more",
        )

    def letters(self, subject: str, queue: sqs.IQueue) -> None:
        """An alarm as long as there is something in a dead-letter queue.

        Args:
            subject: What the letters are, for example ``lost starts``.
            queue: The queue.
        """
        held = queue.metric_approximate_number_of_messages_visible(
            period=cdk.Duration.minutes(5), statistic="Maximum"
        )
        self.once(subject, held, Severity.CRITICAL)

    def awake_for_nothing(
        self, instances: cloudwatch.Metric, processed: cloudwatch.Metric, hours: int
    ) -> None:
        """An alarm after hours in which there were instances and nothing that they worked on.

        An endpoint that has no instances while it has no requests never raises it.

        Args:
            instances: Above 0 in every hour in which there was an instance; no data while there was none.
            processed: Requests that were worked on, summed up over the same hour.
            hours: How many hours.
        """
        self._alarm(
            "no requests",
            cloudwatch.MathExpression(
                expression="IF(instances > 0, IF(FILL(processed, 0) > 0, 0, 1), 0)",
                using_metrics={"instances": instances, "processed": processed},
                period=cdk.Duration.seconds(HOUR_SECONDS),
                label="hours awake for nothing",
            ),
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            periods=hours,
            missing=cloudwatch.TreatMissingData.NOT_BREACHING,
            text=f"[{Severity.WARNING}] instances of {self._name} without a request for {hours} h: they cost "
            "money",
        )

    def silent(self, subject: str, metric: cloudwatch.Metric, hours: int) -> None:
        """An alarm after hours in which something that should happen did not.

        Args:
            subject: What should happen, for example ``successful execution``.
            metric: How often it did, summed up over an hour.
            hours: How many hours.
        """
        self._alarm(
            f"no {subject}",
            metric,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            periods=hours,
            missing=cloudwatch.TreatMissingData.BREACHING,
            text=f"[{Severity.CRITICAL}] no {subject} of {self._name} for {hours} h",
        )

    def idle(self, metric: cloudwatch.Metric, hours: int) -> None:
        """An alarm after hours without a request.

        Args:
            metric: Requests, summed up over an hour.
            hours: How many hours.
        """
        self._alarm(
            "no invocations",
            metric,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            periods=hours,
            missing=cloudwatch.TreatMissingData.BREACHING,  # without requests there is no data
            text=f"[{Severity.WARNING}] no request to {self._name} for {hours} h, and it costs money",
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator,
        periods: int,
        missing: cloudwatch.TreatMissingData,
        text: str,
    ) -> None:
        words = re.findall(r"[A-Za-z0-9]+", name)
        alarm = cloudwatch.Alarm(
            self._scope,
            free_id(self._scope, f"{self._stem}-{'-'.join(word[0].upper() + word[1:] for word in words)}"),
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            treat_missing_data=missing,
            alarm_description=text,
        )
        alarm.add_alarm_action(self._action)
        self.made.append(alarm)


def variant_alarms(
    scope: Construct,
    *,
    metrics: VariantMetrics,
    instance_type: InstanceType,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
    topic: sns.ITopic,
    made_at_run_time: bool = False,
) -> list[cloudwatch.Alarm]:
    """The alarms of one variant, over all its fleets.

    Args:
        scope: Where the alarms are made.
        metrics: The variant's metrics.
        instance_type: For the number of vCPUs.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
        made_at_run_time: Whether there may be no endpoint, which is not idle then. Default no.
    """
    factory = variant_factory(scope, metrics=metrics, window=window, topic=topic)
    watch_answers(factory, metrics, thresholds, window)
    watch_instances(factory, metrics, instance_type, thresholds, window)
    if thresholds.idle_hours is not None:
        hour = cdk.Duration.seconds(HOUR_SECONDS)
        requests = metrics.invocations(period=hour)
        if made_at_run_time:
            running = metrics.running_instances(period=hour)
            factory.awake_for_nothing(running, requests, thresholds.idle_hours)
        else:
            factory.idle(requests, thresholds.idle_hours)
    return factory.made


def variant_factory(
    scope: Construct, *, metrics: VariantMetrics, window: AlarmWindow, topic: sns.ITopic
) -> AlarmFactory:
    """Makes alarms about a variant.

    Args:
        scope: Where the alarms are made.
        metrics: The variant's metrics.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
    """
    return AlarmFactory(
        scope,
        name=f"{metrics.endpoint_name}/{metrics.variant_name}",
        stem=metrics.variant_name,
        window=window,
        topic=topic,
    )


def watch_answers(
    factory: AlarmFactory, metrics: VariantMetrics, thresholds: AlarmThresholds, window: AlarmWindow
) -> None:
    """Alarms on what every kind of variant publishes: errors, and the model's latency.

    Args:
        factory: Makes the alarms.
        metrics: The variant's metrics.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
    """
    period, over = window.period, factory.over
    over("5xx rate", metrics.server_error_rate(period=period), thresholds.server_error_rate, text="{:.1%}")
    over("4xx rate", metrics.client_error_rate(period=period), thresholds.client_error_rate, text="{:.1%}")
    over(
        "model latency p99",
        metrics.model_latency(period=period),
        thresholds.model_latency_p99_seconds,
        scale=MICROSECONDS,
        text="{:g} s",
    )


def watch_instances(
    factory: AlarmFactory,
    metrics: VariantMetrics,
    instance_type: InstanceType,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
) -> None:
    """Alarms on a variant's instances.

    Args:
        factory: Makes the alarms.
        metrics: The variant's metrics.
        instance_type: For the number of vCPUs.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
    """
    period, over = window.period, factory.over
    cpus = vcpu_count(instance_type)
    over("CPU", metrics.cpu_utilization(period=period), thresholds.cpu_percent, scale=cpus)
    over("memory", metrics.memory_utilization(period=period), thresholds.memory_percent)
    over("disk", metrics.disk_utilization(period=period), thresholds.disk_percent)


def container_alarms(
    scope: Construct,
    *,
    metrics: ContainerMetrics,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
    topic: sns.ITopic,
) -> list[cloudwatch.Alarm]:
    """The alarms of one container of a variant whose model has several: they tell which one is at fault.

    Args:
        scope: Where the alarms are made.
        metrics: The container's metrics.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
    """
    factory = AlarmFactory(
        scope,
        name=f"{metrics.endpoint_name}/{metrics.variant_name}/{metrics.container_hostname}",
        # no name holds a dot, so two containers never get the same id
        stem=f"{metrics.variant_name}.{metrics.container_hostname}",
        window=window,
        topic=topic,
    )
    factory.over(
        "5xx rate",
        metrics.server_error_rate(period=window.period),
        thresholds.server_error_rate,
        text="{:.1%}",
    )
    factory.over(
        "container latency p99",
        metrics.latency(period=window.period),
        thresholds.container_latency_p99_seconds,
        scale=MICROSECONDS,
        text="{:g} s",
    )
    return factory.made


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
