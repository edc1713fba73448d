"""Clients of AWS's services, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=5, read_timeout=60)


@cache
def client(service: str) -> Any:
    """A client of an AWS service; one for each execution environment.

    Args:
        service: For example ``sagemaker``.
    """
    return boto3.client(service, config=_CONFIG)


def pages(service: str, operation: str, member: str, **request: Any) -> Iterator[Any]:
    """The items of a list, over all its pages.

    Args:
        service: For example ``sagemaker``.
        operation: For example ``list_models``.
        member: Where an answer has the items.
        request: The operation's request.
    """
    for page in client(service).get_paginator(operation).paginate(**request):
        yield from page.get(member, [])


def tags_of(arn: str) -> dict[str, str]:
    """Tags of a SageMaker resource.

    Raises:
        ClientError: There is no such resource.
    """
    return {tag["Key"]: tag["Value"] for tag in pages("sagemaker", "list_tags", "Tags", ResourceArn=arn)}


def is_missing(error: ClientError) -> bool:
    """Whether what the call named is not there."""
    return _code(error) == "ResourceNotFound" or (
        _code(error) == "ValidationException" and _says(error, "could not find", "does not exist")
    )


def is_taken(error: ClientError) -> bool:
    """Whether there is one with that name already."""
    return _says(error, "already existing", "already exists")


def is_busy(error: ClientError) -> bool:
    """Whether the endpoint is being created, updated or deleted."""
    return _says(error, "in-progress endpoint")


def told(error: ClientError) -> str:
    """What AWS said, with the operation: for people."""
    return f"{error.operation_name}: {_code(error)}: {error.response['Error'].get('Message', '')}"


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _says(error: ClientError, *texts: str) -> bool:
    message = str(error.response["Error"].get("Message", "")).lower()
    return any(text in message for text in texts)
