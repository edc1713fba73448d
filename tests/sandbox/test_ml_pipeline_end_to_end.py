"""The ML pipeline by the real CDK CLI: data, a version, an approval, an endpoint; and all of it gone."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.laptop import Laptop, exists, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "ml-pipeline"
JOBS = ("Preprocess", "Train", "Evaluate")
VERSION_TAG = "sagemaker-serving:model-package-arn"
WORDS = (["지루", "최악", "아깝", "별로"], ["재밌", "감동", "최고", "명작"])


class Pipeline:
    """What a person does with the deployed pattern, by its outputs."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop, self.boto = laptop, laptop.boto
        self.outputs = laptop.outputs(PATTERN)
        self.sagemaker = laptop.boto("sagemaker")
        self.endpoint = self.outputs["EndpointName"]

    def send(self, folder: str, *, seed: int, marker: bool = False) -> None:
        """A few hundred reviews, most of which the words tell."""
        source = random.Random(seed)
        rows = []
        for number in range(400):
            words = f"{source.choice(WORDS[number % 2])} 영화 {source.choice('가나다라')}"
            rows.append(f"{seed}-{number}\t{words}\t{number % 2}")
        bucket, _, prefix = self.outputs["RawDataUri"].removeprefix("s3://").partition("/")
        body = "\n".join(["id\tdocument\tlabel", *rows, ""]).encode()
        self.boto("s3").put_object(Bucket=bucket, Key=f"{prefix}{folder}/reviews.tsv", Body=body)
        if marker:
            self.boto("s3").put_object(Bucket=bucket, Key=f"{prefix}{folder}/_SUCCESS", Body=b"")

    def run(self, **parameters: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """An execution, when it has ended, and its steps by name."""
        started = self.sagemaker.start_pipeline_execution(
            PipelineName=self.outputs["PipelineName"],
            PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
        )
        return self.ended(started["PipelineExecutionArn"])

    def ended(self, arn: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        def look() -> dict[str, Any] | None:
            seen = dict(self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn))
            return None if seen["PipelineExecutionStatus"] in ("Executing", "Stopping") else seen

        execution = wait_for(f"the end of {arn}", look, seconds=120)
        listed = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)
        return execution, {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}

    def executions(self) -> list[dict[str, Any]]:
        name = self.outputs["PipelineName"]
        return list(self.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"])

    def versions(self) -> list[dict[str, Any]]:
        """Newest first."""
        group = self.outputs["ModelPackageGroupName"]
        listed = self.sagemaker.list_model_packages(ModelPackageGroupName=group)
        return sorted(listed["ModelPackageSummaryList"], key=lambda one: -one["ModelPackageVersion"])

    def decide(self, arn: str, status: str) -> None:
        self.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)

    def look(self) -> dict[str, Any]:
        """The endpoint; empty while there is none."""
        try:
            return dict(self.sagemaker.describe_endpoint(EndpointName=self.endpoint))
        except ClientError:
            return {}

    def serves(self) -> str:
        """ARN of the version that serves; empty while none does or an update is going on."""
        seen = self.look()
        if seen.get("EndpointStatus") != "InService":
            return ""
        config = self.sagemaker.describe_endpoint_config(EndpointConfigName=seen["EndpointConfigName"])
        tags = self.sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
        return str({tag["Key"]: tag["Value"] for tag in tags}[VERSION_TAG])

    def until_serving(self, arn: str) -> None:
        wait_for(f"an endpoint that serves {arn}", lambda: self.serves() == arn, seconds=90)

    def invoke(self) -> list[dict[str, Any]]:
        answer = self.boto("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.endpoint,
            ContentType="application/json",
            Body=json.dumps({"inputs": [f"{WORDS[1][0]} 영화", f"{WORDS[0][0]} 영화"]}).encode(),
        )
        return list(json.loads(answer["Body"].read()))

    def went_off(self, metric: str) -> bool:
        """Whether the pipeline's alarm on a metric was raised, however short."""
        cloudwatch = self.boto("cloudwatch")
        # with those of other patterns they are more than a page
        (name,) = (
            alarm["AlarmName"]
            for page in cloudwatch.get_paginator("describe_alarms").paginate()
            for alarm in page["MetricAlarms"]
            if alarm.get("MetricName") == metric
        )
        pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
            AlarmName=name, HistoryItemType="StateUpdate"
        )
        items = [item for page in pages for item in page["AlarmHistoryItems"]]
        return any("to ALARM" in item["HistorySummary"] for item in items)

    def deploy_log(self) -> list[dict[str, Any]]:
        """What the deploy function wrote about its calls."""
        group = f"/aws/lambda/{self.outputs['DeployFunctionName']}"
        events = self.boto("logs").filter_log_events(logGroupName=group)["events"]
        lines = (event["message"].strip() for event in events)
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
def deployed(ml_pipeline: Laptop) -> Pipeline:
    return Pipeline(ml_pipeline)


