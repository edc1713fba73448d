"""An asynchronous endpoint in a started sandbox: woken from zero and sent back by alarms, large inputs."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from sandbox import supervisor
from sandbox.home import REGION, Home, State
from tests.sandbox_process.live import IMAGE, ROLE, Live

DATA = "async-data"
DIGEST = """
import hashlib

def model_fn(model_dir):
    return None
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    return hashlib.sha256(data).hexdigest()
def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    home = Home(tmp_path_factory.mktemp("async") / "sandbox")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    try:
        yield supervisor.up(home, supervisor.Options(time_scale=60.0, port=port), lambda text: None)[0]
    finally:
        supervisor.down(home, lambda text: None)


@pytest.fixture(scope="module")
def live(sandbox: State) -> Iterator[Live]:
    live = Live(sandbox)
    live.aws("s3").create_bucket(Bucket=DATA, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield live
    live.close()


class Inbox:
    """A queue that hears of a topic."""

    def __init__(self, live: Live, name: str) -> None:
        self._sqs = live.aws("sqs")
        self.topic = live.aws("sns").create_topic(Name=name)["TopicArn"]
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        live.aws("sns").subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=attributes["Attributes"]["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )
        self.results: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All notifications of endings so far."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                body = json.loads(message["Body"])
                self.results += [body] if body["eventName"] == "InferenceResult" else []
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self.results


@pytest.fixture(scope="module")
def inbox(live: Live) -> Inbox:
    return Inbox(live, "success")


@pytest.fixture(scope="module")
def endpoint(live: Live, inbox: Inbox) -> Iterator[str]:
    container = {"Image": IMAGE, "ModelDataUrl": live.artifact("digest", DIGEST)}
    live.sagemaker.create_model(ModelName="digest", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    live.sagemaker.create_endpoint_config(
        EndpointConfigName="digest",
        ProductionVariants=[
            {
                "VariantName": "main",
                "ModelName": "digest",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
        AsyncInferenceConfig={
            "OutputConfig": {
                "S3OutputPath": f"s3://{DATA}/output",
                "NotificationConfig": {"SuccessTopic": inbox.topic},
            }
        },
    )
    with live.endpoint("films", "digest") as name:
        yield name


def instances(live: Live) -> int:
    described = live.described("films")
    assert described is not None
    return int(described["ProductionVariants"][0]["CurrentInstanceCount"])


def test_a_film_of_many_megabytes_passes_without_filling_the_memory(
    live: Live, inbox: Inbox, endpoint: str, sandbox: State
) -> None:
    # GIVEN an input of 96 MB, which the S3 underneath keeps in the sandbox's process
    block = bytes(range(256)) * 4096
    film = block * 96
    digest = hashlib.sha256(film).hexdigest()
    live.aws("s3").put_object(Bucket=DATA, Key="input/film", Body=film)
    before = psutil.Process(sandbox.pid).memory_info().rss

    # WHEN three requests want it
    answers = [
        live.runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=f"s3://{DATA}/input/film")
        for _ in range(3)
    ]
    live.until("three results", lambda: len(inbox.read()) >= 3)

    # THEN the model has had all of it each time
    for answer in answers:
        key = answer["OutputLocation"].removeprefix(f"s3://{DATA}/")
        assert live.aws("s3").get_object(Bucket=DATA, Key=key)["Body"].read().decode() == digest
    # and what is left in memory is less than one film: what S3 hands out at a time, not what passed
    assert psutil.Process(sandbox.pid).memory_info().rss - before < len(film)


def test_alarms_send_it_to_zero_and_wake_it(live: Live, inbox: Inbox, endpoint: str) -> None:
    # GIVEN scaling between none and two instances, by the backlog, and by the alarm that wakes it
    scaling = live.aws("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=2)
    scaling.put_scaling_policy(
        **target,
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 5.0,
            "ScaleInCooldown": 60,
            "ScaleOutCooldown": 60,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": dimensions,
                "Statistic": "Average",
            },
        },
    )
    wake = scaling.put_scaling_policy(
        **target,
        PolicyName="wake",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 300,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    live.cloudwatch.put_metric_alarm(
        AlarmName="wake",
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=dimensions,
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        DatapointsToAlarm=2,
        Threshold=1.0,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[wake["PolicyARN"]],
    )

    # WHEN nothing comes for a quarter of an hour, which is 15 s here
    live.until("no instance", lambda: instances(live) == 0)

    # THEN a request that comes waits for the alarm to bring an instance, and completes
    before = len(inbox.read())
    live.settled(endpoint)
    live.runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"wake up", InferenceId="wake")
    live.until("its result", lambda: len(inbox.read()) > before)
    assert inbox.results[-1]["inferenceId"] == "wake"
    assert instances(live) >= 1
    causes = [
        each["Cause"]
        for each in scaling.describe_scaling_activities(**target)["ScalingActivities"]
        if each["StatusCode"] in ("Successful", "InProgress")
    ]
    assert any("AlarmLow" in cause for cause in causes)
    assert any("policy wake" in cause for cause in causes)
