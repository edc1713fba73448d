"""Puts raw data where the pipeline reads them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from boto3.exceptions import Boto3Error, S3UploadFailedError

from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern
from client.pipeline.executions import latest_executions, pipeline_name
from client.s3 import Place

DATA_PARAMETER = "InputData"
"""The pipeline's parameter that names a folder of raw data."""

MARKER = "_SUCCESS"
"""Says that a folder is complete."""

_SUFFIXES = (".txt", ".tsv")  # what preprocess.py reads
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=/-]*[A-Za-z0-9]|[A-Za-z0-9]")
_LOOK_SECONDS_SANDBOX, _LOOK_SECONDS_AWS = 0.2, 2.0
# from the marker to the execution: S3 tells EventBridge, EventBridge the function that starts
_PATIENCE_SECONDS_SANDBOX, _PATIENCE_SECONDS_AWS = 5.0, 30.0
_LONGEST_FOLDER = 200  # with hyperparameters it becomes a part of keys of at most 1,024 bytes


def check(files: Sequence[Path], folder: str) -> None:
    """Refuse what the pipeline could not read.

    Raises:
        UserError: Everything that is wrong, at once.
    """
    wrong = []
    if len(folder) > _LONGEST_FOLDER or not _FOLDER.fullmatch(folder) or "//" in folder:
        wrong.append(
            f"--folder {folder!r}: 1 to {_LONGEST_FOLDER} letters, digits and ._=-, with / between parts, "
            "for example reviews/2026-11"
        )
    names: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            wrong.append(f"{file} is not a file")
        elif file.suffix not in _SUFFIXES:
            wrong.append(
                f"{file}: the pipeline reads {' and '.join(_SUFFIXES)}: id, document, label, tab-separated"
            )
        elif names.setdefault(file.name, file) is not file:
            wrong.append(f"{file} and {names[file.name]} have the same name")
    if wrong:
        raise UserError("Nothing was sent", "\n".join(wrong))


def send(
    connection: Connection,
    deployed: DeployedPattern,
    files: Sequence[Path],
    folder: str,
    *,
    add: bool,
    marker: bool,
    on_bytes: Callable[[int], None],
) -> Place:
    """Put files into a folder of raw data, and then the marker.

    Args:
        connection: Where.
        deployed: The pattern.
        files: What `check` has passed.
        folder: The folder.
        add: Whether the folder may have data already.
        marker: Whether the folder is complete then.
        on_bytes: Called with the bytes of each piece that was sent.

    Returns:
        The folder.

    Raises:
        UserError: The folder has data, or they cannot be sent.
    """
    place = Place.parse(deployed.outputs.get("RawDataUri", "")) / f"{folder}/"
    client = connection.client("s3")
    there = client.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=5).get("Contents", [])
    if there and not add:
        names = ", ".join(one["Key"].removeprefix(place.key) for one in there)
        raise UserError(
            f"{place} has data already: {names}",
            "What was made of a folder comes from the cache, whatever is in it now: give new data a folder "
            "of their own. --add sends them all the same.",
        )
    for file in files:
        target = place / file.name
        try:
            client.upload_file(str(file), target.bucket, target.key, Callback=on_bytes)
        except (S3UploadFailedError, Boto3Error, OSError) as error:
            raise UserError(f"{file} cannot be sent to {target}: {error}") from error
    if marker:
        client.put_object(Bucket=place.bucket, Key=f"{place.key}{MARKER}", Body=b"")
    return place


def started_by_itself(
    connection: Connection, deployed: DeployedPattern, folder: str, before: Sequence[str]
) -> str | None:
    """Wait a moment for the execution that a marker starts.

    Args:
        connection: Where.
        deployed: The pattern.
        folder: The folder with the marker.
        before: ARNs of the latest executions before the marker was written.

    Returns:
        Its ARN; None if none has started within 5 s in the sandbox, 30 s on AWS.
    """
    local = connection.is_sandbox
    until = time.monotonic() + (_PATIENCE_SECONDS_SANDBOX if local else _PATIENCE_SECONDS_AWS)
    while True:
        for arn in latest_executions(connection, pipeline_name(deployed)):
            if arn not in before and _reads(connection, arn, folder):
                return arn
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK_SECONDS_SANDBOX if local else _LOOK_SECONDS_AWS)


def _reads(connection: Connection, arn: str, folder: str) -> bool:
    client = connection.client("sagemaker")
    pages = client.get_paginator("list_pipeline_parameters_for_execution").paginate(PipelineExecutionArn=arn)
    return any(
        one["Name"] == DATA_PARAMETER and one["Value"] == folder
        for page in pages
        for one in page["PipelineParameters"]
    )
