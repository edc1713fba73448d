"""Files go to S3, and requests for them into the endpoint's queue."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.exceptions import ClientError

from client.connection import Connection
from client.errors import UserError
from client.invocation import Target, explain_refusal
from client.patterns import DeployedPattern
from client.s3 import Place

# asynchronous inference takes 1 GB at most (developer guide, asynchronous inference)
MAX_BYTES = 1024**3
JSON_LINES = "application/jsonlines"

_BY_SUFFIX = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".json": "application/json",
    ".jsonl": JSON_LINES,
    ".csv": "text/csv",
    ".txt": "text/plain",
}
_OUTPUTS = ("InputUri", "SuccessQueueUrl", "ErrorQueueUrl")


@dataclass(frozen=True)
class Places:
    """Where the requests of an endpoint go, and where it tells about them.

    Args:
        endpoint_name: The endpoint.
        input_uri: Below which the model may read, ``s3://bucket/prefix/``.
        success_queue: URL of the queue with the notifications of answers.
        error_queue: URL of the queue with those of failures.
    """

    endpoint_name: str
    input_uri: str
    success_queue: str
    error_queue: str

    @classmethod
    def of(cls, deployed: DeployedPattern) -> Places:
        """From a stack's outputs.

        Raises:
            UserError: They name no endpoint, or not the places of an asynchronous one.
        """
        endpoint_name = deployed.endpoint_name
        missing = [name for name in _OUTPUTS if not deployed.outputs.get(name)]
        if missing:
            raise UserError(
                f"Stack {deployed.stack_name} has no asynchronous endpoint: it lacks the outputs "
                + ", ".join(missing),
                "Use a stack of the pattern async; for the others there is `invoke`.",
            )
        return cls(endpoint_name, *(deployed.outputs[name] for name in _OUTPUTS))


@dataclass(frozen=True)
class Request:
    """A request that the endpoint accepted.

    Args:
        inference_id: Its InferenceId.
        file: What was sent.
        input_uri: Where that lies in S3.
        output_uri: Where the answer will lie.
        failure_uri: Where, instead of it, the reason for a failure will lie; empty if nowhere.
    """

    inference_id: str
    file: Path
    input_uri: str
    output_uri: str
    failure_uri: str


def check_files(files: Sequence[Path]) -> None:
    """Refuse files that cannot be sent, all at once.

    Raises:
        UserError: A file cannot be read, is empty, or larger than 1 GB.
    """
    findings = []
    for file in files:
        try:
            with file.open("rb"):
                size = file.stat().st_size
        except OSError as error:
            findings.append(f"{file} cannot be read: {error.strerror}")
            continue
        if size == 0:
            findings.append(f"{file} is empty")
        elif size > MAX_BYTES:
            findings.append(
                f"{file} holds {size:,} bytes; asynchronous inference takes {MAX_BYTES:,} at most"
            )
    if findings:
        raise UserError("; ".join(findings), "Nothing was sent.")


def content_type_of(file: Path) -> str:
    """The media type that a file's suffix says; ``application/octet-stream`` for one that says nothing."""
    return _BY_SUFFIX.get(file.suffix.lower(), "application/octet-stream")


def send(
    connection: Connection,
    places: Places,
    file: Path,
    *,
    content_type: str | None = None,
    accept: str | None = JSON_LINES,
) -> Request:
    """Upload a file and call InvokeEndpointAsync for it.

    Args:
        connection: Where to.
        places: Of the endpoint.
        file: What to send.
        content_type: Its media type; by default what the suffix says.
        accept: Media type wanted back; None leaves the choice to the model.

    Raises:
        UserError: It cannot be uploaded, or the endpoint refuses the request.
        botocore.exceptions.BotoCoreError: No answer.
    """
    inference_id = str(uuid.uuid4())
    kind = content_type or content_type_of(file)
    # other characters would have to be escaped in InputLocation
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name)[-200:]
    input_uri = f"{places.input_uri.rstrip('/')}/{inference_id}/{name}"
    place = Place.parse(input_uri)
    try:
        connection.client("s3").upload_file(
            str(file), place.bucket, place.key, ExtraArgs={"ContentType": kind}
        )
    except (S3UploadFailedError, Boto3Error, OSError) as error:
        raise UserError(f"{file} cannot be uploaded to {input_uri}: {error}") from error
    try:
        answer = connection.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=places.endpoint_name,
            InputLocation=input_uri,
            ContentType=kind,
            InferenceId=inference_id,
            **({"Accept": accept} if accept else {}),
        )
    except ClientError as error:
        raise explain_refusal(error, Target(places.endpoint_name)) from error
    return Request(
        inference_id=answer.get("InferenceId") or inference_id,
        file=file,
        input_uri=input_uri,
        output_uri=answer["OutputLocation"],
        failure_uri=answer.get("FailureLocation") or "",
    )
