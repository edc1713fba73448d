"""Endpoints with real model servers in a started sandbox, load on them, and a queue that hears of them."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.aws import LocalAws
from sandbox.home import ACCOUNT, REGION, State
from sandbox.store import Params, Scope

SCOPE = Scope(ACCOUNT, REGION)
IMAGE = "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service"
BUCKET = "live-models"
DEADLINE = 90.0

SAYS = """
def model_fn(model_dir):
    return None
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    return {answer!r}
def output_fn(prediction, accept):
    return prediction, accept
"""
FAILS = SAYS.replace("return {answer!r}", "raise RuntimeError('this version raises on every call')")


class Answer(NamedTuple):
    """One request of a load: when it was sent, and what came back; text None means that it failed."""

    sent: float
    text: str | None
    error: str = ""


class Live:
    """Clients of a sandbox, and what tests do with endpoints in it."""

    def __init__(self, sandbox: State) -> None:
        local = LocalAws(sandbox.gateway_url)
        self.aws: Callable[[str], Any] = lambda service: local.client(service, SCOPE)
        self.sagemaker = self.aws("sagemaker")
        self.cloudwatch = self.aws("cloudwatch")
        self.runtime = boto3.client(
            "sagemaker-runtime",
            endpoint_url=sandbox.runtime_url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
            # a retry would hide a failed request
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=16),
        )
        with suppress(ClientError):
            self.aws("s3").create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
            )

    def close(self) -> None:
        self.runtime.close()

    def artifact(self, name: str, code: str) -> str:
        """A model archive in S3; its URI."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(code.encode())
            tar.addfile(member, io.BytesIO(code.encode()))
        self.aws("s3").put_object(Bucket=BUCKET, Key=f"{name}.tar.gz", Body=buffer.getvalue())
        return f"s3://{BUCKET}/{name}.tar.gz"

    def config(self, name: str, code: str, *, count: int = 3) -> str:
        """An endpoint configuration with one variant ``main`` of a model of its own."""
        container = {"Image": IMAGE, "ModelDataUrl": self.artifact(name, code)}
        with suppress(ClientError):
            self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
            self.sagemaker.create_endpoint_config(
                EndpointConfigName=name,
                ProductionVariants=[
                    {
                        "VariantName": "main",
                        "ModelName": name,
                        "InstanceType": "ml.m5.large",
                        "InitialInstanceCount": count,
                        "InitialVariantWeight": 1.0,
                    }
                ],
            )
        return name

    @contextmanager
    def endpoint(self, name: str, config: str) -> Iterator[str]:
        """An endpoint in service, deleted afterwards."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        try:
            assert self.settled(name)["EndpointStatus"] == "InService"
            yield name
        finally:
            self.settled(name)
            self.sagemaker.delete_endpoint(EndpointName=name)
            self.until(f"the end of {name}", lambda: self.described(name) is None)

    def described(self, name: str) -> Params | None:
        try:
            found: Params = self.sagemaker.describe_endpoint(EndpointName=name)
        except ClientError:
            return None
        return found

    def settled(self, name: str) -> Params:
        """The endpoint once nothing is under way."""

        def probe() -> Params | None:
            found = self.described(name)
            assert found is not None
            busy = found["EndpointStatus"] in {"Creating", "Updating", "RollingBack", "Deleting"}
            return None if busy else found

        settled: Params = self.until(f"{name} at rest", probe)
        return settled

    def alarm(self, name: str, endpoint: str, config: str) -> str:
        """The workshop's alarm, an average of errors of at least 0.1 over a minute, on one fleet only."""
        dimensions = {"EndpointName": endpoint, "VariantName": "main", "EndpointConfigName": config}
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0.1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
        )
        return name

    def state(self, alarm: str) -> str:
        """StateValue of an alarm."""
        found = self.cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        return str(found[0]["StateValue"])

    def listen(self, endpoint: str) -> Queue:
        """A queue that gets every event about an endpoint, by a rule on the default bus."""
        sqs, events = self.aws("sqs"), self.aws("events")
        url = sqs.create_queue(QueueName=f"of-{endpoint}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.sagemaker"], "detail": {"EndpointName": [endpoint]}}
        events.put_rule(Name=f"of-{endpoint}", EventPattern=json.dumps(pattern))
        events.put_targets(Rule=f"of-{endpoint}", Targets=[{"Id": "queue", "Arn": arn}])
        return Queue(sqs, url)

    def until(self, what: str, probe: Callable[[], Any], *, seconds: float = DEADLINE) -> Any:
        """Ask again and again until there is something true."""
        deadline = time.monotonic() + seconds
        while not (seen := probe()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.05)
        return seen


class Queue:
    """Events as a queue got them."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url
        self.events: list[Params] = []

    def read(self) -> list[Params]:
        """All events so far, in order of arrival."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                self.events.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self.events

    def statuses(self) -> list[str]:
        """EndpointStatus of the state changes that were read."""
        return [
            event["detail"]["EndpointStatus"]
            for event in self.events
            if event["detail-type"] == "SageMaker Endpoint State Change"
        ]

    def stages(self) -> list[Params]:
        """VariantStatus of the new fleet's variant, in the order of the deployment changes that were read."""
        found = []
        for event in self.events:
            for variant in event["detail"].get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
                found += variant.get("VariantStatus", [])
        return found


class Load:
    """Requests at a steady rate from a few threads.

    Args:
        live: The sandbox.
        endpoint: EndpointName.
        rate: Requests per second.
    """

    def __init__(self, live: Live, endpoint: str, *, rate: float = 50.0, threads: int = 5) -> None:
        self._runtime, self._endpoint = live.runtime, endpoint
        self._pause = threads / rate
        self._stop = threading.Event()
        self.answers: list[Answer] = []
        self._threads = [
            threading.Thread(target=self._work, args=(number * self._pause / threads,), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(75)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.text is None]

    def between(self, start: float, end: float) -> list[Answer]:
        """What was sent within a time."""
        return [answer for answer in list(self.answers) if start <= answer.sent < end]

    def _work(self, offset: float) -> None:
        next_at = time.time() + offset
        while not self._stop.wait(max(0.0, next_at - time.time())):
            next_at = max(next_at + self._pause, time.time())
            sent = time.time()
            try:
                body = self._runtime.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="text/plain", Body=b"x"
                )["Body"].read()
                self.answers.append(Answer(sent, body.decode()))
            except Exception as error:
                self.answers.append(Answer(sent, None, repr(error)))


def deployment(routing: Params, alarm: str, *, termination: int = 0) -> Params:
    """A DeploymentConfig of blue/green type with the workshop's longest time."""
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
            "MaximumExecutionTimeoutInSeconds": 1800,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }


def canary(alarm: str, *, wait: int = 300) -> Params:
    """The workshop's policy: one instance out of three."""
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size}
    return deployment(routing, alarm, termination=120)


def linear(alarm: str) -> Params:
    """The workshop's other policy: steps of 33 percent."""
    size = {"Type": "CAPACITY_PERCENT", "Value": 33}
    return deployment({"Type": "LINEAR", "WaitIntervalInSeconds": 180, "LinearStepSize": size}, alarm)


def at_once(alarm: str, *, wait: int) -> Params:
    """All the traffic in one step, and a bake."""
    return deployment({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": wait}, alarm)


def seconds(stage: Params) -> float:
    """When a stage of an event began, epoch seconds."""
    started = stage["StartTime"]
    return started.timestamp() if isinstance(started, datetime) else started / 1000
