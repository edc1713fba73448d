"""Versions of the model package group, and which of them the endpoint serves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern
from client.s3 import Place

APPROVED, REJECTED, WAITING = "Approved", "Rejected", "PendingManualApproval"
VERSION_TAG = "sagemaker-serving:model-package-arn"
"""On an endpoint configuration: the version that it was made for."""

TRIED_TAG = "sagemaker-serving:tried"
"""On an endpoint: the configuration that it was last made with or updated to, whatever came of it."""

BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})

_ACCURACY = ("binary_classification_metrics", "accuracy", "value")


@dataclass(frozen=True)
class Listed:
    """What a list tells of a version of the model.

    Args:
        number: ModelPackageVersion.
        arn: ModelPackageArn.
        approval: ModelApprovalStatus.
    """

    number: int
    arn: str
    approval: str


ListedT = TypeVar("ListedT", bound=Listed)


@dataclass(frozen=True)
class Version(Listed):
    """A version of the model.

    Args:
        created: When it was registered.
        accuracy: Of the evaluation that it was registered with, 0 to 1; None if it was not read.
        data: The folder of raw data that it was made of; empty if that is not known.
        execution: ARN of the execution that registered it; empty if that is not known.
        because: What was said when it was approved or rejected.
        model: What a container of it runs: versions with the same are the same model.
    """

    created: datetime
    accuracy: float | None
    data: str
    execution: str
    because: str
    model: str

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "version": self.number,
            "arn": self.arn,
            "approval": self.approval,
            "created": self.created,
            "accuracy": self.accuracy,
            "data": self.data or None,
            "execution": self.execution or None,
            "because": self.because or None,
        }


@dataclass(frozen=True)
class Serving:
    """What an endpoint serves.

    Args:
        endpoint: Its name.
        status: EndpointStatus; empty if there is no endpoint.
        arn: The version whose configuration serves; empty if there is none.
        coming: The version that an update brings; empty while there is none.
        reason: FailureReason.
        changed: LastModifiedTime; None if there is no endpoint.
    """

    endpoint: str
    status: str
    arn: str = ""
    coming: str = ""
    reason: str = ""
    changed: datetime | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it is being made or changed."""
        return self.status in BUSY

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "endpoint": self.endpoint,
            "status": self.status or None,
            "version": self.arn or None,
            "coming": self.coming or None,
            "reason": self.reason or None,
        }


def list_group(connection: Connection, deployed: DeployedPattern) -> list[Listed]:
    """What a list of the group tells of its versions, the newest first.

    Raises:
        UserError: The stack names no group.
    """
    client, group = connection.client("sagemaker"), _output(deployed, "ModelPackageGroupName")
    pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    found = [
        Listed(one["ModelPackageVersion"], one["ModelPackageArn"], one["ModelApprovalStatus"])
        for page in pages
        for one in page["ModelPackageSummaryList"]
    ]
    return sorted(found, key=lambda one: -one.number)


def list_versions(
    connection: Connection, deployed: DeployedPattern, *, evaluated: bool = False
) -> list[Version]:
    """All versions, the newest first: a call for each.

    Args:
        connection: Where.
        deployed: The pattern.
        evaluated: Whether their evaluations are read, too: a call more for each.

    Raises:
        UserError: The stack names no group.
    """
    return [describe(connection, one.arn, evaluated=evaluated) for one in list_group(connection, deployed)]


def describe(connection: Connection, arn: str, *, evaluated: bool = False) -> Version:
    """One version; see `list_versions`."""
    found = connection.client("sagemaker").describe_model_package(ModelPackageName=arn)
    metadata = found.get("CustomerMetadataProperties", {})
    return Version(
        number=found["ModelPackageVersion"],
        arn=arn,
        approval=found["ModelApprovalStatus"],
        created=found["CreationTime"],
        accuracy=_accuracy(connection, found) if evaluated else None,
        data=metadata.get("InputData", ""),
        execution=metadata.get("PipelineExecution", ""),
        because=found.get("ApprovalDescription", ""),
        model=json.dumps(found.get("InferenceSpecification", {}).get("Containers", []), sort_keys=True),
    )


def wanted(versions: Sequence[ListedT]) -> ListedT | None:
    """The version that the endpoint is to serve: the newest that is approved; None if none is."""
    return max(
        (one for one in versions if one.approval == APPROVED), key=lambda one: one.number, default=None
    )


def serving(connection: Connection, deployed: DeployedPattern) -> Serving:
    """What the endpoint of a pattern serves now."""
    client, name = connection.client("sagemaker"), deployed.endpoint_name
    try:
        seen = client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if "Could not find endpoint" in error.response["Error"].get("Message", ""):
            return Serving(name, "")
        raise
    pending = seen.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
    return Serving(
        name,
        seen["EndpointStatus"],
        _version_of(client, seen.get("EndpointConfigName", "")),
        _version_of(client, pending),
        seen.get("FailureReason", ""),
        seen.get("LastModifiedTime"),
    )


def tried(connection: Connection, deployed: DeployedPattern) -> str:
    """ARN of the version that was last deployed to the endpoint of a pattern, whatever came of it.

    Returns:
        Empty if that is not known: nobody wrote it down, or the configuration is gone.
    """
    client = connection.client("sagemaker")
    arn = client.describe_endpoint(EndpointName=deployed.endpoint_name)["EndpointArn"]
    tags = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}
    return _version_of(client, tags.get(TRIED_TAG, ""))


def same_model(versions: Sequence[Version], first: str, second: str) -> bool:
    """Whether two versions are the same model: then there is nothing to deploy between them.

    Args:
        versions: All versions.
        first: ARN of one; empty for none.
        second: ARN of the other.
    """
    models = {one.arn: one.model for one in versions}
    return first == second or (first in models and models[first] == models.get(second))


def find_version(versions: Sequence[Version], given: str) -> Version:
    """The version that a person means.

    Args:
        versions: All versions.
        given: Its number or ARN.

    Raises:
        UserError: There is none.
    """
    for one in versions:
        if given in (str(one.number), one.arn):
            return one
    there = ", ".join(str(one.number) for one in versions) or "none yet"
    raise UserError(f"There is no version {given!r}", f"Versions: {there}")


def _accuracy(connection: Connection, package: Mapping[str, Any]) -> float | None:
    """From the evaluation that a version was registered with; only adds to the picture."""
    uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri")
    if not uri:
        return None
    try:
        place = Place.parse(uri)
        body = connection.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        value: Any = json.loads(body)
        for name in _ACCURACY:
            value = value[name]
    except (ClientError, UserError, ValueError, KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def _version_of(client: Any, config: str) -> str:
    if not config:
        return ""
    try:
        described = client.describe_endpoint_config(EndpointConfigName=config)
        tags = client.list_tags(ResourceArn=described["EndpointConfigArn"])["Tags"]
    except ClientError as error:
        if "Could not find" in error.response["Error"].get("Message", ""):  # removed meanwhile
            return ""
        raise
    return str({tag["Key"]: tag["Value"] for tag in tags}.get(VERSION_TAG, ""))


def _output(deployed: DeployedPattern, key: str) -> str:
    value = deployed.outputs.get(key)
    if not value:
        raise UserError(
            f"Stack {deployed.stack_name} has no output {key}; it is {deployed.stack_status}",
            "Wait until its deployment has ended; if it failed, correct the cause and deploy again.",
        )
    return value
