"""What a batch workflow needs of the AWS underneath: Step Functions, schedules, S3 events, tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.home import ACCOUNT, REGION
from sandbox.store import Params
from tests.sandbox_process.live import ROLE
from tests.sandbox_transform.live_transform import (
    JOIN,
    TransformLive,
    deploy,
    zipped,
)
from tests.sandbox_transform.plant import request

FUNCTION = """
import os

def handler(event, context):
    if event["range"]["index"] == 2:
        raise ValueError("range 2 is bad")
    return {"index": event["range"]["index"], "job": event["job"]}
"""
TASK = "arn:aws:states:::aws-sdk"


def _workflow(job: Params) -> Params:
    """Transform, wait and describe until it has ended; then a distributed map over a list in S3."""
    described = {"TransformJobName.$": "$$.Execution.Name"}
    states = {
        "Create": {
            "Type": "Task",
            "Resource": f"{TASK}:sagemaker:createTransformJob",
            "Parameters": {**job, "TransformJobName.$": "$$.Execution.Name"},
            "ResultPath": None,
            "Next": "Again",
        },
        "Again": {
            "Type": "Task",
            "Resource": f"{TASK}:sagemaker:createTransformJob",
            "Parameters": {**job, "TransformJobName.$": "$$.Execution.Name"},
            "Catch": [
                {
                    "ErrorEquals": ["SageMaker.ResourceInUseException"],
                    "ResultPath": "$.again",
                    "Next": "Wait",
                }
            ],
            "End": True,
        },
        "Wait": {"Type": "Wait", "Seconds": 120, "Next": "Describe"},
        "Describe": {
            "Type": "Task",
            "Resource": f"{TASK}:sagemaker:describeTransformJob",
            "Parameters": described,
            "ResultSelector": {"status.$": "$.TransformJobStatus"},
            "ResultPath": "$.job",
            "Next": "Ended",
        },
        "Ended": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.job.status", "StringEquals": "InProgress", "Next": "Wait"}],
            "Default": "Land",
        },
        "Land": {
            "Type": "Map",
            "MaxConcurrency": 2,
            "ToleratedFailureCount": 1,
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSON"},
                "Parameters": {"Bucket": "code", "Key": "ranges.json"},
            },
            "ItemSelector": {"range.$": "$$.Map.Item.Value", "job.$": "$.job.status"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Call",
                "States": {
                    "Call": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::lambda:invoke",
                        "Parameters": {"FunctionName": "land", "Payload.$": "$"},
                        "OutputPath": "$.Payload",
                        "End": True,
                    }
                },
            },
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "Parameters": {"Bucket": "results", "Prefix": "landed"},
                "WriterConfig": {"OutputType": "JSONL", "Transformation": "COMPACT"},
            },
            "ResultPath": "$.landed",
            "Next": "Tell",
        },
        "Tell": {
            "Type": "Task",
            "Resource": f"{TASK}:sns:publish",
            "Parameters": {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:told", "Message.$": "$.job.status"},
            "ResultPath": None,
            "End": True,
        },
    }
    return {"StartAt": "Create", "States": states}


def _machine(name: str, definition: Params) -> Params:
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "StateMachineName": name,
            "RoleArn": ROLE,
            "DefinitionString": json.dumps(definition),
        },
    }


def _arn(name: str) -> str:
    return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}"


def test_a_workflow_of_templates_runs_from_its_trigger_to_its_end(live: TransformLive) -> None:
    # GIVEN a stack as a batch workflow has it: a bucket that tells EventBridge, a rule, a state machine that
    # transforms, waits and maps over functions, schedules, and a table with all that protects one
    live.put("flow", [{"id": 1, "text": "최고"}])
    live.s3.put_object(Bucket="code", Key="ranges.json", Body=json.dumps([{"index": at} for at in range(4)]))
    live.s3.put_object(Bucket="code", Key="land.zip", Body=zipped({"pkg/land.py": FUNCTION}))
    job = request(uri="s3://data/flow/", S3OutputPath="s3://results/flow", DataProcessing=JOIN)
    del job["TransformJobName"]
    target = {"RoleArn": ROLE, "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"}}
    fixed = {"FlexibleTimeWindow": {"Mode": "OFF"}}
    context = '{"at": "<aws.scheduler.scheduled-time>", "by": "<aws.scheduler.schedule-arn>"}'
    universal = {"StateMachineArn": _arn("hourly"), "Input": '{"a": 1}'}
    passes = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}
    resources: dict[str, Params] = {
        "Told": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "told"}},
        "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead"}},
        "Inbox": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": "inbox",
                "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            },
        },
        "Land": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": "land",
                "Handler": "pkg.land.handler",
                "Runtime": "python3.12",
                "Role": ROLE,
                "Code": {"S3Bucket": "code", "S3Key": "land.zip"},
            },
        },
        "Flow": _machine("flow", _workflow(job)),
        "Zoned": _machine("zoned", passes),
        "Hourly": _machine("hourly", passes),
        "Arrived": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {"bucket": {"name": ["inbox"]}, "object": {"key": [{"suffix": "_SUCCESS"}]}},
                },
                "Targets": [
                    {
                        "Id": "flow",
                        "Arn": _arn("flow"),
                        "RoleArn": ROLE,
                        "InputTransformer": {
                            "InputPathsMap": {"bucket": "$.detail.bucket.name", "key": "$.detail.object.key"},
                            "InputTemplate": '{"input": "s3://<bucket>/<key>"}',
                        },
                    }
                ],
            },
        },
        "QuarterPast": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                **fixed,
                "Name": "quarter-past",
                "ScheduleExpression": "cron(15 * * * ? *)",
                "ScheduleExpressionTimezone": "Asia/Kolkata",
                "Target": {**target, "Arn": _arn("zoned"), "Input": context},
            },
        },
        "EveryHour": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                **fixed,
                "Name": "every-hour",
                "ScheduleExpression": "rate(1 hour)",
                "Target": {
                    **target,
                    "Arn": "arn:aws:scheduler:::aws-sdk:sfn:startExecution",
                    "Input": json.dumps(universal),
                },
            },
        },
        "Lost": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                **fixed,
                "Name": "lost",
                "ScheduleExpression": "rate(1 hour)",
                "Target": {**target, "Arn": _arn("gone"), "Input": '{"lost": true}'},
            },
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "results",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
                "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"},
            },
        },
    }
    assert deploy(live, "flow", resources) == "CREATE_COMPLETE"

    # WHEN an object arrives that the rule waits for, beside one that it does not
    live.s3.put_object(Bucket="inbox", Key="today/part.jsonl", Body=b"")
    live.s3.put_object(Bucket="inbox", Key="today/_SUCCESS", Body=b"")

    # THEN the workflow ran once, from the object to the message; one range may fail
    ended = live.execution(_arn("flow"))
    assert json.loads(ended["input"]) == {"input": "s3://inbox/today/_SUCCESS"}
    output = json.loads(ended["output"])
    assert (ended["status"], output.get("job"), output.get("Cause")) == (
        "SUCCEEDED",
        {"status": "Completed"},
        None,
    )
    assert "already exists" in output["again"]["Cause"]
    manifest = output["landed"]["ResultWriterDetails"]
    written = json.loads(live.s3.get_object(**manifest)["Body"].read())["ResultFiles"]
    [landed], [failed] = (
        [live.output(file["Key"]) for file in written[ending]] for ending in ("SUCCEEDED", "FAILED")
    )
    assert sorted(each["index"] for each in landed) == [0, 1, 3]
    assert "range 2 is bad" in failed[0]["Cause"]
    assert live.output("flow/0.jsonl.out") == [{"id": 1, "SageMakerOutput": {"length": 2, "batch": "true"}}]
    assert len(live.aws("stepfunctions").list_executions(stateMachineArn=_arn("flow"))["executions"]) == 1

    # AND the schedules fired: an hour is six seconds, and a quarter past in India is a quarter to elsewhere
    hourly = live.execution(_arn("hourly"))
    assert json.loads(hourly["input"]) == {"a": 1}
    zoned = json.loads(live.execution(_arn("zoned"))["input"])
    assert zoned["at"].endswith(":45:00Z")
    assert zoned["by"].endswith(":schedule/default/quarter-past")
    # AND the one whose target is gone left its input in the dead-letter queue
    sqs = live.aws("sqs")
    url = sqs.get_queue_url(QueueName="dead")["QueueUrl"]
    [message] = live.until(
        "the dead letter", lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages")
    )
    assert json.loads(message["Body"]) == {"lost": True}

    # AND the table is as the template says
    dynamodb = live.aws("dynamodb")
    described = dynamodb.describe_table(TableName="results")["Table"]
    backups = dynamodb.describe_continuous_backups(TableName="results")["ContinuousBackupsDescription"]
    expiry = dynamodb.describe_time_to_live(TableName="results")["TimeToLiveDescription"]
    assert described["SSEDescription"]["Status"] == "ENABLED"
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expires_at")

    # WHEN a schedule is given an expression that is none
    resources["QuarterPast"]["Properties"]["ScheduleExpression"] = "cron(30 2 * * *)"

    # THEN the update is rolled back
    assert deploy(live, "flow", resources) == "UPDATE_ROLLBACK_COMPLETE"
    assert (
        live.aws("scheduler").get_schedule(Name="quarter-past")["ScheduleExpressionTimezone"]
        == "Asia/Kolkata"
    )


def test_batches_of_a_table_are_written_whole_or_refused(live: TransformLive) -> None:
    # GIVEN a table
    dynamodb = live.aws("dynamodb")
    dynamodb.create_table(
        TableName="batches",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )

    def write(*items: Params, **more: Any) -> Params:
        requests = [{"PutRequest": {"Item": item}} for item in items]
        return dict(dynamodb.batch_write_item(RequestItems={"batches": requests}, **more))

    # WHEN good items are written, with and without the question what they cost
    quiet = write({"id": {"S": "a"}, "score": {"N": "0.50"}}, {"id": {"S": "b"}})
    asked = write({"id": {"S": "c"}, "text": {"S": "x" * 2000}}, ReturnConsumedCapacity="TOTAL")

    # THEN they are there as DynamoDB keeps them, and who asks is told
    assert dynamodb.get_item(TableName="batches", Key={"id": {"S": "a"}})["Item"]["score"] == {"N": "0.5"}
    assert "ConsumedCapacity" not in quiet
    assert asked["ConsumedCapacity"][0]["CapacityUnits"] == 2.0

    # WHEN one of a batch is wrong: without its key, with an empty one, no number, too large
    for wrong in (
        {"score": {"N": "1"}},
        {"id": {"S": ""}},
        {"id": {"S": "e"}, "score": {"N": "high"}},
        {"id": {"S": "e"}, "text": {"S": "x" * 410_000}},
    ):
        with pytest.raises(ClientError, match="ValidationException"):
            write({"id": {"S": "d"}}, wrong)

    # THEN nothing of it was written
    assert dynamodb.scan(TableName="batches", Select="COUNT")["Count"] == 3
