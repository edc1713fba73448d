"""CreateTransformJob and its neighbours: what the service accepts, shows, lists, and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.store import Params
from tests.sandbox_api.world import SCOPE, Wire, World
from tests.sandbox_transform.plant import model, request

ARN = SCOPE.arn("transform-job/")


@pytest.fixture(scope="module")
def client() -> Any:
    wire = Wire()
    made = wire.client("sagemaker")
    made.wire = wire
    return made


@pytest.fixture
def world(client: Any) -> Iterator[World]:
    """The APIs without anybody who runs jobs; a model ``model`` is there."""
    world = client.wire.world = World()
    client.create_model(**model())
    yield world
    world.close()


@pytest.fixture
def sagemaker(client: Any, world: World) -> Any:
    return client


def refused(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_job_is_shown_as_it_was_asked_for(sagemaker: Any, world: World) -> None:
    # GIVEN a request with everything that may be in one
    asked = request(
        "Nightly",
        MaxConcurrentTransforms=4,
        MaxPayloadInMB=25,
        BatchStrategy="SingleRecord",
        Environment={"MODE": "fast"},
        ModelClientConfig={"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 0},
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
        ExperimentConfig={"ExperimentName": "reviews"},
        CompressionType="Gzip",
        VolumeKmsKeyId="alias/volumes",
        KmsKeyId="alias/results",
        InstanceCount=100,
    )

    # WHEN it is made, described and tagged
    arn = sagemaker.create_transform_job(**asked, Tags=[{"Key": "team", "Value": "리뷰"}])["TransformJobArn"]
    shown = sagemaker.describe_transform_job(TransformJobName="Nightly")
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "run", "Value": "7"}])

    # THEN the description has all of it, and the tags are at the ARN, which is in lower case
    assert arn == shown["TransformJobArn"] == f"{ARN}nightly"
    assert {name: shown[name] for name in asked if name != "DataProcessing"} == {
        name: value for name, value in asked.items() if name != "DataProcessing"
    }
    assert shown["DataProcessing"] == {"InputFilter": "$", **asked["DataProcessing"]}
    assert shown["TransformJobStatus"] == "InProgress"
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags == {"team": "리뷰", "run": "7"}


def test_a_name_is_never_free_again(sagemaker: Any, world: World) -> None:
    # GIVEN a job that has ended
    sagemaker.create_transform_job(**request("once"))
    world.transform_jobs.created[0].status = "Completed"

    # WHEN another is to have its name, in another case
    code, message = refused(sagemaker.create_transform_job, **request("Once"))

    # THEN it is in use
    assert code == "ResourceInUse"
    assert message == (
        "Job name must be unique within an AWS account and region, and a job with this name already exists "
        f"({ARN}once)."
    )


def test_unknown_jobs_and_models_are_not_found(sagemaker: Any) -> None:
    # GIVEN no job, and no model of that name
    # WHEN they are asked for
    # THEN each error is the service's
    for call in (sagemaker.describe_transform_job, sagemaker.stop_transform_job):
        assert refused(call, TransformJobName="none") == (
            "ResourceNotFound",
            "Could not find requested job with name: none",
        )
    assert refused(sagemaker.create_transform_job, **request(ModelName="none")) == (
        "ValidationException",
        f'Could not find model "{SCOPE.arn("model/none")}".',
    )


JOIN = {"JoinSource": "Input"}
CSV: Params = {"ContentType": "text/csv", "Accept": "text/csv"}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (
            {"kind": "AugmentedManifestFile"},
            "S3DataType AugmentedManifestFile is not supported for transform",
        ),
        ({"kind": "Converse"}, "S3DataType Converse is not supported"),
        ({"SplitType": "RecordIO"}, "the sandbox does not split RecordIO, AWS does"),
        ({"SplitType": "TFRecord"}, "the sandbox does not split TFRecord, AWS does"),
        ({"SplitType": "Words"}, "enum value set: [None, Line, RecordIO, TFRecord]"),
        ({"SplitType": None, "BatchStrategy": "SingleRecord"}, "BatchStrategy needs SplitType Line"),
        ({"SplitType": "None", "BatchStrategy": "MultiRecord"}, "BatchStrategy needs SplitType Line"),
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB must be at most 100, not 101"),
        ({"MaxPayloadInMB": -1}, "value greater than or equal to 0"),
        ({"MaxConcurrentTransforms": 17}, "at most 100 MB, not 17 * 6 = 102"),
        ({"MaxConcurrentTransforms": 5, "MaxPayloadInMB": 21}, "at most 100 MB, not 5 * 21 = 105"),
        ({"ModelClientConfig": {"InvocationsMaxRetries": 4}}, "value less than or equal to 3"),
        ({"ModelClientConfig": {"InvocationsTimeoutInSeconds": 3601}}, "value less than or equal to 3600"),
        ({"Environment": {f"V{at}": "x" for at in range(17)}}, "length less than or equal to 16"),
        ({"Environment": {"V": "x" * 10241}}, "length less than or equal to 10240"),
        ({"ContentType": "x" * 257}, "length less than or equal to 256"),
        ({"InstanceType": "ml.c7g.large"}, "enum value set"),
        ({"InstanceCount": 0}, "value greater than or equal to 1"),
        ({"InstanceCount": 101}, "InstanceCount must be at most 100, not 101"),
        (
            {"VolumeKmsKeyId": "k", "InstanceType": "ml.g5.xlarge"},
            "VolumeKmsKeyId can't be requested for ml.g5",
        ),
        ({"VolumeKmsKeyId": "k", "InstanceType": "ml.g4dn.xlarge"}, "VolumeKmsKeyId can't be requested"),
        ({"S3OutputPath": "https://out/x"}, "transformOutput.s3OutputPath must be s3://bucket/prefix"),
        ({"uri": "s3://"}, "s3Uri"),
        ({"DataProcessing": JOIN, "Accept": "text/csv"}, "ContentType and Accept to be the same"),
        ({"DataProcessing": JOIN, "Accept": None}, "DataProcessing needs Accept text/csv"),
        (
            {"DataProcessing": JOIN, "AssembleWith": None},
            "SplitType and AssembleWith to be the same, not Line",
        ),
        ({"DataProcessing": {"InputFilter": "$.a"}, "ContentType": "text/plain"}, "not text/plain"),
        (
            {"DataProcessing": {"InputFilter": "text"}},
            "DataProcessing.InputFilter: the path 'text' must begin",
        ),
        (
            {"DataProcessing": {"OutputFilter": "$..a"}},
            "DataProcessing.OutputFilter: the path '$..a' may use",
        ),
        ({"DataProcessing": {"OutputFilter": f"$.{'a' * 63}"}}, "length less than or equal to 63"),
        ({"DataProcessing": {"InputFilter": "$.a"}, **CSV}, "are picked by position"),
        ({"DataProcessing": {"OutputFilter": "$[0][1]"}, **CSV}, "are picked by position"),
        (
            {"DataProcessing": {"InputFilter": "$[0]"}, **CSV, "AssembleWith": "None"},
            "SplitType and AssembleWith",
        ),
        (
            {"DataCaptureConfig": {"DestinationS3Uri": "s3://x/y"}},
            "does not capture the data of transform jobs",
        ),
        ({"TransformJobName": "under_score"}, "regular expression pattern"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(
    sagemaker: Any, world: World, changes: Params, finding: str
) -> None:
    # GIVEN a request that breaks one rule
    # WHEN it is sent
    code, message = refused(sagemaker.create_transform_job, **request(**changes))

    # THEN the service names it, and nobody runs it
    assert code == "ValidationException"
    assert finding in message
    assert not world.transform_jobs.created


def test_all_findings_come_together(sagemaker: Any) -> None:
    # GIVEN a request with three mistakes
    wrong = request(MaxPayloadInMB=200, InstanceCount=500, DataProcessing={"InputFilter": "a"})

    # WHEN it is sent
    _, message = refused(sagemaker.create_transform_job, **wrong)

    # THEN all of them are told
    assert message.startswith("3 validation errors detected: ")


@pytest.mark.parametrize(
    ("made", "finding"),
    [
        (
            model(
                ModelDataUrl=None,
                ModelDataSource={
                    "S3DataSource": {"S3DataType": "S3Object", "S3Uri": "s3://b/m", "CompressionType": "None"}
                },
            ),
            "ModelDataSource (primaryContainer), which transform jobs don't support",
        ),
        (model(Mode="MultiModel"), "MultiModel mode"),
        (model("a", "b") | {"InferenceExecutionConfig": {"Mode": "Direct"}}, "containers in Direct mode"),
    ],
)
def test_a_model_that_takes_no_batches_is_refused(sagemaker: Any, made: Params, finding: str) -> None:
    # GIVEN a model of a kind that batch transform does not know
    primary = made.get("PrimaryContainer", {})
    if primary.get("ModelDataUrl", "") is None:
        del primary["ModelDataUrl"]
    sagemaker.create_model(**{**made, "ModelName": "odd"})

    # WHEN a job is to use it
    # THEN it is refused
    assert finding in refused(sagemaker.create_transform_job, **request(ModelName="odd"))[1]


def test_jobs_are_listed_by_name_status_and_time(sagemaker: Any, world: World) -> None:
    # GIVEN five jobs, one a minute, of which two have failed and one has completed
    for at in range(5):
        sagemaker.create_transform_job(**request(f"job-{at}"))
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for at, job in enumerate(world.transform_jobs.created):
        job.created_at = job.modified_at = begun + timedelta(minutes=at)
    for at, status in ((1, "Failed"), (3, "Failed"), (4, "Completed")):
        job = world.transform_jobs.created[at]
        job.status, job.ended_at = status, begun + timedelta(hours=1)
    world.transform_jobs.created[1].failure_reason = "ClientError: why"

    def listed(**params: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_transform_jobs").paginate(
            PaginationConfig={"PageSize": 2}, **params
        )
        return [each["TransformJobName"][-1] for page in pages for each in page["TransformJobSummaries"]]

    # WHEN they are listed, two to a page
    # THEN the newest come first, and filters and orders do what they say
    assert listed() == ["4", "3", "2", "1", "0"]
    assert listed(SortOrder="Ascending") == ["0", "1", "2", "3", "4"]
    assert listed(SortBy="Name", SortOrder="Ascending", NameContains="JOB-") == ["0", "1", "2", "3", "4"]
    assert listed(SortBy="Status", SortOrder="Ascending") == ["4", "1", "3", "0", "2"]
    assert listed(StatusEquals="Failed") == ["3", "1"]
    assert listed(CreationTimeAfter=begun + timedelta(minutes=3)) == ["4", "3"]
    assert listed(LastModifiedTimeBefore=begun + timedelta(minutes=1)) == ["0"]
    # AND a summary tells how a job ended
    [summary] = sagemaker.list_transform_jobs(NameContains="job-1")["TransformJobSummaries"]
    assert summary["FailureReason"] == "ClientError: why"
    assert summary["TransformEndTime"] == begun + timedelta(hours=1)


def test_a_job_is_stopped_only_while_it_runs(sagemaker: Any) -> None:
    # GIVEN a job
    sagemaker.create_transform_job(**request())

    # WHEN it is stopped twice
    sagemaker.stop_transform_job(TransformJobName="job")
    code, message = refused(sagemaker.stop_transform_job, TransformJobName="job")

    # THEN the second comes too late
    assert sagemaker.describe_transform_job(TransformJobName="job")["TransformJobStatus"] == "Stopping"
    assert (code, "its status is Stopping" in message) == ("ValidationException", True)
