"""Transform jobs in a started sandbox: real model servers, Step Functions, schedules, S3 events, tables."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from sandbox import supervisor
from sandbox.home import ACCOUNT, REGION, Home, State
from sandbox.store import Params
from tests.sandbox_process.live import IMAGE, ROLE, Live, Queue
from tests.sandbox_transform.plant import request

# a minute takes a tenth of a second: schedules and waits are part of the test
TIME_SCALE = 600.0
MODEL = """
import json, os, time

def model_fn(model_dir):
    return None
def input_fn(data, content_type):
    return [json.loads(line) for line in data.decode().splitlines()]
def predict_fn(rows, model):
    if rows[0].get("wait"):
        time.sleep(rows[0]["wait"])
    return [{"length": len(row["text"]), "batch": os.environ["SAGEMAKER_BATCH"]} for row in rows]
def output_fn(answers, accept):
    return "\\n".join(map(json.dumps, answers)), accept
"""
JOIN = {"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}


class TransformLive(Live):
    """Transform jobs of a sandbox."""

    def __init__(self, sandbox: State) -> None:
        super().__init__(sandbox)
        self.pid = sandbox.pid
        self.s3 = self.aws("s3")
        for bucket in ("data", "results", "code"):
            with suppress(ClientError):
                self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.sagemaker.create_model(
            ModelName="model",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": self.artifact("lengths", MODEL)},
        )

    def put(self, prefix: str, *objects: list[Params]) -> str:
        """JSON Lines objects; the URI of their prefix."""
        for at, rows in enumerate(objects):
            body = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            self.s3.put_object(Bucket="data", Key=f"{prefix}/{at}.jsonl", Body=body.encode())
        return f"s3://data/{prefix}/"

    def start(self, name: str, uri: str, **changes: Any) -> None:
        self.sagemaker.create_transform_job(
            **request(name, uri=uri, S3OutputPath=f"s3://results/{name}", **changes)
        )

    def ended(self, name: str) -> Params:
        """The job once it has ended."""

        def probe() -> Params | None:
            job: Params = self.sagemaker.describe_transform_job(TransformJobName=name)
            return None if job["TransformJobStatus"] in ("InProgress", "Stopping") else job

        job: Params = self.until(f"the end of {name}", probe)
        return job

    def output(self, key: str) -> list[Params]:
        body = self.s3.get_object(Bucket="results", Key=key)["Body"].read()
        return [json.loads(line) for line in body.splitlines()]

    def servers(self) -> list[psutil.Process]:
        """Model servers of the moment."""
        found = []
        for process in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.Error):
                if any("model_server" in word for word in process.cmdline()):
                    found.append(process)
        return found

    def execution(self, machine: str) -> Params:
        """The first execution of a state machine that has ended."""
        states = self.aws("stepfunctions")

        def probe() -> Params | None:
            for each in states.list_executions(stateMachineArn=machine)["executions"]:
                if each["status"] != "RUNNING":
                    return dict(states.describe_execution(executionArn=each["executionArn"]))
            return None

        ended: Params = self.until(f"an execution of {machine}", probe)
        return ended


@contextmanager
def started(home: Home) -> Iterator[TransformLive]:
    """A sandbox with a model in it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = supervisor.Options(time_scale=TIME_SCALE, port=port)
    try:
        live = TransformLive(supervisor.up(home, options, lambda text: None)[0])
        yield live
        live.close()
    finally:
        supervisor.down(home, lambda text: None)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformLive]:
    with started(Home(tmp_path_factory.mktemp("transform") / "sandbox")) as live:
        yield live


