"""What is watched of an asynchronous endpoint, and that only metrics are watched that it publishes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from sagemaker_serving.alarms import AlarmThresholds, Severity
from sagemaker_serving.async_inference import AsyncInference
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.metrics import AsyncMetrics, AsyncVariantMetrics
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant, ProductionVariant, ServerlessVariant

Synthesised = Callable[[], Template]
ONE = InstanceVariant(instance_type="ml.m5.large")
OF_VARIANT = [{"Name": "EndpointName", "Value": "video"}, {"Name": "VariantName", "Value": "primary"}]
OF_ENDPOINT = OF_VARIANT[:1]
NEVER_PUBLISHED = {"Invocations", "InvocationsPerInstance", "OverheadLatency"}


@pytest.fixture
def watch(stack: cdk.Stack, key: EncryptionKey) -> Callable[..., EndpointMonitoring]:
    """Monitoring of the asynchronous endpoint ``video``."""

    def monitoring(*variants: ProductionVariant, **arguments: Any) -> EndpointMonitoring:
        requests = AsyncInference(stack, "Requests", key=key, retention=Retention(keep_data=False))
        return EndpointMonitoring(
            stack,
            "Watch",
            endpoint_name="video",
            variants=variants or [ONE],
            async_inference=requests,
            topic=sns.Topic(stack, "AlarmTopic"),
            **arguments,
        )

    return monitoring


def alarms(template: Template) -> list[dict[str, Any]]:
    return [dict(one["Properties"]) for one in template.find_resources("AWS::CloudWatch::Alarm").values()]


def by_metric(template: Template) -> dict[str, dict[str, Any]]:
    return {one["MetricName"]: one for one in alarms(template) if "MetricName" in one}


def expression(template: Template) -> dict[str, Any]:
    (found,) = (one for one in alarms(template) if "Metrics" in one)
    return found


def test_every_alarm_waits_for_a_metric_that_is_published_under_its_dimensions(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch()
    found = by_metric(synthesised())
    letters = found.pop("ApproximateNumberOfMessagesVisible")
    assert letters["Namespace"] == "AWS/SQS"
    # GIVEN the exhaustive list of the developer guide THEN the queue's metric has no variant, others have
    assert {name: (one["Dimensions"], one["Threshold"]) for name, one in found.items()} == {
        "Invocation5XXErrors": (OF_VARIANT, 0.05),
        "Invocation4XXErrors": (OF_VARIANT, 0.25),
        "ModelLatency": (OF_VARIANT, 1_000_000),
        "CPUUtilization": (OF_VARIANT, 170),
        "MemoryUtilization": (OF_VARIANT, 85),
        "DiskUtilization": (OF_VARIANT, 75),
        "InvocationFailures": (OF_VARIANT, 1),
        "ExpiredRequests": (OF_VARIANT, 1),
        "NotificationFailures": (OF_VARIANT, 1),
        "ApproximateAgeOfOldestRequest": (OF_ENDPOINT, 900),
    }


def test_what_is_lost_is_told_after_one_period(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch()
    found = by_metric(synthesised())
    for name in ("InvocationFailures", "ExpiredRequests", "NotificationFailures"):
        assert (found[name]["EvaluationPeriods"], found[name]["Statistic"]) == (1, "Sum")
    assert found["ApproximateAgeOfOldestRequest"]["EvaluationPeriods"] == 2


def test_dead_letters_of_both_queues_are_told(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch()
    told = {
        json.dumps(one["Dimensions"]): one["AlarmDescription"]
        for one in alarms(synthesised())
        if one.get("Namespace") == "AWS/SQS"
    }
    assert sorted(told.values()) == [
        "[warning] dead letters about error of video: 1 or more",
        "[warning] dead letters about success of video: 1 or more",
    ]
    assert all("DeadLetters" in queue for queue in told)


def test_instances_without_work_are_told_and_no_instances_are_fine(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch(thresholds=AlarmThresholds(idle_hours=6))
    alarm = expression(synthesised())
    queries = {one["Id"]: one for one in alarm["Metrics"]}
    (result,) = (one for one in queries.values() if "Expression" in one)
    # GIVEN an hour without a sample of an instance, which is how an endpoint sleeps, THEN there is no data
    # point, and that is no breach; with one, the hour breaches unless a request was done in it
    assert result["Expression"] == "IF(instances > 0, IF(FILL(processed, 0) > 0, 0, 1), 0)"
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["EvaluationPeriods"] == 6
    for name, metric in (("instances", "CPUUtilization"), ("processed", "TotalProcessingTime")):
        stat = queries[name]["MetricStat"]
        assert (stat["Metric"]["MetricName"], stat["Stat"], stat["Period"]) == (metric, "SampleCount", 3600)
        assert stat["Metric"]["Dimensions"] == OF_VARIANT


def test_no_such_alarm_when_there_is_to_be_none(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch(thresholds=AlarmThresholds(idle_hours=None))
    assert not [one for one in alarms(synthesised()) if "Metrics" in one]


def test_thresholds_of_the_queue_are_settings(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch(
        thresholds=AlarmThresholds(
            backlog_age_seconds={Severity.CRITICAL: 3600}, failed_requests={Severity.WARNING: 5}
        )
    )
    found = by_metric(synthesised())
    assert found["ApproximateAgeOfOldestRequest"]["Threshold"] == 3600
    assert found["InvocationFailures"]["Threshold"] == 5
    assert found["InvocationFailures"]["AlarmDescription"] == (
        "[warning] failed requests of video/primary: 5 or more"
    )


def test_the_dashboard_shows_the_queue_and_nothing_that_is_never_published(
    watch: Callable[..., EndpointMonitoring], synthesised: Synthesised
) -> None:
    watch()
    body = json.dumps(synthesised().find_resources("AWS::CloudWatch::Dashboard"))
    for metric in ("ApproximateBacklogSize", "HasBacklogWithoutCapacity", "TotalProcessingTime"):
        assert metric in body
    for metric in NEVER_PUBLISHED:
        assert f'\\"{metric}\\"' not in body


@pytest.mark.parametrize(
    "variants",
    [
        [ONE, InstanceVariant(instance_type="ml.m5.large", name="other")],
        [ServerlessVariant(memory_mb=1024, max_concurrency=1)],
    ],
    ids=["two", "serverless"],
)
def test_variants_that_an_asynchronous_endpoint_cannot_have_are_refused(
    watch: Callable[..., EndpointMonitoring], variants: list[ProductionVariant]
) -> None:
    with pytest.raises(InvalidConfiguration, match="an asynchronous endpoint has one variant, on instances"):
        watch(*variants)


def test_metrics_of_the_queue_have_no_variant() -> None:
    queue = AsyncMetrics("video")
    for metric, name in (
        (queue.backlog(), "ApproximateBacklogSize"),
        (queue.backlog_per_instance(), "ApproximateBacklogSizePerInstance"),
        (queue.age_of_oldest_request(), "ApproximateAgeOfOldestRequest"),
        (queue.has_backlog_without_capacity(), "HasBacklogWithoutCapacity"),
    ):
        assert (metric.namespace, metric.metric_name) == ("AWS/SageMaker", name)
        assert metric.dimensions == {"EndpointName": "video"}
    variant = AsyncVariantMetrics("video", "primary")
    for counted, name in (
        (variant.download_failures(), "RequestDownloadFailures"),
        (variant.upload_failures(), "ResponseUploadFailures"),
        (variant.expired(), "ExpiredRequests"),
    ):
        assert (counted.metric_name, counted.statistic) == (name, "Sum")
        assert counted.dimensions == {"EndpointName": "video", "VariantName": "primary"}
