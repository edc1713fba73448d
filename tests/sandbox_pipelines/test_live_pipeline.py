"""A pipeline of a stack in a started sandbox: from data to an endpoint, by real jobs and a real function."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from sandbox import status, supervisor
from sandbox.home import ACCOUNT, REGION, Home, State
from sandbox.store import Params
from tests.sandbox_jobs.workshop import archive, reads, writes
from tests.sandbox_pipelines.definitions import (
    at_least,
    condition_step,
    fail_step,
    get,
    join,
    lambda_step,
    parameter,
    processing_step,
    register_step,
    text,
    training_step,
)
from tests.sandbox_process.live import IMAGE, ROLE, Live, Queue

BUCKET = "pipeline-data"
TRAIN = """
import boto3, json, os, pathlib, shutil
# a job finds the sandbox's AWS by itself
boto3.client("s3").put_object(Bucket="pipeline-data", Key="from-the-job", Body=b"1")
rows = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"], "rows.csv").read_text().split()
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "code").mkdir()
(model / "rows.txt").write_text(str(len(rows)))
(model / "code" / "inference.py").write_text('''
import os, pathlib
def model_fn(model_dir):
    return pathlib.Path(model_dir, "rows.txt").read_text()
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    return model + " " + os.environ["UNIT"]
def output_fn(prediction, accept):
    return prediction, "text/plain"
''')
print("a line of the training")
"""
EVALUATE = """
import json, os, pathlib, tarfile
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "processing")
with tarfile.open(base / "model" / "model.tar.gz") as tar:
    rows = int(tar.extractfile("rows.txt").read())
(base / "report" / "evaluation.json").write_text(json.dumps({"rows": rows}))
"""
DEPLOY = """
import boto3
def handler(event, context):
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(
        ModelName="deployed", ExecutionRoleArn=event["role"],
        PrimaryContainer={"ModelPackageName": event["package"]},
    )
    variant = {"VariantName": "main", "ModelName": "deployed", "InstanceType": "ml.m5.large",
               "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="deployed", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="deployed", EndpointConfigName="deployed")
    return {"endpoint": "deployed"}
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    home = Home(tmp_path_factory.mktemp("pipelines") / "sandbox")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    try:
        yield supervisor.up(home, supervisor.Options(time_scale=60.0, port=port), lambda text: None)[0]
    finally:
        supervisor.down(home, lambda text: None)


@pytest.fixture(scope="module")
def live(state: State) -> Iterator[Live]:
    live = Live(state)
    live.aws("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield live
    live.close()


def definition() -> str:
    evaluate = processing_step(
        "Evaluate",
        job={
            "AppSpecification": {
                "ImageUri": IMAGE,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/evaluate.py"],
            },
            "ProcessingInputs": [
                reads("code", f"s3://{BUCKET}/evaluate.py"),
                reads("model", "x")
                | {
                    "S3Input": {
                        "S3Uri": get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
                        "LocalPath": "/opt/ml/processing/model",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    }
                },
            ],
            "ProcessingOutputConfig": {"Outputs": [writes("report", f"s3://{BUCKET}/report")]},
        },
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}],
        CacheConfig={"Enabled": True, "ExpireAfter": "P30D"},
    )
    source = {"S3DataType": "S3Prefix", "S3Uri": get("Parameters.Data")}
    train = training_step(
        "Train",
        f"s3://{BUCKET}/code.tar.gz",
        job={"InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]}
        | {"OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"}},
        CacheConfig={"Enabled": True, "ExpireAfter": "P30D"},
    )
    rows = {"Std:JsonGet": {"PropertyFile": get("Steps.Evaluate.PropertyFiles.Report"), "Path": "rows"}}
    register = register_step("Register", get("Steps.Train.ModelArtifacts.S3ModelArtifacts"))
    (container,) = register["Arguments"]["InferenceSpecification"]["Containers"]
    container["Environment"]["UNIT"] = "rows"
    deploy = lambda_step(
        "Deploy",
        "deploy",
        {"package": get("Steps.Register.ModelPackageArn"), "role": ROLE},
        endpoint="String",
    )
    check = condition_step(
        "Check",
        at_least(rows, get("Parameters.Rows")),
        yes=[register, deploy],
        no=[fail_step("TooFew", join("there are ", rows, " rows"))],
    )
    declared = [parameter("Data", default=f"s3://{BUCKET}/train/"), parameter("Rows", "Integer", 2)]
    body = text([train, evaluate, check], declared)
    return body.replace(":000000000000:", f":{ACCOUNT}:")


