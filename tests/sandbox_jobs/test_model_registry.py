"""Model packages: versions, approval, models made of them, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.fleet.containers import plan
from sandbox.store import Params
from tests.sandbox_api.world import IMAGE, ROLE, SCOPE
from tests.sandbox_jobs.workshop import Workshop

Refused = Callable[..., tuple[str, str]]


def version(group: str = "reviews", **changed: Any) -> Params:
    """A request of CreateModelPackage."""
    container = {
        "Image": IMAGE,
        "ModelDataUrl": "s3://out/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "1"},
    }
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    return {"ModelPackageGroupName": group, "InferenceSpecification": specification} | changed


@pytest.fixture
def group(sagemaker: Any) -> str:
    arn: str = sagemaker.create_model_package_group(ModelPackageGroupName="Reviews")["ModelPackageGroupArn"]
    return arn


def test_versions_are_numbered_shown_changed_and_removed(
    sagemaker: Any, group: str, refused: Refused, workshop: Workshop
) -> None:
    # GIVEN two versions of a group, named by name and by ARN
    metrics = {
        "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://out/e.json"}}
    }
    origin = {"GeneratedBy": "ci", "CommitId": "abc", "Repository": "here", "ProjectId": "p-1"}
    given = version(
        "Reviews",
        ModelMetrics=metrics,
        MetadataProperties=origin,
        CustomerMetadataProperties={"accuracy": "0.9", "old": "x"},
        Tags=[{"Key": "team", "Value": "nlp"}],
    )
    first = sagemaker.create_model_package(**given)["ModelPackageArn"]
    second = sagemaker.create_model_package(**version(group, ModelApprovalStatus="Rejected"))[
        "ModelPackageArn"
    ]

    # WHEN they are looked at
    shown = sagemaker.describe_model_package(ModelPackageName=first)

    # THEN they have numbers and all that they were given
    assert first == "arn:aws:sagemaker:ap-northeast-2:000000000000:model-package/reviews/1"
    assert (shown["ModelPackageGroupName"], shown["ModelPackageVersion"]) == ("Reviews", 1)
    assert (shown["ModelApprovalStatus"], shown["ModelPackageStatus"]) == (
        "PendingManualApproval",
        "Completed",
    )
    assert (shown["ModelMetrics"], shown["MetadataProperties"]) == (metrics, origin)
    assert sagemaker.list_tags(ResourceArn=first)["Tags"] == [{"Key": "team", "Value": "nlp"}]
    listed = sagemaker.list_model_packages(ModelPackageGroupName="Reviews")["ModelPackageSummaryList"]
    assert [each["ModelPackageArn"] for each in listed] == [second, first]
    rejected = sagemaker.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Rejected")
    assert [each["ModelPackageVersion"] for each in rejected["ModelPackageSummaryList"]] == [2]
    assert not sagemaker.list_model_packages()["ModelPackageSummaryList"]

    # AND WHEN one is approved, with other metadata
    sagemaker.update_model_package(
        ModelPackageArn=first,
        ModelApprovalStatus="Approved",
        ApprovalDescription="good",
        CustomerMetadataProperties={"by": "me"},
        CustomerMetadataPropertiesToRemove=["old"],
    )

    # THEN it shows, and EventBridge hears of it
    shown = sagemaker.describe_model_package(ModelPackageName=first)
    assert (shown["ModelApprovalStatus"], shown["ApprovalDescription"]) == ("Approved", "good")
    assert shown["CustomerMetadataProperties"] == {"accuracy": "0.9", "by": "me"}
    details = workshop.wait("events", lambda: _approvals(workshop, first, 2))
    assert [detail["ModelApprovalStatus"] for detail in details] == ["PendingManualApproval", "Approved"]
    assert details[-1]["ModelPackageGroupName"] == "Reviews"
    assert details[-1]["Tags"] == {"team": "nlp"}
    assert details[-1]["MetadataProperties"] == origin

    # AND WHEN the last version goes
    assert refused(sagemaker.delete_model_package_group, ModelPackageGroupName="Reviews")[0] == (
        "ConflictException"
    )
    sagemaker.delete_model_package(ModelPackageName=second)

    # THEN its number is not given again, and a group without versions can go
    third = sagemaker.create_model_package(**version("Reviews"))["ModelPackageArn"]
    assert third.endswith("/3")
    for arn in (first, third):
        sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName="Reviews")
    assert "does not exist" in refused(sagemaker.describe_model_package, ModelPackageName=first)[1]


def _approvals(workshop: Workshop, arn: str, count: int) -> list[Params] | None:
    found = [
        detail
        for detail in workshop.details("SageMaker Model Package State Change")
        if detail["ModelPackageArn"] == arn
    ]
    return found if len(found) >= count else None


def test_only_an_approved_version_becomes_a_model(sagemaker: Any, group: str, refused: Refused) -> None:
    # GIVEN a version that waits for approval
    arn = sagemaker.create_model_package(**version())["ModelPackageArn"]
    container = {"ModelPackageName": arn, "Environment": {"LEVEL": "2"}}
    create = {"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}

    # WHEN a model is made of it, before and after the approval
    early = refused(sagemaker.create_model, **create)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.create_model(**create)

    # THEN it is refused at first, and shows the package then
    assert early[0] == "ValidationException"
    assert "only Approved versions can be deployed" in early[1]
    shown = sagemaker.describe_model(ModelName="M")["PrimaryContainer"]
    assert shown["ModelPackageName"] == arn
    assert "Image" not in shown
    unknown = create | {"ModelName": "N", "PrimaryContainer": {"ModelPackageName": f"{arn}7"}}
    assert "does not exist" in refused(sagemaker.create_model, **unknown)[1]


def test_a_model_of_a_package_runs_what_the_package_names(
    sagemaker: Any, group: str, workshop: Workshop
) -> None:
    # GIVEN a model of an approved version, with a variable of its own
    arn = sagemaker.create_model_package(**version(ModelApprovalStatus="Approved"))["ModelPackageArn"]
    container = {"ModelPackageName": arn, "Environment": {"LEVEL": "2"}}
    sagemaker.create_model(ModelName="M", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    # WHEN its containers are planned
    (planned,) = plan(workshop.stores.of(SCOPE).models["M"].request)

    # THEN image, data and variables are the package's, the model's own win
    assert (planned.image, planned.framework.name) == (IMAGE, "sklearn")
    assert planned.source is not None
    assert planned.source.uri == "s3://out/model.tar.gz"
    assert planned.environment == {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "2"}


def test_a_group_keeps_a_policy(sagemaker: Any, group: str, refused: Refused) -> None:
    # GIVEN a policy
    policy = '{"Version": "2012-10-17", "Statement": []}'
    put, get = sagemaker.put_model_package_group_policy, sagemaker.get_model_package_group_policy

    # WHEN it is put and taken away, and one that is none is put
    put(ModelPackageGroupName="Reviews", ResourcePolicy=policy)
    kept = get(ModelPackageGroupName="Reviews")["ResourcePolicy"]
    bad = refused(put, ModelPackageGroupName="Reviews", ResourcePolicy="no")
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName="Reviews")

    # THEN it was there meanwhile, and the group shows nothing of it
    assert kept == policy
    assert "not valid JSON" in bad[1]
    assert "Cannot find resource policy" in refused(get, ModelPackageGroupName="Reviews")[1]
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="Reviews")["ModelPackageGroupName"]


def test_mistakes_are_refused(sagemaker: Any, group: str, refused: Refused) -> None:
    # GIVEN requests with mistakes, WHEN they are sent, THEN each is refused with the reason
    for request, words in (
        (version("nobody"), "does not exist"),
        (version(ModelPackageName="x"), "exactly one of them"),
        ({"ModelPackageGroupName": "reviews"}, "needs InferenceSpecification"),
        (version(ModelApprovalStatus="Maybe"), "enum value set"),
    ):
        assert words in refused(sagemaker.create_model_package, **request)[1]
    alone = {key: value for key, value in version().items() if key != "ModelPackageGroupName"}
    arn = sagemaker.create_model_package(ModelPackageName="Alone", **alone)["ModelPackageArn"]
    refusal = refused(sagemaker.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert "versions of a model package group" in refusal[1]
    assert (
        refused(sagemaker.create_model_package, ModelPackageName="alone", **alone)[0] == "ConflictException"
    )
    assert sagemaker.describe_model_package(ModelPackageName="Alone")["ModelPackageArn"] == arn
