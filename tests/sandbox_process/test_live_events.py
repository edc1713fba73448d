"""Events and schedules that call functions and tell people in a started sandbox."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.home import ACCOUNT, REGION
from sandbox.store import Params
from tests.sandbox_process.live import IMAGE, ROLE, Live

CODE = """
import time

def handler(event, context):
    if event.get("slow"):
        time.sleep(0.5)
    if event.get("detail", event).get("bad"):
        raise ValueError("the event is bad")
    return {"seen": event}
"""


class Letters:
    """A queue whose messages are kept with their attributes."""

    def __init__(self, live: Live, name: str) -> None:
        self._live, self._sqs = live, live.aws("sqs")
        self.url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = answer["Attributes"]["QueueArn"]
        self.bodies: list[str] = []
        self.attributes: list[dict[str, str]] = []

    def wait(self, count: int = 1) -> list[Any]:
        """So many bodies, read as JSON."""
        self._live.until(self.url, lambda: self.read() >= count)
        return [json.loads(body) for body in self.bodies]

    def read(self) -> int:
        """Take what is there; how many there have been."""
        while found := self._sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in found:
                self.bodies.append(message["Body"])
                given = message.get("MessageAttributes", {})
                self.attributes.append({name: value["StringValue"] for name, value in given.items()})
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return len(self.bodies)


def function(live: Live, name: str, **changed: Any) -> str:
    """A function of `CODE`; its ARN."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", CODE)
    arn: str = live.aws("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=ROLE,
        Handler="index.handler",
        Timeout=30,
        Code={"ZipFile": buffer.getvalue()},
        **changed,
    )["FunctionArn"]
    return arn


def destinations(live: Live, name: str, retries: int, **queues: Letters) -> None:
    """Tell queues of the ends of asynchronous calls."""
    live.aws("lambda").put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="$LATEST",
        MaximumRetryAttempts=retries,
        DestinationConfig={kind: {"Destination": queue.arn} for kind, queue in queues.items()},
    )


def counted(live: Live, name: str, function_name: str) -> float:
    """Sum of a metric of a function."""
    now = datetime.now(UTC)
    points = live.cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=name,
        Dimensions=[{"Name": "FunctionName", "Value": function_name}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def make_stack(live: Live, name: str, resources: Params) -> None:
    cloudformation = live.aws("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def made() -> bool:
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        assert status in ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")
        return bool(status == "CREATE_COMPLETE")

    live.until(name, made)


def test_a_function_that_fails_on_an_event_is_tried_thrice_and_the_event_kept(live: Live) -> None:
    # GIVEN a stack whose rule calls a function that fails, and one that is not there
    dead, failures, undelivered = (Letters(live, name) for name in ("dead", "failures", "undelivered"))
    missing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"
    properties = {
        "FunctionName": "fails",
        "Runtime": "python3.11",
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": {"ZipFile": CODE},
        "DeadLetterConfig": {"TargetArn": dead.arn},
    }
    config = {
        "FunctionName": {"Ref": "Function"},
        "Qualifier": "$LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": failures.arn}},
    }
    targets = [
        {"Id": "function", "Arn": {"Fn::GetAtt": ["Function", "Arn"]}},
        {"Id": "missing", "Arn": missing, "DeadLetterConfig": {"Arn": undelivered.arn}},
    ]
    rule = {"Name": "calls", "EventPattern": {"source": ["test.calls"]}, "Targets": targets}
    make_stack(
        live,
        "Calls",
        {
            "Function": {"Type": "AWS::Lambda::Function", "Properties": properties},
            "Config": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": config},
            "Rule": {"Type": "AWS::Events::Rule", "Properties": rule},
        },
    )
    began = time.monotonic()

    # WHEN an event comes
    entry = {"Source": "test.calls", "DetailType": "Test", "Detail": json.dumps({"bad": True})}
    live.aws("events").put_events(Entries=[entry])
    (letter,), (record,), (lost,) = dead.wait(), failures.wait(), undelivered.wait()

    # THEN the function was tried after one and two minutes, which are seconds here, and each error counted
    assert time.monotonic() - began > 2.9
    assert counted(live, "Errors", "fails") == counted(live, "Invocations", "fails") == 3
    assert counted(live, "AsyncEventsDropped", "fails") == 1
    # AND the dead letter is the event, the destination has the record of the call
    assert (letter["source"], letter["detail"]) == ("test.calls", {"bad": True})
    assert dead.attributes[0]["ErrorMessage"] == "the event is bad"
    assert record["requestPayload"] == letter
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responsePayload"]["errorType"] == "ValueError"
    # AND the rule's own queue has what could not be delivered at all
    assert lost["detail"] == {"bad": True}
    assert undelivered.attributes[0]["TARGET_ARN"] == missing
    assert undelivered.attributes[0]["RULE_ARN"].endswith(":rule/calls")


