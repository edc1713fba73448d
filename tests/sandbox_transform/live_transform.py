"""A started sandbox with a model that transform jobs can run."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from botocore.exceptions import ClientError

from sandbox import supervisor
from sandbox.home import REGION, Home, State
from sandbox.store import Params
from tests.sandbox_process.live import IMAGE, ROLE, Live, Queue
from tests.sandbox_transform.plant import request

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


def deploy(live: TransformLive, name: str, resources: dict[str, Params]) -> str:
    """Create or update a stack; its status at the end."""
    cloudformation = live.aws("cloudformation")

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    change = cloudformation.update_stack if exists(status) else cloudformation.create_stack
    change(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    live.until(f"the stack {name}", lambda: not status().endswith("IN_PROGRESS"))
    return status()


def described(live: TransformLive, name: str) -> Params:
    return dict(live.sagemaker.describe_transform_job(TransformJobName=name))


def exists(look: Any) -> bool:
    try:
        look()
    except ClientError:
        return False
    return True


def listen(live: TransformLive, job: str) -> Queue:
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


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
