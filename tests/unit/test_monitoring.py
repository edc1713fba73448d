"""Alarms, their thresholds and the dashboard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.alarm_factory import vcpu_count
from sagemaker_serving.alarms import AlarmThresholds, AlarmWindow, Severity
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.instances import InstanceType
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.variants import InstanceVariant

Synthesised = Callable[[], Template]


def watch(
    stack: cdk.Stack,
    variants: Sequence[InstanceVariant] = (InstanceVariant(instance_type="ml.m5.large"),),
    **arguments: Any,
) -> EndpointMonitoring:
    topic = sns.Topic(stack, "Topic")
    return EndpointMonitoring(
        stack, "Watch", endpoint_name="sentiment", variants=variants, topic=topic, **arguments
    )


def alarms(template: Template) -> dict[tuple[str, str], dict[str, Any]]:
    """Alarms by metric and statistic."""
    found = template.find_resources("AWS::CloudWatch::Alarm").values()
    return {
        (
            alarm["Properties"]["MetricName"],
            alarm["Properties"].get("Statistic") or alarm["Properties"]["ExtendedStatistic"],
        ): alarm["Properties"]
        for alarm in found
    }


def test_default_alarms_watch_what_can_fail_silently(stack: cdk.Stack, synthesised: Synthesised) -> None:
    watch(stack)
    found = alarms(synthesised())
    assert {
        key: (value["Namespace"], value["Threshold"], value["Period"]) for key, value in found.items()
    } == {
        ("Invocation5XXErrors", "Average"): ("AWS/SageMaker", 0.05, 60),
        ("Invocation4XXErrors", "Average"): ("AWS/SageMaker", 0.25, 60),
        ("ModelLatency", "p99"): ("AWS/SageMaker", 1_000_000, 60),  # microseconds
        ("CPUUtilization", "Average"): ("/aws/sagemaker/Endpoints", 170, 60),  # 85 % of two vCPUs
        ("MemoryUtilization", "Average"): ("/aws/sagemaker/Endpoints", 85, 60),
        ("DiskUtilization", "Average"): ("/aws/sagemaker/Endpoints", 75, 60),
        ("Invocations", "Sum"): ("AWS/SageMaker", 1, 3600),
    }


def test_every_alarm_tells_the_topic_about_its_own_variant(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    watch(stack)
    template = synthesised()
    (topic,) = template.find_resources("AWS::SNS::Topic")
    for alarm in alarms(template).values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert alarm["Dimensions"] == [
            {"Name": "EndpointName", "Value": "sentiment"},
            {"Name": "VariantName", "Value": "primary"},
        ]


def test_silence_is_fine_for_errors_and_alarming_for_an_idle_endpoint(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    watch(stack, thresholds=AlarmThresholds(idle_hours=6))
    found = alarms(synthesised())
    idle = found.pop(("Invocations", "Sum"))
    assert idle["TreatMissingData"] == "breaching"
    assert idle["ComparisonOperator"] == "LessThanThreshold"
    assert idle["EvaluationPeriods"] == 6
    assert {alarm["TreatMissingData"] for alarm in found.values()} == {"notBreaching"}


def test_an_endpoint_that_is_made_at_run_time_is_idle_only_while_it_has_instances(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    # GIVEN an endpoint that may not be there
    watch(stack, made_at_run_time=True, thresholds=AlarmThresholds(idle_hours=6))
    # WHEN its alarm on idleness is read
    (idle,) = (
        alarm["Properties"]
        for alarm in synthesised().find_resources("AWS::CloudWatch::Alarm").values()
        if "Metrics" in alarm["Properties"]
    )
    # THEN it compares requests with instances, and no data at all are fine
    metrics = {
        one["MetricStat"]["Metric"]["MetricName"]: one["MetricStat"]["Stat"]
        for one in idle["Metrics"]
        if "MetricStat" in one
    }
    assert metrics == {"CPUUtilization": "SampleCount", "Invocations": "Sum"}
    assert (idle["TreatMissingData"], idle["EvaluationPeriods"]) == ("notBreaching", 6)


def test_no_idle_alarm_when_there_is_to_be_none(stack: cdk.Stack, synthesised: Synthesised) -> None:
    watch(stack, thresholds=AlarmThresholds(idle_hours=None))
    assert ("Invocations", "Sum") not in alarms(synthesised())


def test_one_alarm_for_each_severity(stack: cdk.Stack, synthesised: Synthesised) -> None:
    # GIVEN a warning and a critical threshold on the 5xx rate
    watched = watch(
        stack,
        thresholds=AlarmThresholds(server_error_rate={Severity.CRITICAL: 0.2, Severity.WARNING: 0.01}),
    )
    # THEN there are two alarms that say which they are
    found = synthesised().find_resources(
        "AWS::CloudWatch::Alarm", {"Properties": {"MetricName": "Invocation5XXErrors"}}
    )
    told = sorted(alarm["Properties"]["AlarmDescription"] for alarm in found.values())
    assert told == [
        "[critical] 5xx rate of sentiment/primary at or above 20.0%",
        "[warning] 5xx rate of sentiment/primary at or above 1.0%",
    ]
    # AND a deployment is rolled back by the critical one
    errors = watched.rollback_alarms[0]
    assert (errors.severity, errors.threshold) == (Severity.CRITICAL, 0.2)


def test_rollback_alarms_are_those_on_errors_and_latency(stack: cdk.Stack) -> None:
    watched = watch(stack, window=AlarmWindow(evaluation_periods=3))
    assert [(alarm.endpoint_name, alarm.name, alarm.window.seconds) for alarm in watched.rollback_alarms] == [
        ("sentiment", "primary 5xx rate", 180),
        ("sentiment", "primary model latency p99", 180),
    ]


def test_each_variant_has_its_alarms_and_its_lines(stack: cdk.Stack, synthesised: Synthesised) -> None:
    variants = [InstanceVariant(instance_type="ml.m5.large", name=name) for name in ("blue", "green")]
    watched = watch(stack, variants)
    assert len(watched.alarms) == 14
    assert {alarm.variant_name for alarm in watched.rollback_alarms} == {"blue", "green"}
    (dashboard,) = synthesised().find_resources("AWS::CloudWatch::Dashboard").values()
    assert dashboard["Properties"]["DashboardName"] == "sentiment"
    body = json.dumps(dashboard)
    for label in ("blue 5xx rate", "green 5xx rate", "blue model latency p99", "green CPU"):
        assert label in body


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoint_name": "no_underscores"}, "endpoint_name = 'no_underscores'"),
        ({"variants": []}, "1 to 10 production variants"),
    ],
)
def test_refuses_what_no_endpoint_can_have(stack: cdk.Stack, arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "endpoint_name": "sentiment",
        "variants": [InstanceVariant(instance_type="ml.m5.large")],
        "topic": sns.Topic(stack, "Topic"),
    }
    with pytest.raises(InvalidConfiguration, match="Test/Watch") as caught:
        EndpointMonitoring(stack, "Watch", **{**given, **arguments})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server_error_rate": {Severity.CRITICAL: 1.5}}, "the metric never exceeds 1"),
        ({"client_error_rate": {Severity.WARNING: 0}}, "client_error_rate[warning] = 0"),
        ({"cpu_percent": {Severity.WARNING: 101}}, "the metric never exceeds 100"),
        ({"memory_percent": {Severity.WARNING: -1}}, "memory_percent[warning] = -1"),
        ({"disk_percent": {Severity.WARNING: float("nan")}}, "must be a finite number"),
        ({"model_latency_p99_seconds": {Severity.CRITICAL: 0}}, "model_latency_p99_seconds[critical] = 0"),
        ({"idle_hours": 169}, "whole number from 1 to 168"),
        ({"idle_hours": 0}, "idle_hours = 0"),
    ],
)
def test_refuses_a_threshold_that_can_never_be_crossed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        AlarmThresholds(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("period", "periods", "message"),
    [
        (cdk.Duration.seconds(90), 1, "multiple of 60 s"),
        (cdk.Duration.seconds(30), 1, "60 to 86400 s"),
        (cdk.Duration.minutes(1), 0, "evaluation_periods = 0"),
        (cdk.Duration.minutes(1), 1441, "at most 86400 s"),
        (cdk.Duration.hours(1), 169, "at most 604800 s"),
    ],
)
def test_refuses_a_window_that_cloudwatch_refuses(period: cdk.Duration, periods: int, message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        AlarmWindow(period=period, evaluation_periods=periods)
    assert message in str(caught.value)


@pytest.mark.parametrize(("minutes", "periods"), [(1, 1440), (60, 168), (30, 48)])
def test_accepts_the_longest_windows_that_cloudwatch_has(minutes: int, periods: int) -> None:
    assert AlarmWindow(period=cdk.Duration.minutes(minutes), evaluation_periods=periods).seconds > 0


@pytest.mark.parametrize(
    ("name", "vcpus"),
    [
        ("ml.t2.medium", 2),
        ("ml.c8g.medium", 1),
        ("ml.m5.large", 2),
        ("ml.c5.xlarge", 4),
        ("ml.c5.9xlarge", 36),
        ("ml.c4.8xlarge", 36),
        ("ml.g5.48xlarge", 192),
        ("ml.p6-b200.48xlarge", 192),
    ],
)
def test_vcpus_follow_from_the_size(name: str, vcpus: int) -> None:
    assert vcpu_count(InstanceType(name)) == vcpus


@given(st.floats(min_value=0, max_value=1, exclude_min=True))
def test_accepts_any_rate_that_can_be_crossed(rate: float) -> None:
    assert AlarmThresholds(server_error_rate={Severity.CRITICAL: rate}).server_error_rate