def test_asynchronous_calls_keep_to_what_their_function_says_of_them(live: Live) -> None:
    # GIVEN a function that is tried once, and tells of good and bad ends
    good, bad = Letters(live, "good"), Letters(live, "bad")
    function(live, "once")
    destinations(live, "once", 0, OnSuccess=good, OnFailure=bad)

    # WHEN it is called by the API, well and badly
    for event in ({"n": 1}, {"bad": True}):
        live.aws("lambda").invoke(FunctionName="once", InvocationType="Event", Payload=json.dumps(event))

    # THEN each end is told, after one try, and each call counts once
    (succeeded,), (failed,) = good.wait(), bad.wait()
    assert succeeded["requestContext"]["condition"] == "Success"
    assert succeeded["responsePayload"] == {"seen": {"n": 1}}
    assert failed["requestContext"]["approximateInvokeCount"] == 1
    assert (counted(live, "Invocations", "once"), counted(live, "Errors", "once")) == (2, 1)


def test_a_call_that_is_throttled_waits_for_its_turn(live: Live) -> None:
    # GIVEN a slow function that may run once at a time
    good = Letters(live, "turns")
    function(live, "turns")
    destinations(live, "turns", 0, OnSuccess=good)
    live.aws("lambda").put_function_concurrency(FunctionName="turns", ReservedConcurrentExecutions=1)

    # WHEN it is called twice at once
    for number in (1, 2):
        payload = json.dumps({"slow": True, "n": number})
        live.aws("lambda").invoke(FunctionName="turns", InvocationType="Event", Payload=payload)

    # THEN both calls come to their end, and the wait was neither an error nor a try
    records = good.wait(2)
    assert {record["requestPayload"]["n"] for record in records} == {1, 2}
    assert {record["requestContext"]["approximateInvokeCount"] for record in records} == {1}
    assert counted(live, "Throttles", "turns") >= 1
    assert (counted(live, "Invocations", "turns"), counted(live, "Errors", "turns")) == (2, 0)


def test_a_schedule_calls_a_function_with_its_input_as_it_is(live: Live) -> None:
    # GIVEN a schedule of every minute, and one of a function that is not there
    good, lost = Letters(live, "scheduled"), Letters(live, "unscheduled")
    arn = function(live, "scheduled")
    destinations(live, "scheduled", 0, OnSuccess=good)
    event = {"Records": [{"n": 1.5}], "detail": {"bad": None}}
    scheduler = live.aws("scheduler")
    targets: dict[str, Params] = {
        "there": {"Arn": arn},
        "missing": {"Arn": f"{arn}-not", "DeadLetterConfig": {"Arn": lost.arn}},
    }

    # WHEN they fire
    for name, target in targets.items():
        scheduler.create_schedule(
            Name=name,
            ScheduleExpression="rate(1 minute)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={**target, "RoleArn": ROLE, "Input": json.dumps(event)},
        )
    try:
        # THEN the function gets the input and nothing around it, or the dead-letter queue does
        assert good.wait()[0]["requestPayload"] == event
        assert lost.wait()[0] == event
    finally:
        for name in targets:
            scheduler.delete_schedule(Name=name)


