"""Puts files into a workflow's input folder, and starts it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.exceptions import ClientError

from client.batch.files import RowsFile
from client.batch.places import Workflow
from client.connection import Connection
from client.errors import UserError
from client.s3 import Place


@dataclass(frozen=True)
class Execution:
    """A started execution.

    Args:
        arn: Its ARN.
        input: The object or folder that it works on.
    """

    arn: str
    input: str

    @property
    def name(self) -> str:
        """What people see."""
        return self.arn.rsplit(":", 1)[-1]


def upload(
    connection: Connection, workflow: Workflow, file: RowsFile, on_bytes: Callable[[int], None]
) -> Place:
    """Put a file into the input folder; one that is there already is left alone.

    Args:
        connection: Where to.
        workflow: Whose folder.
        file: The file.
        on_bytes: Called with the bytes of each piece that was sent.

    Raises:
        UserError: It cannot be uploaded.
    """
    place = workflow.input / file.upload_name
    client = connection.client("s3")
    try:
        # the same content has the same name; sending it again would only make a new version of it
        client.head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"404", "NoSuchKey", "NotFound", "403"}:
            raise
    else:
        return place
    try:
        client.upload_file(str(file.path), place.bucket, place.key, Callback=on_bytes)
    except (S3UploadFailedError, Boto3Error, OSError) as error:
        raise UserError(f"{file.path} cannot be uploaded to {place}: {error}") from error
    return place


def start(connection: Connection, workflow: Workflow, uri: str, *, force: bool = False) -> Execution:
    """Start the workflow.

    Args:
        connection: Where.
        workflow: Which one.
        uri: An object, a folder that ends in a slash, or a manifest, in S3.
        force: Whether to score anew what was scored before.
    """
    name = f"client-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    answer = connection.client("stepfunctions").start_execution(
        stateMachineArn=workflow.state_machine_arn,
        name=name,
        input=json.dumps({"input": uri, "force": force, "trigger": "manual"}),
    )
    return Execution(answer["executionArn"], uri)
