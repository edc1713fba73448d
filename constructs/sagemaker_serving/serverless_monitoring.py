"""What is watched of a serverless variant: answers, cold starts, and how near it is to being throttled."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarm_factory import MICROSECONDS, variant_factory, watch_answers
from .alarms import HOUR_SECONDS, AlarmThresholds, AlarmWindow
from .metrics import ServerlessMetrics
from .variants import ServerlessVariant
from .widgets import graph


def serverless_alarms(
    scope: Construct,
    *,
    variant: ServerlessVariant,
    metrics: ServerlessMetrics,
    thresholds: AlarmThresholds,
    window: AlarmWindow,
    topic: sns.ITopic,
) -> list[cloudwatch.Alarm]:
    """The alarms of a serverless variant.

    Args:
        scope: Where the alarms are made.
        variant: The variant.
        metrics: Its metrics.
        thresholds: When to raise an alarm.
        window: How long a threshold must be exceeded.
        topic: Where alarms are sent.
    """
    factory = variant_factory(scope, metrics=metrics, window=window, topic=topic)
    watch_answers(factory, metrics, thresholds, window)
    period, over = window.period, factory.over
    over("memory", metrics.memory_utilization(period=period), thresholds.memory_percent)
    share = metrics.concurrency_utilization(period=period)
    over("concurrency", share, thresholds.concurrency_percent, scale=0.01)
    over(
        "cold start p99",
        metrics.setup_time(period=period),
        thresholds.setup_time_p99_seconds,
        scale=MICROSECONDS,
        text="{:g} s",
    )
    if variant.provisioned_concurrency is not None and thresholds.idle_hours is not None:
        factory.idle(metrics.invocations(period=cdk.Duration.seconds(HOUR_SECONDS)), thresholds.idle_hours)
    return factory.made


def serverless_rows(variant: ServerlessVariant, metrics: ServerlessMetrics) -> list[list[cloudwatch.IWidget]]:
    """Rows of a dashboard about requests, cold starts and concurrency.

    Args:
        variant: The variant.
        metrics: Its metrics, labelled.
    """
    rows: list[list[cloudwatch.IWidget]] = [
        [
            graph("Requests per minute", [metrics.invocations(), metrics.cold_starts()]),
            graph("Error rates", [metrics.server_error_rate(), metrics.client_error_rate()]),
            graph("Concurrency (1: throttled)", [metrics.concurrency_utilization()]),
        ],
        [
            graph(
                "Latency (microseconds)",
                [
                    metrics.model_latency(statistic="p50"),
                    metrics.model_latency(),
                    metrics.overhead_latency(),
                ],
            ),
            graph("Cold starts (microseconds)", [metrics.setup_time(statistic="p50"), metrics.setup_time()]),
            graph("Memory (percent)", [metrics.memory_utilization()]),
        ],
    ]
    if variant.provisioned_concurrency is not None:
        rows.append(
            [
                graph(
                    "Provisioned concurrency in use (0 to 1)",
                    [metrics.provisioned_concurrency_utilization()],
                    width=12,
                ),
                graph("Requests beyond it", [metrics.spillover()], width=12),
            ]
        )
    return rows
