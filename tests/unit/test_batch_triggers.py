"""What starts a batch workflow: when, over what, and what becomes of a start that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.alarms import Severity
from sagemaker_serving.batch_monitoring import BatchMonitoring, BatchThresholds
from sagemaker_serving.batch_triggers import ObjectTrigger, ScheduleTrigger
from sagemaker_serving.dynamodb_sink import DynamoDbSink
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.model import ServingModel
from sagemaker_serving.schedules import Day, Schedule
from sagemaker_serving.storage import AlarmTopic, EncryptionKey, Retention
from sagemaker_serving.transform import BatchTransform
from sagemaker_serving.transform_workflow import TransformWorkflow

Synthesised = Callable[[], Template]
RETENTION = Retention(keep_data=False)


@pytest.fixture
def sink(stack: cdk.Stack, key: EncryptionKey) -> DynamoDbSink:
    return DynamoDbSink(stack, "Sink", key=key, retention=RETENTION)


@pytest.fixture
def workflow(
    stack: cdk.Stack, key: EncryptionKey, model: ServingModel, sink: DynamoDbSink, tmp_path: Path
) -> TransformWorkflow:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "claim.py").write_text("")
    return TransformWorkflow(
        stack,
        "Workflow",
        workflow_name="batch-dev",
        model=model,
        transform=BatchTransform(instance_type="ml.m5.large"),
        sink=sink,
        code=tmp_path / "code",
        key=key,
        retention=RETENTION,
    )


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = template.find_resources(kind).values()
    return dict(found["Properties"])


@pytest.mark.parametrize(
    ("schedule", "expression"),
    [
        (Schedule.daily("02:30"), "30 2 * * ? *"),
        (Schedule.daily("23:05", time_zone="Asia/Seoul"), "5 23 * * ? *"),
        (Schedule.weekly(Day.SUNDAY, "00:00"), "0 0 ? * SUN *"),
        (Schedule.cron("0/15 8-18 ? * MON-FRI *"), "0/15 8-18 ? * MON-FRI *"),
    ],
)
def test_schedules_are_cron_expressions(schedule: Schedule, expression: str) -> None:
    assert schedule.expression == expression


@given(st.times())
def test_every_minute_of_a_day_can_be_named(time: Any) -> None:
    minutes, hours, *_ = Schedule.daily(f"{time:%H:%M}").expression.split()
    assert (int(hours), int(minutes)) == (time.hour, time.minute)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule.daily("24:00"), "at = '24:00': is hours and minutes of a day, 00:00 to 23:59"),
        (lambda: Schedule.daily("2:30"), "write '02:30'"),
        (lambda: Schedule.weekly("SOMEDAY", "02:30"), "day = 'SOMEDAY': must be one of MON, TUE"),
        (lambda: Schedule.cron("0 3 * * *"), "has six fields"),
        (lambda: Schedule.cron("0 3 * * * *"), "exactly one of day of month and day of week is ?"),
        (lambda: Schedule.cron("0 3 ? * ? *"), "exactly one of day of month and day of week is ?"),
        (lambda: Schedule.daily("02:30", time_zone="Asia/Soul"), "did you mean Asia/Seoul"),
        (lambda: Schedule.daily("02:30", flexible_minutes=1441), "flexible_minutes = 1441"),
    ],
)
def test_what_the_scheduler_would_refuse_is_refused(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        make()
    assert message in str(refused.value)


@pytest.mark.parametrize("kind", [ScheduleTrigger, ObjectTrigger])
@pytest.mark.parametrize("prefix", ["ready", "/ready/", "ready/*/"])
def test_a_prefix_is_a_folder(
    stack: cdk.Stack, key: EncryptionKey, workflow: TransformWorkflow, kind: type, prefix: str
) -> None:
    arguments = {"schedule": Schedule.daily("02:30")} if kind is ScheduleTrigger else {}
    with pytest.raises(InvalidConfiguration, match="it ends in / and does not begin with it"):
        kind(stack, "Trigger", workflow=workflow, prefix=prefix, key=key, **arguments)


def test_a_schedule_starts_the_workflow_over_its_prefix(
    stack: cdk.Stack, key: EncryptionKey, workflow: TransformWorkflow, synthesised: Synthesised
) -> None:
    # GIVEN a start each night in Seoul
    schedule = Schedule.daily("02:30", time_zone="Asia/Seoul", flexible_minutes=15)
    made = ScheduleTrigger(stack, "Nightly", workflow=workflow, schedule=schedule, prefix="ready/", key=key)
    # THEN it says so, and a start that fails for a day is a dead letter
    properties = only(template := synthesised(), "AWS::Scheduler::Schedule")
    assert properties["ScheduleExpression"] == "cron(30 2 * * ? *)"
    assert properties["ScheduleExpressionTimezone"] == "Asia/Seoul"
    assert properties["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    target = properties["Target"]
    assert target["DeadLetterConfig"] == {"Arn": stack.resolve(made.dead_letters.queue_arn)}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    text = json.dumps(target["Input"])
    assert "/input/ready/" in text
    assert "schedule" in text
    # AND its role may start this workflow, write that letter, and nothing else
    policies = template.find_resources("AWS::IAM::Policy")
    (policy,) = (item["Properties"] for name, item in policies.items() if name.startswith("NightlyPolicy"))
    allowed = {item["Sid"]: item["Action"] for item in policy["PolicyDocument"]["Statement"]}
    assert allowed == {
        "StartWorkflow": "states:StartExecution",
        "WriteDeadLetters": "sqs:SendMessage",
        "UseKey": ["kms:Decrypt", "kms:GenerateDataKey"],
    }


def test_manifests_and_markers_start_the_workflow_and_other_objects_do_not(
    stack: cdk.Stack, key: EncryptionKey, workflow: TransformWorkflow, synthesised: Synthesised
) -> None:
    made = ObjectTrigger(stack, "OnObject", workflow=workflow, prefix="ready/", key=key)
    template = synthesised()
    rule = only(template, "AWS::Events::Rule")
    # THEN the rule looks at this bucket, and at these names only
    detail = rule["EventPattern"]["detail"]
    assert detail["bucket"] == {"name": [stack.resolve(workflow.storage.input.bucket_name)]}
    assert detail["object"]["key"] == [
        {"wildcard": "input/ready/*.manifest"},
        {"wildcard": "input/ready/*_SUCCESS"},
    ]
    (target,) = rule["Targets"]
    transformer = target["InputTransformer"]
    assert json.loads(transformer["InputTemplate"]) == {
        "input": "s3://<bucket>/<key>",
        "trigger": "object",
    }
    assert target["DeadLetterConfig"] == {"Arn": stack.resolve(made.dead_letters.queue_arn)}
    # AND the bucket tells EventBridge, without a function that would switch that on
    buckets = template.find_resources("AWS::S3::Bucket").values()
    told = [item["Properties"].get("NotificationConfiguration") for item in buckets]
    assert {"EventBridgeConfiguration": {"EventBridgeEnabled": True}} in told
    assert template.find_resources("Custom::S3BucketNotifications") == {}


def test_what_can_fail_silently_raises_an_alarm(
    stack: cdk.Stack,
    key: EncryptionKey,
    workflow: TransformWorkflow,
    sink: DynamoDbSink,
    synthesised: Synthesised,
) -> None:
    # GIVEN a workflow that starts each day
    trigger = ScheduleTrigger(stack, "Nightly", workflow=workflow, schedule=Schedule.daily("02:30"), key=key)
    monitoring = BatchMonitoring(
        stack,
        "Monitoring",
        workflow=workflow,
        dead_letters={"schedule": trigger.dead_letters},
        sink_metrics=sink.metrics(),
        topic=AlarmTopic(stack, "Topic", key=key),
        thresholds=BatchThresholds(
            sink_lag_seconds={Severity.CRITICAL: 600},
            quarantined_records={Severity.WARNING: 10},
            silent_hours=26,
        ),
    )
    template = synthesised()
    alarms = {
        (item["Properties"]["Namespace"], item["Properties"]["MetricName"]): item["Properties"]
        for item in template.find_resources("AWS::CloudWatch::Alarm").values()
    }
    # THEN there is one for each way to lose something, and all tell the topic
    assert set(alarms) == {
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionsTimedOut"),
        ("AWS/States", "ExecutionsSucceeded"),
        ("SageMakerServing/Batch", "SinkLagSeconds"),
        ("SageMakerServing/Batch", "QuarantinedRecords"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    }
    assert all(len(item["AlarmActions"]) == 1 for item in alarms.values())
    assert len(monitoring.alarms) == 6
    lag = alarms["SageMakerServing/Batch", "SinkLagSeconds"]
    assert lag["Threshold"] == 600
    assert lag["Dimensions"] == [{"Name": "Workflow", "Value": "batch-dev"}]
    # AND silence of the metric is an alarm where a success is expected
    silent = alarms["AWS/States", "ExecutionsSucceeded"]
    assert silent["TreatMissingData"] == "breaching"
    assert (silent["EvaluationPeriods"], silent["Period"]) == (26, 3600)
    assert only(template, "AWS::CloudWatch::Dashboard")["DashboardName"] == "batch-dev"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sink_lag_seconds": {Severity.CRITICAL: 0}}, "sink_lag_seconds[critical] = 0"),
        ({"quarantined_records": {Severity.WARNING: -1}}, "quarantined_records[warning] = -1"),
        ({"silent_hours": 169}, "silent_hours = 169: must be a whole number from 1 to 168"),
    ],
)
def test_thresholds_check_themselves(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        BatchThresholds(**arguments)
    assert message in str(refused.value)