@pytest.fixture
def live(deployed: Pipeline) -> Pipeline:
    """The same with a version that serves, the newest one that is approved."""
    approved = [one for one in deployed.versions() if one["ModelApprovalStatus"] == "Approved"]
    if not approved:
        deployed.send("live", seed=1)
        execution, _ = deployed.run(InputData="live", ModelApprovalStatus="Approved")
        assert execution["PipelineExecutionStatus"] == "Succeeded", execution
        approved = deployed.versions()
    wait_for("a version that serves", lambda: bool(deployed.serves()), seconds=90)
    return deployed


def test_new_data_become_a_version_that_serves_once_it_is_approved(deployed: Pipeline) -> None:
    # GIVEN somebody who listens, and a folder of reviews
    queues = deployed.boto("sqs")
    url = queues.create_queue(QueueName="ml-pipeline")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    deployed.boto("sns").subscribe(TopicArn=deployed.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)
    before = {one["PipelineExecutionArn"] for one in deployed.executions()}
    known = len(deployed.versions())

    # WHEN the marker says that the folder is complete
    deployed.send("fresh/monday", seed=2, marker=True)

    # THEN an execution starts by itself, with that folder, and registers a version that waits
    (started,) = wait_for(
        "an execution by itself",
        lambda: {one["PipelineExecutionArn"] for one in deployed.executions()} - before,
    )
    execution, steps = deployed.ended(started)
    assert execution["PipelineExecutionStatus"] == "Succeeded", (execution, steps)
    newest = deployed.versions()[0]
    assert len(deployed.versions()) == known + 1
    assert newest["ModelApprovalStatus"] == "PendingManualApproval"
    package = deployed.sagemaker.describe_model_package(ModelPackageName=newest["ModelPackageArn"])
    assert package["CustomerMetadataProperties"]["InputData"] == "fresh/monday"
    assert package["CustomerMetadataProperties"]["PipelineExecution"] == started
    outcome = {one["Name"]: one["Value"] for one in steps["Deploy"]["Metadata"]["Lambda"]["OutputParameters"]}
    assert outcome["endpoint_name"] == deployed.endpoint

    # AND the listener is asked for an approval
    def asked() -> bool:
        messages = queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return any("waits for approval" in json.loads(one["Body"])["Message"] for one in messages)

    wait_for("a message about the version", asked)

    # WHEN it is approved THEN the endpoint serves it
    deployed.decide(newest["ModelPackageArn"], "Approved")
    deployed.until_serving(newest["ModelPackageArn"])
    assert [answer["label"] for answer in deployed.invoke()] == ["positive", "negative"]

    # AND WHEN the marker's event comes again THEN nothing new starts
    count = len(deployed.executions())
    deployed.send("fresh/monday", seed=2, marker=True)
    group = f"/aws/lambda/{deployed.outputs['StartFunctionName']}"

    def refused() -> bool:
        events = deployed.boto("logs").filter_log_events(logGroupName=group)["events"]
        return any("AlreadyDone" in event["message"] for event in events)

    wait_for("the start function's word that it was done", refused)
    assert len(deployed.executions()) == count


def test_the_same_again_is_cached_and_a_threshold_too_high_registers_nothing(live: Pipeline) -> None:
    # GIVEN data that were worked on
    live.send("again", seed=3)
    first, _ = live.run(InputData="again")
    assert first["PipelineExecutionStatus"] == "Succeeded"
    versions, serving = len(live.versions()), live.serves()

    # WHEN the same runs again THEN all jobs come from the cache
    _, steps = live.run(InputData="again")
    assert [name for name in JOBS if "CacheHitResult" in steps[name]] == list(JOBS)
    assert len(live.versions()) == versions + 1

    # WHEN more is asked for than the model can THEN nothing is registered or deployed, and it says why
    execution, steps = live.run(InputData="again", AccuracyThreshold="1.01")
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "is below AccuracyThreshold 1.01" in execution["FailureReason"]
    assert not {"Register", "Deploy"} & set(steps)
    assert len(live.versions()) == versions + 1
    assert live.serves() == serving

    # AND the alarm on failed executions tells
    wait_for("the alarm", lambda: live.went_off("ExecutionFailed"))

    # AND accuracy and its drop are metrics
    listed = live.boto("cloudwatch").list_metrics(Namespace="SageMakerServing/MlPipeline")["Metrics"]
    assert {one["MetricName"] for one in listed} == {"Accuracy", "AccuracyDrop"}