def test_an_object_whose_key_fits_a_pattern_calls_a_function(live: Live) -> None:
    # GIVEN a bucket that tells EventBridge, and a rule on marks below a folder, but not of one kind
    s3, events = live.aws("s3"), live.aws("events")
    s3.create_bucket(Bucket="marked", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_notification_configuration(
        Bucket="marked", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    good = Letters(live, "marks")
    arn = function(live, "marks")
    destinations(live, "marks", 0, OnSuccess=good)
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["marked"]},
            "object": {"key": [{"wildcard": "raw/*_SUCCESS"}], "size": [{"numeric": [">", 0]}]},
            "reason": [{"anything-but": "CopyObject"}],
        },
    }
    events.put_rule(Name="marks", EventPattern=json.dumps(pattern))
    transformer = {
        "InputPathsMap": {"key": "$.detail.object.key", "bucket": "$.detail.bucket.name"},
        "InputTemplate": '{"data": "s3://<bucket>/<key>"}',
    }
    events.put_targets(Rule="marks", Targets=[{"Id": "f", "Arn": arn, "InputTransformer": transformer}])

    # WHEN objects are written, the one that fits last
    for key in ("raw/a.csv", "other/_SUCCESS", "raw/_SUCCESS.txt"):
        s3.put_object(Bucket="marked", Key=key, Body=b"1")
    s3.put_object(Bucket="marked", Key="raw/empty/_SUCCESS", Body=b"")
    s3.put_object(Bucket="marked", Key="raw/2026/11/_SUCCESS", Body=b"1")
    s3.copy_object(Bucket="marked", Key="raw/copy_SUCCESS", CopySource="marked/raw/a.csv")
    s3.put_object(Bucket="marked", Key="raw/last_SUCCESS", Body=b"1")

    # THEN the function was called for these only, with what was asked for
    seen = sorted(record["requestPayload"]["data"] for record in good.wait(2))
    assert seen == ["s3://marked/raw/2026/11/_SUCCESS", "s3://marked/raw/last_SUCCESS"]


def test_versions_and_executions_are_told_in_words(live: Live) -> None:
    # GIVEN a topic with a queue, and rules with texts of their own
    told, sns, events = Letters(live, "told"), live.aws("sns"), live.aws("events")
    topic = sns.create_topic(Name="told")["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=told.arn, Attributes={"RawMessageDelivery": "true"}
    )
    rules = {
        "versions": (
            "SageMaker Model Package State Change",
            {"ModelPackageGroupName": ["told"], "ModelApprovalStatus": [{"anything-but": "Approved"}]},
            {
                "version": "$.detail.ModelPackageVersion",
                "status": "$.detail.ModelApprovalStatus",
                "commit": "$.detail.MetadataProperties.CommitId",
            },
            '"Version <version> of commit <commit> is <status>."',
        ),
        "executions": (
            "SageMaker Model Building Pipeline Execution Status Change",
            {
                "pipelineArn": [{"suffix": ":pipeline/Told"}, {"suffix": ":pipeline/told"}],
                "currentPipelineExecutionStatus": ["Failed", "Stopped"],
            },
            {"status": "$.detail.currentPipelineExecutionStatus", "why": "$.detail.failureReason"},
            '{"status": <status>, "why": <why>}',
        ),
    }
    for name, (kind, detail, paths, template) in rules.items():
        pattern = {"source": ["aws.sagemaker"], "detail-type": [kind], "detail": detail}
        events.put_rule(Name=f"told-{name}", EventPattern=json.dumps(pattern))
        transformer = {"InputPathsMap": paths, "InputTemplate": template}
        target = {"Id": "topic", "Arn": topic, "InputTransformer": transformer}
        events.put_targets(Rule=f"told-{name}", Targets=[target])

    # WHEN versions are registered, and an execution fails
    sagemaker = live.sagemaker
    sagemaker.create_model_package_group(ModelPackageGroupName="told")
    container = {"Image": IMAGE, "ModelDataUrl": live.artifact("told", CODE)}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    for status in ("Approved", "PendingManualApproval"):
        sagemaker.create_model_package(
            ModelPackageGroupName="told",
            ModelApprovalStatus=status,
            InferenceSpecification=specification,
            MetadataProperties={"CommitId": "abc123", "Repository": "here", "ProjectId": "p"},
        )
    steps = [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "too few rows"}}]
    definition = {"Version": "2020-12-01", "PipelineExperimentConfig": None, "Steps": steps}
    sagemaker.create_pipeline(
        PipelineName="Told",
        PipelineDefinition=json.dumps(definition),
        RoleArn=ROLE,
        ClientRequestToken=str(uuid.uuid4()),
    )
    sagemaker.start_pipeline_execution(PipelineName="Told")

    # THEN the queue has the texts of what the rules let through
    told.wait(2)
    texts = [json.loads(body) for body in told.bodies]
    assert "Version 2 of commit abc123 is PendingManualApproval." in texts
    (failure,) = [text for text in texts if isinstance(text, dict)]
    assert failure["status"] == "Failed"
    assert "Stop: too few rows" in failure["why"]
    assert len(texts) == 2
