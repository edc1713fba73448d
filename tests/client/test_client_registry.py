"""Data in, versions out: `client pipeline send | versions | approve | reject`, and `status` of both."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import Result

from client.pipeline import deciding, sending
from tests.client.fakes import ScriptedAws, stack

Run = Callable[..., Result]

GROUP = "arn:aws:sagemaker:ap-northeast-2:000000000000:model-package/reviews"
OUTPUTS = {
    "PipelineName": "reviews",
    "EndpointName": "reviews-live",
    "ModelPackageGroupName": "reviews",
    "VariantNames": "primary",
    "RawDataUri": "s3://data/raw/",
    "DeployFunctionName": "reviews-deploy",
}
BEGAN = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)


class Registry:
    """A group of versions, and an endpoint that follows it as the deploy function has it follow.

    Args:
        aws: Answers for it.
    """

    def __init__(self, aws: ScriptedAws) -> None:
        self.aws = aws
        self.packages: dict[int, dict[str, Any]] = {}
        self.live = 0
        self.coming: list[str] = []  # statuses that the endpoint is seen in before it serves
        self.ends_well = True
        self.looks = 2  # that an update is seen for; with 0 it is over at once
        self.tried = 0
        self.changed = BEGAN
        self.follows = True
        self.objects: list[dict[str, Any]] = []
        self.executions = {"arn:p/execution/old": "2026/11"}  # ARN to its data
        self.starts_by_itself = True
        aws.answers |= {
            "ListModelPackages": self._list,
            "DescribeModelPackage": self._describe,
            "UpdateModelPackage": self._update,
            "DescribeEndpoint": self._endpoint,
            "DescribeEndpointConfig": self._config,
            "ListTags": self._tags,
            "GetObject": self._evaluation,
            "ListObjectsV2": lambda _: {"Contents": self.objects},
            "PutObject": self._put,
            "ListPipelineExecutions": lambda _: {
                "PipelineExecutionSummaries": [
                    {"PipelineExecutionArn": one, "PipelineExecutionStatus": "Succeeded"}
                    for one in self.executions
                ]
            },
            "ListPipelineParametersForExecution": lambda params: {
                "PipelineParameters": [
                    {
                        "Name": "InputData",
                        "Value": self.executions[json.loads(params["body"])["PipelineExecutionArn"]],
                    }
                ]
            },
        }

    def register(self, approval: str, *, model: str = "") -> None:
        number = len(self.packages) + 1
        self.packages[number] = {
            "ModelPackageGroupName": "reviews",
            "ModelPackageVersion": number,
            "ModelPackageArn": f"{GROUP}/{number}",
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": approval,
            "CreationTime": BEGAN + timedelta(hours=number),
            "CustomerMetadataProperties": {
                "InputData": f"folder-{number}",
                "PipelineExecution": f"arn:p/execution/e-{number}",
            },
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {"ContentType": "application/json", "S3Uri": f"s3://data/{number}.json"}
                }
            },
            "InferenceSpecification": {
                "Containers": [{"Image": "image", "ModelDataUrl": model or f"s3://data/{number}.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        }

    def _put(self, params: dict[str, Any]) -> dict[str, Any]:
        folder, _, name = params["url_path"].partition("/raw/")[2].rpartition("/")
        if name == "_SUCCESS" and self.starts_by_itself:
            others = {"arn:p/execution/of-others": "others"}
            self.executions = {**others, "arn:p/execution/new": folder, **self.executions}
        return {}

    def _wanted(self) -> int:
        approved = [n for n, one in self.packages.items() if one["ModelApprovalStatus"] == "Approved"]
        return max(approved, default=0)

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ModelPackageSummaryList": list(self.packages.values())}

    def _describe(self, params: dict[str, Any]) -> dict[str, Any]:
        name = json.loads(params["body"])["ModelPackageName"]
        return self.packages[int(name.rpartition("/")[2])]

    def _update(self, params: dict[str, Any]) -> dict[str, Any]:
        request = json.loads(params["body"])
        number = int(request.pop("ModelPackageArn").rpartition("/")[2])
        self.packages[number] |= request
        if self.follows and self._wanted() != self.live:
            self.coming = ["Updating" if self.live else "Creating"] * self.looks
            self.tried, self.changed = self._wanted(), self.changed + timedelta(minutes=1)
        return {"ModelPackageArn": f"{GROUP}/{number}"}

    def _endpoint(self, _: dict[str, Any]) -> dict[str, Any]:
        seen = {
            "EndpointName": "reviews-live",
            "EndpointArn": "arn:endpoint/reviews-live",
            "EndpointConfigName": f"config-{self.live}",
            "LastModifiedTime": self.changed,
        }
        if self.coming:
            status = self.coming.pop()
            if not self.coming and self.ends_well:
                self.live = self._wanted()
            return {**seen, "EndpointStatus": status}
        if not self.live:
            error = {"Code": "ValidationException", "Message": 'Could not find endpoint "reviews-live".'}
            raise ClientError({"Error": error}, "DescribeEndpoint")
        return {**seen, "EndpointStatus": "InService", "EndpointConfigName": f"config-{self.live}"}

    def _config(self, params: dict[str, Any]) -> dict[str, Any]:
        name = json.loads(params["body"])["EndpointConfigName"]
        return {"EndpointConfigName": name, "EndpointConfigArn": f"arn:config/{name}"}

    def _tags(self, params: dict[str, Any]) -> dict[str, Any]:
        arn = json.loads(params["body"])["ResourceArn"]
        if arn.startswith("arn:endpoint/"):
            return {"Tags": [{"Key": "sagemaker-serving:tried", "Value": f"config-{self.tried}"}]}
        number = arn.rpartition("-")[2]
        value = f"{GROUP}/{number}"
        return {"Tags": [{"Key": "sagemaker-serving:model-package-arn", "Value": value}]}

    @staticmethod
    def _evaluation(params: dict[str, Any]) -> dict[str, Any]:
        number = int(params["url_path"].rpartition("/")[2].partition(".")[0])
        report = {"binary_classification_metrics": {"accuracy": {"value": 0.8 + number / 100}}}
        return {"Body": io.BytesIO(json.dumps(report).encode())}


@pytest.fixture
def registry(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for module in (deciding, sending):
        for name in ("_LOOK_SECONDS_SANDBOX", "_LOOK_SECONDS_AWS"):
            monkeypatch.setattr(module, name, 0.001)
    for name in ("_PATIENCE_SECONDS_SANDBOX", "_PATIENCE_SECONDS_AWS"):
        monkeypatch.setattr(sending, name, 0.05)
    aws.deploy(stack("ml-pipeline", "MlPipeline", outputs=OUTPUTS))
    return Registry(aws)


def words(text: str) -> str:
    return " ".join(text.split())


def test_versions_are_listed_with_what_a_decision_needs(registry: Registry, run: Run) -> None:
    # GIVEN a rejected, a live and a waiting version
    for approval in ("Rejected", "Approved", "PendingManualApproval"):
        registry.register(approval)
    registry.live = 2

    # WHEN they are listed THEN each has its accuracy and data, the live one is marked, and the next step told
    output = words(run("pipeline", "versions").output)
    assert "3 waits 83.00%" in output
    assert "2 approved 82.00%" in output
    assert "folder-2 e-2 serves" in output
    assert "reviews-live InService, serves version 2" in output
    assert "pipeline approve --wait" in output

    # AND as JSON
    document = json.loads(run("pipeline", "versions", "--json").stdout)
    assert [one["version"] for one in document["versions"]] == [3, 2, 1]
    assert document["serving"]["version"] == f"{GROUP}/2"


def test_without_a_version_it_tells_how_to_get_one(registry: Registry, run: Run) -> None:
    assert "pipeline send FILE --folder NAME" in run("pipeline", "versions").output
    refused = run("pipeline", "approve")
    assert refused.exit_code == 1
    assert "No version waits for approval" in refused.output


def test_approving_takes_the_newest_that_waits_and_follows_it(registry: Registry, run: Run) -> None:
    # GIVEN a live version and two that wait
    for approval in ("Approved", "PendingManualApproval", "PendingManualApproval"):
        registry.register(approval)
    registry.live = 1

    # WHEN one approves without naming any
    done = run("pipeline", "approve", "--wait", "--because", "better")

    # THEN it is the newest, with the reason, and the endpoint was followed until it served
    assert done.exit_code == 0, done.output
    assert registry.packages[3]["ModelApprovalStatus"] == "Approved"
    assert registry.packages[3]["ApprovalDescription"] == "better"
    assert "goes to version 3" in done.output
    assert "serves version 3" in words(done.output)


def test_the_first_approval_makes_the_endpoint(registry: Registry, run: Run) -> None:
    registry.register("PendingManualApproval")
    done = run("pipeline", "approve", "1", "--wait")
    assert done.exit_code == 0, done.output
    assert "is made with version 1" in done.output


def test_an_older_version_is_approved_and_the_newer_serves_on(registry: Registry, run: Run) -> None:
    for approval in ("PendingManualApproval", "Approved"):
        registry.register(approval)
    registry.live = 2
    done = run("pipeline", "approve", "1", "--wait")
    assert done.exit_code == 0
    assert "serves version 2 already" in words(done.output)
    assert "reject 2 to go back to 1" in words(done.output)


def test_rejecting_takes_the_live_one_and_goes_back(registry: Registry, run: Run) -> None:
    for _ in range(2):
        registry.register("Approved")
    registry.live = 2
    registry.packages[2]["ApprovalDescription"] = "why it was approved"
    done = run("pipeline", "reject", "--wait", "--json")
    assert done.exit_code == 0, done.output
    assert registry.packages[2]["ModelApprovalStatus"] == "Rejected"
    assert registry.packages[2]["ApprovalDescription"] == ""
    assert json.loads(done.stdout)["serving"]["version"] == f"{GROUP}/1"


def test_rejecting_the_last_one_leaves_it_serving_and_says_so(registry: Registry, run: Run) -> None:
    registry.register("Approved")
    registry.live = 1
    done = run("pipeline", "reject", "--wait")
    assert done.exit_code == 0
    assert "no version is approved any more: the endpoint goes on with version 1" in words(done.output)


def test_versions_of_the_same_model_need_no_deployment(registry: Registry, run: Run) -> None:
    # GIVEN a newer version of the same model, as a cached execution registers it
    registry.register("Approved", model="s3://data/same.tar.gz")
    registry.register("PendingManualApproval", model="s3://data/same.tar.gz")
    registry.live = 1
    registry.follows = False  # as the deploy function finds nothing to do

    # WHEN it is approved THEN nobody waits for an update that never comes
    done = run("pipeline", "approve", "--wait")
    assert done.exit_code == 0, done.output
    assert "version 2, the newest that is approved, is the same model as version 1" in words(done.output)

    # AND without naming any, the newer one is rejected, which alone would keep the endpoint where it is
    done = run("pipeline", "reject", "--wait")
    assert done.exit_code == 0, done.output
    assert registry.packages[2]["ModelApprovalStatus"] == "Rejected"
    assert registry.packages[1]["ModelApprovalStatus"] == "Approved"


def test_going_back_past_copies_of_a_model_says_what_is_left_to_reject(registry: Registry, run: Run) -> None:
    for _ in range(3):
        registry.register("Approved", model="s3://data/same.tar.gz")
    registry.live = 1
    done = run("pipeline", "reject")
    assert registry.packages[3]["ModelApprovalStatus"] == "Rejected"
    assert "reject 2, too, to go further back" in words(done.output)


@pytest.mark.parametrize("looks", [0, 2])
def test_a_deployment_that_is_taken_back_is_an_error_with_what_to_do(
    registry: Registry, run: Run, looks: int
) -> None:
    # GIVEN a version that does not start, which may be over before anybody looks
    for approval in ("Approved", "PendingManualApproval"):
        registry.register(approval)
    registry.live, registry.ends_well, registry.looks = 1, False, looks
    # WHEN it is approved THEN that is status 2, with what to do and what serves
    done = run("pipeline", "approve", "--wait", "--json")
    assert done.exit_code == 2
    assert "Version 2 does not serve" in done.stderr
    assert "aws lambda invoke --function-name reviews-deploy" in words(done.stderr)
    assert "pipeline reject 2" in words(done.stderr)
    assert json.loads(done.stdout)["serving"]["version"] == f"{GROUP}/1"


def test_rejecting_needs_a_name_where_another_version_is_approved_than_serves(
    registry: Registry, run: Run
) -> None:
    # GIVEN an approved version that was taken back
    for _ in range(2):
        registry.register("Approved")
    registry.live, registry.tried = 1, 2
    # WHEN one is rejected without naming it THEN nothing is, and both are told
    refused = run("pipeline", "reject")
    assert refused.exit_code == 1
    output = words(refused.output)
    assert "Version 2 is approved, but version 1 serves" in output
    assert "pipeline reject 2" in output
    assert "pipeline reject 1" in output
    assert {one["ModelApprovalStatus"] for one in registry.packages.values()} == {"Approved"}


def test_an_update_to_another_version_that_ends_first_is_not_taken_for_this_one(
    registry: Registry, run: Run
) -> None:
    # GIVEN an update to version 2, after whose end the deploy function is called again
    for approval in ("Approved", "Approved", "PendingManualApproval"):
        registry.register(approval)
    registry.live, registry.tried, registry.follows = 1, 2, False
    statuses = ["Updating", "Updating", "InService", "InService", "Updating"]

    def seen(_: dict[str, Any]) -> dict[str, Any]:
        status = statuses.pop(0) if statuses else ""
        if status == "InService":
            registry.live = 2
        elif not status:
            registry.live = registry.tried = 3
        return {
            "EndpointName": "reviews-live",
            "EndpointArn": "arn:endpoint/reviews-live",
            "EndpointConfigName": f"config-{registry.live}",
            "EndpointStatus": status or "InService",
            "LastModifiedTime": registry.changed,
        }

    registry.aws.answers["DescribeEndpoint"] = seen
    # WHEN version 3 is approved meanwhile THEN it is followed to its own end
    done = run("pipeline", "approve", "3", "--wait")
    assert done.exit_code == 0, done.output
    assert "serves version 3" in words(done.output)


def test_a_decision_that_nobody_acts_on_names_the_log(
    registry: Registry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PATIENCE_SECONDS_SANDBOX", "_PATIENCE_SECONDS_AWS"):
        monkeypatch.setattr(deciding, name, 0.01)
    registry.register("PendingManualApproval")
    registry.follows = False
    done = run("pipeline", "approve", "--wait")
    assert done.exit_code == 1
    assert "/aws/lambda/reviews-deploy" in done.output


def test_a_version_that_is_not_there_is_refused_with_those_that_are(registry: Registry, run: Run) -> None:
    registry.register("Approved")
    done = run("pipeline", "approve", "7")
    assert done.exit_code == 1
    assert "There is no version '7'" in done.output
    assert "Versions: 1" in done.output


def test_status_is_fine_before_the_first_version_and_tells_what_waits(registry: Registry, run: Run) -> None:
    # GIVEN a stack without a version WHEN its status is asked THEN nothing is wrong
    done = run("status", "ml-pipeline")
    assert done.exit_code == 0, done.output
    assert "not there yet" in done.output
    assert "pipeline send FILE --folder NAME" in words(done.output)

    # WHEN one waits THEN it is told how it gets there
    registry.register("PendingManualApproval")
    assert "pipeline approve --wait" in words(run("status", "ml-pipeline").output)
    registry.packages.clear()

    # WHEN one waits and one serves THEN both are told
    registry.register("Approved")
    registry.register("PendingManualApproval")
    registry.live = 1
    output = words(run("status", "ml-pipeline").output)
    assert "serves version 1 of 2" in output
    assert "waiting for approval: 2" in output
    assert "pipeline approve" not in output
    assert "last execution: Succeeded" in output
    assert "expect" not in output


def test_status_tells_when_what_was_approved_does_not_serve(registry: Registry, run: Run) -> None:
    for _ in range(2):
        registry.register("Approved")
    registry.live = 1
    done = run("status", "ml-pipeline")
    assert done.exit_code == 2
    assert "version 2 is approved, but the endpoint serves version 1" in words(done.output)


def test_data_go_into_a_folder_of_their_own_and_the_marker_comes_last(
    registry: Registry, aws: ScriptedAws, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.tsv"
    file.write_text("id\tdocument\tlabel\n1\t좋아요\t1\n", encoding="utf-8")
    done = run("pipeline", "send", str(file), "--folder", "2026/11")
    assert done.exit_code == 0, done.output
    assert "s3://data/raw/2026/11/" in done.output
    sent = [params["url_path"] for name, params in aws.calls if name == "PutObject"]
    assert [path.rpartition("/")[2] for path in sent] == ["reviews.tsv", "_SUCCESS"]

    # AND the execution that it started is told, neither an earlier one of these data nor somebody else's
    assert "started arn:p/execution/new" in words(done.output)
    assert "pipeline watch new" in words(done.output)

    # AND without a marker it tells how to start
    done = run("pipeline", "send", str(file), "--folder", "2026/12", "--no-marker")
    assert "pipeline start --parameter InputData=2026/12" in words(done.output)
    assert len([name for name, _ in aws.calls if name == "PutObject"]) == 3

    # AND with one that starts nothing, too
    registry.starts_by_itself = False
    done = run("pipeline", "send", str(file), "--folder", "2027/01")
    assert done.exit_code == 0, done.output
    assert "no execution has started" in done.output
    assert "InputData=2027/01" in done.output


def test_a_folder_that_has_data_is_refused_unless_they_are_added(
    registry: Registry, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.tsv"
    file.write_text("id\tdocument\tlabel\n", encoding="utf-8")
    registry.objects = [{"Key": "raw/november/old.tsv", "Size": 1}]
    refused = run("pipeline", "send", str(file), "--folder", "november")
    assert refused.exit_code == 1
    assert "has data already: old.tsv" in words(refused.output)
    assert run("pipeline", "send", str(file), "--folder", "november", "--add").exit_code == 0


def test_what_the_pipeline_cannot_read_is_refused_at_once(
    registry: Registry, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "reviews.csv").write_text("", encoding="utf-8")
    refused = run(
        "pipeline", "send", str(tmp_path / "reviews.csv"), str(tmp_path / "none.tsv"), "--folder", "/bad/"
    )
    assert refused.exit_code == 1
    output = words(refused.output)
    assert "--folder '/bad/'" in output
    assert "reads .txt and .tsv" in output
    assert "none.tsv is not a file" in output