def ended(live: Live, arn: str) -> Params:
    def probe() -> Params | None:
        found: Params = live.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return None if found["PipelineExecutionStatus"] in ("Executing", "Stopping") else found

    found: Params = live.until("the execution's end", probe)
    return found


def steps(live: Live, arn: str) -> dict[str, Params]:
    answer = live.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, MaxResults=50)
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


def listen(live: Live, name: str, pattern: Params) -> Queue:
    """A queue that gets what a rule on the default bus lets through."""
    sqs, events = live.aws("sqs"), live.aws("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return Queue(sqs, url)


def make_stack(live: Live, body: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive_:
        archive_.writestr("index.py", DEPLOY)
    live.aws("lambda").create_function(
        FunctionName="deploy",
        Runtime="python3.11",
        Role=ROLE,
        Handler="index.handler",
        Timeout=60,
        Code={"ZipFile": buffer.getvalue()},
    )
    resources = {
        "Group": {
            "Type": "AWS::SageMaker::ModelPackageGroup",
            "Properties": {"ModelPackageGroupName": "reviews"},
        },
        "Pipeline": {
            "Type": "AWS::SageMaker::Pipeline",
            "Properties": {
                "PipelineName": "Reviews",
                "RoleArn": ROLE,
                "PipelineDefinition": {"PipelineDefinitionBody": body},
            },
        },
    }
    cloudformation = live.aws("cloudformation")
    cloudformation.create_stack(StackName="Pipes", TemplateBody=json.dumps({"Resources": resources}))

    def probe() -> bool:
        status = cloudformation.describe_stacks(StackName="Pipes")["Stacks"][0]["StackStatus"]
        assert status in ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")
        return bool(status == "CREATE_COMPLETE")

    live.until("the stack", probe)


def removed(live: Live, name: str) -> Params:
    """A stack once its deletion has come to an end."""
    cloudformation = live.aws("cloudformation")
    stack_id = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=name)

    def probe() -> Params | None:
        found: Params = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    found: Params = live.until("the stack's end", probe)
    return found


def test_a_pipeline_of_a_stack_deploys_an_endpoint(live: Live, state: State) -> None:
    # GIVEN data, code, a deploy function, a stack with a pipeline, and rules on the bus
    s3 = live.aws("s3")
    s3.put_object(Bucket=BUCKET, Key="train/rows.csv", Body=b"a\nb\nc")
    s3.put_object(Bucket=BUCKET, Key="code.tar.gz", Body=archive({"train.py": TRAIN}))
    s3.put_object(Bucket=BUCKET, Key="evaluate.py", Body=EVALUATE.encode())
    make_stack(live, definition())
    approved = listen(
        live,
        "approved",
        {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Package State Change"],
            "detail": {"ModelApprovalStatus": ["Approved"], "ModelPackageGroupName": ["reviews"]},
        },
    )
    failed = listen(
        live,
        "failed",
        {"source": ["aws.sagemaker"], "detail": {"currentPipelineExecutionStatus": ["Failed"]}},
    )

    # AND an alarm on failed executions
    live.cloudwatch.put_metric_alarm(
        AlarmName="failed-executions",
        Namespace="AWS/Sagemaker/ModelBuildingPipeline",
        MetricName="ExecutionFailed",
        Dimensions=[{"Name": "PipelineName", "Value": "Reviews"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )

    # WHEN it runs
    start = live.sagemaker.start_pipeline_execution
    arn = start(PipelineName="Reviews")["PipelineExecutionArn"]
    execution = ended(live, arn)

    # THEN the endpoint answers with what was trained, in the environment of the model package
    assert execution["PipelineExecutionStatus"] == "Succeeded", execution
    assert live.settled("deployed")["EndpointStatus"] == "InService"
    answer = live.runtime.invoke_endpoint(EndpointName="deployed", ContentType="text/plain", Body=b"x")
    assert answer["Body"].read() == b"3 rows"
    assert s3.get_object(Bucket=BUCKET, Key="from-the-job")["Body"].read() == b"1"
    # AND job logs are in CloudWatch Logs, the approval on the bus
    logs = live.aws("logs")

    def line() -> bool:
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
        return any(event["message"] == "a line of the training" for event in found)

    live.until("the log", line)
    live.until("the approval", approved.read)

    # AND WHEN it runs again with more rows wanted
    given = [{"Name": "Rows", "Value": "99"}]
    second = start(PipelineName="Reviews", PipelineParameters=given)["PipelineExecutionArn"]
    refused = ended(live, second)

    # THEN its jobs come from the cache, and it fails in the words of its fail step
    found = steps(live, second)
    assert {
        found[name]["CacheHitResult"]["SourcePipelineExecutionArn"] for name in ("Train", "Evaluate")
    } == {arn}
    assert "there are 3 rows" in refused["FailureReason"]
    (event,) = live.until("the failure", failed.read)
    assert event["detail"]["pipelineExecutionArn"] == second
    live.until("the alarm", lambda: _has_fired(live, "failed-executions"))
    # AND WHEN the stack is removed while its group has a version, and again without
    listed = live.sagemaker.list_model_packages(
        ModelPackageGroupName="reviews", ModelApprovalStatus="Approved"
    )
    kept = removed(live, "Pipes")
    for package in listed["ModelPackageSummaryList"]:
        live.sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    gone = removed(live, "Pipes")

    # THEN it says what it could not remove and why, and goes then
    assert kept["StackStatus"] == "DELETE_FAILED"
    assert "The following resource(s) failed to delete: [Group]" in kept["StackStatusReason"]
    events = live.aws("cloudformation").describe_stack_events(StackName=kept["StackId"])["StackEvents"]
    (reason,) = [
        event["ResourceStatusReason"]
        for event in events
        if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Group", "DELETE_FAILED")
    ]
    assert "still has 1 model packages" in reason
    assert gone["StackStatus"] == "DELETE_COMPLETE"
    # AND nothing of the jobs is left
    commands = [
        " ".join(process.cmdline())
        for process in psutil.Process(state.pid).children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]
    assert not [command for command in commands if "/work/jobs/" in command]


def _has_fired(live: Live, alarm: str) -> bool:
    """A minute is a second here: an alarm that fires may be green again when it is looked at."""
    items = live.cloudwatch.describe_alarm_history(AlarmName=alarm, HistoryItemType="StateUpdate")
    return any("to ALARM" in item["HistorySummary"] for item in items["AlarmHistoryItems"])


def test_a_sandbox_that_ends_takes_its_jobs_with_it(live: Live, tmp_path: Any) -> None:
    # GIVEN a second sandbox with a job that runs for ever
    home = Home(tmp_path / "sandbox")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    state = supervisor.up(home, supervisor.Options(time_scale=60.0, port=port), lambda text: None)[0]
    try:
        other = Live(state)
        request: Params = processing_step("x", "import time; time.sleep(600)")["Arguments"]
        other.sagemaker.create_processing_job(ProcessingJobName="long", **request)
        other.until("its process", lambda: _sleepers(state))
        (process,) = _sleepers(state)
        kinds = {each["pid"]: each["kind"] for each in status.report(home)["processes"]}
        other.close()

        # WHEN the sandbox is killed, and put down
        psutil.Process(state.pid).kill()
        psutil.wait_procs([psutil.Process(state.pid)] if psutil.pid_exists(state.pid) else [], timeout=10)
    finally:
        supervisor.down(home, lambda text: None)

    # THEN the job's process, which status had told, is gone
    assert kinds[process.pid] == "job"
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _sleepers(state: State) -> list[psutil.Process]:
    children = psutil.Process(state.pid).children(recursive=True)
    return [child for child in children if any("time.sleep(600)" in word for word in child.cmdline())]
