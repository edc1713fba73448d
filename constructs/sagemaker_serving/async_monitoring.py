"""What is watched of an asynchronous endpoint: its queue, what becomes of its requests, its notifications."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarm_factory import AlarmFactory, variant_factory, watch_answers, watch_instances
from .alarms import HOUR_SECONDS, AlarmThresholds, AlarmWindow, Severity
from .async_inference import AsyncInference
from .instances import InstanceType
from .metrics import AsyncMetrics, AsyncVariantMetrics
from .widgets import graph

_HOUR = cdk.Duration.seconds(HOUR_SECONDS)


def async_alarms(
    scope: Construct,
    *,
    async_inference: AsyncInference,
    metrics: AsyncVariantMetrics,
    instance_type: InstanceType,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
    topic: sns.ITopic,
) -> list[cloudwatch.Alarm]:
    """The alarms of an asynchronous endpoint and its one variant.

    Args:
        scope: Where the alarms are made.
        async_inference: For the dead-letter queues.
        metrics: The variant's metrics.
        instance_type: For the number of vCPUs.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded. What is lost (expired requests, notifications, dead
            letters) raises an alarm at once.
        topic: Where alarms are sent.
    """
    factory = variant_factory(scope, metrics=metrics, window=window, topic=topic)
    watch_answers(factory, metrics, thresholds, window)
    watch_instances(factory, metrics, instance_type, thresholds, window)
    for severity, failures in thresholds.failed_requests.items():
        failed = metrics.failed(period=window.period)
        factory.once("failed requests", failed, severity, at_least=failures)
    factory.once("expired requests", metrics.expired(period=window.period), Severity.CRITICAL)
    lost = metrics.notification_failures(period=window.period)
    factory.once("failed notifications", lost, Severity.CRITICAL)
    if thresholds.idle_hours is not None:
        factory.awake_for_nothing(
            metrics.running_instances(period=_HOUR), metrics.processed(period=_HOUR), thresholds.idle_hours
        )
    queue = AlarmFactory(
        scope, name=metrics.endpoint_name, stem=f"{metrics.variant_name}.queue", window=window, topic=topic
    )
    queue.over(
        "oldest request",
        AsyncMetrics(metrics.endpoint_name).age_of_oldest_request(period=window.period),
        thresholds.backlog_age_seconds,
        text="{:g} s",
    )
    for name, channel in async_inference.channels.items():
        letters = channel.dead_letters.metric_approximate_number_of_messages_visible(
            period=cdk.Duration.minutes(5), statistic="Maximum"
        )
        queue.once(f"dead letters about {name}", letters, Severity.WARNING)
    return [*factory.made, *queue.made]


def async_rows(metrics: AsyncVariantMetrics) -> list[list[cloudwatch.IWidget]]:
    """Rows of a dashboard about the queue, what becomes of requests, and the instances.

    Args:
        metrics: The variant's metrics, labelled.
    """
    queue = AsyncMetrics(metrics.endpoint_name, label="")
    return [
        [
            graph("Requests that wait or are worked on", [queue.backlog(), queue.backlog_per_instance()]),
            graph("Oldest request (seconds)", [queue.age_of_oldest_request()]),
            graph("Waiting without an instance", [queue.has_backlog_without_capacity()]),
        ],
        [
            graph("Requests per minute", [metrics.processed(), metrics.failed(), metrics.expired()]),
            graph(
                "What went wrong around the model",
                [metrics.download_failures(), metrics.upload_failures(), metrics.notification_failures()],
            ),
            graph("Error rates", [metrics.server_error_rate(), metrics.client_error_rate()]),
        ],
        [
            graph(
                "From arrival to notification (milliseconds)",
                [metrics.processing_time(statistic="p50"), metrics.processing_time()],
            ),
            graph(
                "Model latency (microseconds)",
                [metrics.model_latency(statistic="p50"), metrics.model_latency()],
            ),
            graph("Instances (samples per minute)", [metrics.running_instances()]),
        ],
        [
            graph("CPU (percent of one vCPU)", [metrics.cpu_utilization()], width=12),
            graph(
                "Memory and disk (percent)",
                [metrics.memory_utilization(), metrics.disk_utilization()],
                width=12,
            ),
        ],
    ]
