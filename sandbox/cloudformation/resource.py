"""What every resource type has: create, update, delete, tags, and how its names come about."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from sandbox.cloudformation.api import Api
from sandbox.errors import ServiceError
from sandbox.store import Params

T = TypeVar("T")

MAX_NAME = 63
"""Longest name of a model, endpoint configuration, endpoint or group (API_CreateEndpoint, EndpointName)."""


class Made(NamedTuple):
    """A resource as the stack knows it.

    Args:
        physical_id: What Ref gives.
        attributes: What Fn::GetAtt gives, by name.
    """

    physical_id: str
    attributes: dict[str, str]


class Resource(Protocol):
    """A resource type."""

    @property
    def type_name(self) -> str:
        """For example ``AWS::SageMaker::Model``."""

    @property
    def replaced_by(self) -> tuple[str, ...]:
        """Properties whose change makes a new resource (createOnlyProperties of the resource schema)."""

    @property
    def taggable(self) -> bool:
        """Whether it has a property Tags, which gets the stack's tags as well."""

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """Make it, and wait until it works.

        Raises:
            ServiceError: The API refuses it.
            ResourceFailed: It came to nothing; what there was of it has been deleted.
        """

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """Change it in place, and wait until it works.

        Raises:
            ServiceError: The API refuses it.
            ResourceFailed: The change came to nothing; the resource is as it was.
        """

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """Delete it and wait until it is gone; what is not there counts as deleted.

        Raises:
            ServiceError: The API refuses it.
            ResourceFailed: It does not go.
        """


def generated_name(stack: str, logical_id: str) -> str:
    """A legal name ``<stack>-<logical id>-<random>``, in lower case.

    Lower case because SageMaker's ARNs are: so the name can be read off the ARN, which is all that
    CloudFormation keeps of a resource.
    """
    random = secrets.token_hex(6)
    prefix = f"{stack}-{logical_id}".lower()[: MAX_NAME - len(random) - 1].rstrip("-")
    return f"{prefix}-{random}"


def name_in(arn: str) -> str:
    """The name at the end of an ARN."""
    return arn.rpartition("/")[2]


def change_tags(arn: str, old: Params, new: Params, api: Api) -> None:
    """Bring the tags of a SageMaker resource to what the template says."""
    before = {tag["Key"]: tag.get("Value", "") for tag in old.get("Tags") or []}
    after = {tag["Key"]: tag.get("Value", "") for tag in new.get("Tags") or []}
    dropped = sorted(before.keys() - after.keys())
    changed = [
        {"Key": key, "Value": value}
        for key, value in after.items()
        if key not in before or before[key] != value
    ]
    if dropped:
        api.sagemaker("DeleteTags", ResourceArn=arn, TagKeys=dropped)
    if changed:
        api.sagemaker("AddTags", ResourceArn=arn, Tags=changed)


def unless_gone(api: Api, work: Callable[[], Params]) -> Params | None:
    """The answer of an operation, None when what it asks for does not exist.

    Raises:
        ServiceError: Any other error.
    """
    try:
        return work()
    except ServiceError as error:
        if api.is_gone(error):
            return None
        raise


def wait_until(probe: Callable[[], T | None], *, limit: float, interval: float = 0.1) -> T | None:
    """Ask again and again until there is an answer.

    Args:
        probe: Gives None while there is none.
        limit: Real seconds to wait at most.
        interval: Real seconds between two questions.
    """
    deadline = time.monotonic() + limit
    while True:
        answer = probe()
        if answer is not None or time.monotonic() >= deadline:
            return answer
        time.sleep(interval)