def test_rejecting_the_live_version_goes_back_and_a_broken_one_is_taken_back(live: Pipeline) -> None:
    # GIVEN a live version, and a newer one that is approved and serves
    live.send("better", seed=4)
    before = live.serves()
    execution, steps = live.run(InputData="better", ModelApprovalStatus="Approved")
    assert execution["PipelineExecutionStatus"] == "Succeeded", (execution, steps)
    newer = live.versions()[0]["ModelPackageArn"]
    live.until_serving(newer)

    # WHEN it is rejected THEN the version before serves again
    live.decide(newer, "Rejected")
    live.until_serving(before)

    # WHEN somebody registers an approved version whose artifact is no model
    package = live.sagemaker.describe_model_package(ModelPackageName=before)
    (container,) = package["InferenceSpecification"]["Containers"]
    bucket, _, _ = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    broken = f"models/broken-{hashlib.sha256(newer.encode()).hexdigest()[:6]}/model.tar.gz"
    live.boto("s3").put_object(Bucket=bucket, Key=broken, Body=b"no archive")
    kept = {
        name: package["InferenceSpecification"][name]
        for name in ("SupportedContentTypes", "SupportedResponseMIMETypes")
    }
    arn = live.sagemaker.create_model_package(
        ModelPackageGroupName=live.outputs["ModelPackageGroupName"],
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [
                {
                    "Image": container["Image"],
                    "ModelDataUrl": f"s3://{bucket}/{broken}",
                    "Environment": container["Environment"],
                }
            ],
            **kept,
        },
    )["ModelPackageArn"]

    # THEN the update is taken back, the version before serves on, and it is not tried for ever
    def given_up() -> bool:
        return any(
            line.get("status") == "RolledBack" and line.get("wanted") == arn for line in live.deploy_log()
        )

    wait_for("the deploy function's word that it was taken back", given_up, seconds=90)
    assert live.serves() == before
    assert [answer["label"] for answer in live.invoke()] == ["positive", "negative"]

    # AND WHEN it is rejected THEN the registry and the endpoint agree, and nothing of it is left over
    live.decide(arn, "Rejected")
    wait_for(
        "the deploy function's word",
        lambda: any(line["status"] == "Unchanged" and line["wanted"] == before for line in live.deploy_log()),
    )
    assert live.serves() == before


def test_changed_settings_reach_the_endpoint_with_the_stack(live: Pipeline) -> None:
    # GIVEN an endpoint with one instance
    serving = live.serves()
    (variant,) = live.look()["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 1

    # WHEN the stack is deployed with two THEN the endpoint gets them, with the same version
    (live.laptop.project / "changed").touch()
    live.laptop.sandbox("deploy", PATTERN, "-c", "patterns.ml-pipeline.endpoint.instance_count=2")

    def two() -> bool:
        seen = live.look()
        return seen.get("EndpointStatus") == "InService" and [
            one["CurrentInstanceCount"] for one in seen["ProductionVariants"]
        ] == [2]

    wait_for("two instances", two, seconds=90)
    assert live.serves() == serving
    assert len(live.laptop.model_servers(live.endpoint)) == 2


def test_the_end_of_the_stack_is_the_end_of_all_that_it_made_at_run_time(live: Pipeline) -> None:
    # GIVEN a live version WHEN the stack is removed
    group = live.outputs["ModelPackageGroupName"]
    live.laptop.sandbox("destroy", PATTERN)

    # THEN endpoint, configurations, models, versions and pipeline are gone
    assert not exists(live.laptop, PATTERN)
    assert live.look() == {}
    stem = {"NameContains": live.endpoint}
    assert live.sagemaker.list_endpoint_configs(**stem)["EndpointConfigs"] == []
    assert live.sagemaker.list_models(**stem)["Models"] == []
    assert live.sagemaker.list_pipelines(PipelineNamePrefix=live.endpoint)["PipelineSummaries"] == []
    groups = live.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert group not in [one["ModelPackageGroupName"] for one in groups]
    assert live.laptop.model_servers(live.endpoint) == []

    # AND so are its functions, rules and logs
    functions = live.boto("lambda").list_functions()["Functions"]
    assert not [one for one in functions if one["FunctionName"].startswith(live.endpoint)]
    groups = live.boto("logs").describe_log_groups()["logGroups"]
    assert not [one["logGroupName"] for one in groups if live.endpoint in one["logGroupName"]]
