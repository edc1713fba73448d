"""What the registry wants: the approved version with the highest number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aws import client, is_missing, pages
from botocore.exceptions import ClientError

APPROVED = "Approved"


@dataclass(frozen=True)
class Version:
    """A version of the group.

    Args:
        arn: With the number at its end.
        approval: ModelApprovalStatus.
        container: The one container of its InferenceSpecification.
    """

    arn: str
    approval: str
    container: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What the registry says to a call.

    Args:
        wanted: What the endpoint should serve; None if nothing is approved.
        named: Approval status of the version that the call names, ``Deleted`` when there is none; empty if it
            names none.
    """

    wanted: Version | None
    named: str = ""


def choose(group: str, named: str = "") -> Choice:
    """Look what is wanted.

    Args:
        group: Name of the model package group.
        named: ARN of the version that the call is about: what it is itself counts, as the list may be late.

    Raises:
        ValueError: It is of another group; or the wanted version cannot be served by one container.
    """
    if named:
        _require_of(group, named)
    status = _approval(named) if named else ""
    listed = {arn for arn in _approved(group) if arn != named}
    if status == APPROVED:
        listed.add(named)
    for arn in sorted(listed, key=number, reverse=True):
        described = _describe(arn)
        if described is not None and described.get("ModelApprovalStatus") == APPROVED:
            return Choice(Version(arn, APPROVED, _container(arn, described)), status)
    return Choice(None, status)


def number(arn: str) -> int:
    """The number of a version.

    Raises:
        ValueError: It is no version's ARN.
    """
    return int(arn.rpartition("/")[2])


def versions(group: str) -> Iterator[str]:
    """ARNs of all versions of a group; none if there is no such group."""
    try:
        for found in pages(
            "sagemaker",
            "list_model_packages",
            "ModelPackageSummaryList",
            ModelPackageGroupName=group,
            PaginationConfig={"PageSize": 100},
        ):
            yield str(found["ModelPackageArn"])
    except ClientError as error:
        if not is_missing(error):
            raise


def _approved(group: str) -> Iterator[str]:
    for found in pages(
        "sagemaker",
        "list_model_packages",
        "ModelPackageSummaryList",
        ModelPackageGroupName=group,
        ModelApprovalStatus=APPROVED,
        PaginationConfig={"PageSize": 100},
    ):
        yield str(found["ModelPackageArn"])


def _require_of(group: str, arn: str) -> None:
    # SageMaker writes the group's name in lower case into ARNs
    path = arn.partition(":model-package/")[2].split("/")
    if len(path) != 2 or path[0].lower() != group.lower() or not path[1].isdecimal():
        raise ValueError(
            f"{arn!r} is no version of the model package group {group}: give an ARN that ends in "
            f"model-package/{group.lower()}/<number>"
        )


def _approval(arn: str) -> str:
    described = _describe(arn)
    return str(described.get("ModelApprovalStatus", "")) if described else "Deleted"


def _describe(arn: str) -> Mapping[str, Any] | None:
    try:
        described: Mapping[str, Any] = client("sagemaker").describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return described


def _container(arn: str, described: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = described.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise ValueError(
            f"{arn} has {len(containers)} containers in its InferenceSpecification, and a version that is "
            "deployed has exactly 1. Reject it, and register one with a single container."
        )
    container: Mapping[str, Any] = containers[0]
    return container