def test_a_real_model_transforms_a_large_object_in_parts(live: TransformLive) -> None:
    # GIVEN 20,000 records, of which a request of 1 MB holds a part, and a queue for the job's events
    rows = [{"id": at, "text": f"영화 {at} " * 8} for at in range(20_000)]
    uri = live.put("large", rows, rows[:3])
    queue = _listen(live, "large")

    # WHEN a job joins them with the model's answers
    live.start(
        "large", uri, DataProcessing=JOIN, MaxPayloadInMB=1, MaxConcurrentTransforms=2, InstanceCount=2
    )
    job = live.ended("large")

    # THEN each record has its answer, in order
    assert job["TransformJobStatus"] == "Completed"
    expected = [
        {"id": row["id"], "SageMakerOutput": {"length": len(str(row["text"])), "batch": "true"}}
        for row in rows
    ]
    assert live.output("large/0.jsonl.out") == expected
    assert live.output("large/1.jsonl.out") == expected[:3]
    # AND the model servers are gone, the events came, and the container's words are in its log stream
    live.until("the end of its model servers", lambda: not live.servers())
    live.until("its events", lambda: len(queue.read()) == 2)
    assert [event["detail"]["TransformJobStatus"] for event in queue.events] == ["InProgress", "Completed"]
    logs = live.aws("logs")

    def streams() -> set[str]:
        found = logs.describe_log_streams(
            logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix="large/"
        )["logStreams"]
        return {each["logStreamName"].rpartition("-")[2] for each in found}

    epoch = str(int(job["CreationTime"].timestamp()))
    live.until("its logs", lambda: _exists(streams) and streams() == {epoch, "log"})


def test_a_killed_model_server_fails_its_job_with_the_reason(live: TransformLive) -> None:
    # GIVEN a job whose model works on a request
    live.start("killed", live.put("killed", [{"id": 1, "text": "x", "wait": 60}]))
    [server] = live.until("its model server", lambda: len(live.servers()) == 1 and live.servers())
    live.until("its request", lambda: "TransformStartTime" in _described(live, "killed"))

    # WHEN the model server is killed
    server.kill()

    # THEN the job fails and says so, and nothing is left
    job = live.ended("killed")
    assert job["FailureReason"].startswith("AlgorithmError: s3://data/killed/0.jsonl: ")
    assert "was ended by signal 9" in job["FailureReason"]
    assert not live.servers()


def test_a_stopped_job_ends_its_model_servers(live: TransformLive) -> None:
    # GIVEN a job at work
    live.start("stopped", live.put("stopped", [{"id": 1, "text": "x", "wait": 60}]))
    live.until("its instance", lambda: "TransformStartTime" in _described(live, "stopped"))

    # WHEN it is stopped
    live.sagemaker.stop_transform_job(TransformJobName="stopped")

    # THEN it is Stopped, without output, and its model server has ended
    assert live.ended("stopped")["TransformJobStatus"] == "Stopped"
    assert not live.servers()
    assert "Contents" not in live.s3.list_objects_v2(Bucket="results", Prefix="stopped/")


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
    live.s3.put_object(Bucket="code", Key="land.zip", Body=_zip({"pkg/land.py": FUNCTION}))
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
    assert _deploy(live, "flow", resources) == "CREATE_COMPLETE"

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
    assert _deploy(live, "flow", resources) == "UPDATE_ROLLBACK_COMPLETE"
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


def test_no_model_server_outlives_the_sandbox(tmp_path: Path) -> None:
    # GIVEN a job at work in a sandbox of its own
    home = Home(tmp_path / "sandbox")
    with started(home) as live:
        live.start("left", live.put("left", [{"id": 1, "text": "x", "wait": 60}]))
        live.until("its instance", lambda: "TransformStartTime" in _described(live, "left"))
        servers = live.servers()
        assert servers

        # WHEN the sandbox goes down
        supervisor.down(home, lambda text: None)

        # THEN the model server is gone too
        live.until("the end of its model server", lambda: not any(each.is_running() for each in servers))


def _deploy(live: TransformLive, name: str, resources: dict[str, Params]) -> str:
    """Create or update a stack; its status at the end."""
    cloudformation = live.aws("cloudformation")

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    change = cloudformation.update_stack if _exists(status) else cloudformation.create_stack
    change(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    live.until(f"the stack {name}", lambda: not status().endswith("IN_PROGRESS"))
    return status()


def _described(live: TransformLive, name: str) -> Params:
    return dict(live.sagemaker.describe_transform_job(TransformJobName=name))


def _exists(look: Any) -> bool:
    try:
        look()
    except ClientError:
        return False
    return True


def _listen(live: TransformLive, job: str) -> Queue:
    """A queue that gets every event about a job."""
    sqs, events = live.aws("sqs"), live.aws("events")
    url = sqs.create_queue(QueueName=f"of-{job}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Transform Job State Change"],
        "detail": {"TransformJobName": [job]},
    }
    events.put_rule(Name=f"of-{job}", EventPattern=json.dumps(pattern))
    events.put_targets(Rule=f"of-{job}", Targets=[{"Id": "queue", "Arn": arn}])
    return Queue(sqs, url)


def _zip(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
