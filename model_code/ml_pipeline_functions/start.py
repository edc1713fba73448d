"""Start: an execution of the pipeline for data that have arrived, once for the same data."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import executions
from aws import client, told
from botocore.exceptions import ClientError
from raw_data import MARKER, folder_of_marker, newest_folder
from report import log

CREATED = "Object Created"

_LOOK_BACK = 100  # executions
_MAX_NAME = 82  # PipelineExecutionDisplayName
_MAX_VALUE = 256  # ParameterValue
_GOES_ON = frozenset({"Executing", "Stopping"})


class Status(StrEnum):
    """What came of a call."""

    STARTED = "Started"
    ALREADY_DONE = "AlreadyDone"
    """An execution with these data goes on, or has succeeded since the pipeline was changed last."""
    IGNORED = "Ignored"
    """The object is no marker of this bucket's raw data."""


class StartError(Exception):
    """No execution can be started; the message says why."""


@dataclass(frozen=True)
class _Outcome:
    status: Status
    message: str
    data: str = ""
    execution: str = ""


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Start an execution, unless there is one for the same data.

    Args:
        event: ``{"trigger": "schedule"}``, for the folder with the newest data; or EventBridge's event of a
            marker that was written into a folder.
        context: Not used.

    Returns:
        ``status`` (see `Status`), ``execution``, ``input_data`` and ``message``; all texts.

    Raises:
        StartError: There are no data, or SageMaker refused.
        ValueError: The event is neither.
    """
    trigger = "schedule" if event.get("trigger") == "schedule" else str(event.get("detail-type", ""))
    try:
        outcome = _outcome(event, trigger)
    except ClientError as error:
        message = f"The pipeline {os.environ['PIPELINE_NAME']} cannot be started. {told(error)}"
        log(trigger=trigger, status="Error", message=message)
        raise StartError(message) from None
    except Exception as error:
        log(trigger=trigger, status="Error", message=str(error))
        raise
    answer = {
        "status": str(outcome.status),
        "execution": outcome.execution,
        "input_data": outcome.data,
        "message": outcome.message,
    }
    log(trigger=trigger, **answer)
    return answer


def _outcome(event: Mapping[str, Any], trigger: str) -> _Outcome:
    bucket, prefix = os.environ["BUCKET"], os.environ["RAW_PREFIX"]
    if trigger == "schedule":
        folder = newest_folder(bucket, prefix)
        if not folder:
            raise StartError(
                f"There are no data: s3://{bucket}/{prefix} has no folder with an object in it. Upload a "
                f"folder of reviews there, and an empty object {MARKER} into it at last."
            )
        return _start(folder, "schedule")
    if trigger != CREATED:
        raise ValueError(
            f"The event has {', '.join(sorted(event)) or 'nothing'}. Give "
            f'{{"trigger": "schedule"}}, or EventBridge\'s event "{CREATED}" of a bucket.'
        )
    place, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    folder = folder_of_marker(key, prefix) if place == bucket else ""
    if not folder:
        wanted = f"s3://{bucket}/{prefix}<folder>/{MARKER}"
        return _Outcome(Status.IGNORED, f"s3://{place}/{key} is not {wanted}.")
    return _start(folder, "data")


def _start(folder: str, trigger: str) -> _Outcome:
    if len(folder) > _MAX_VALUE:
        raise StartError(
            f"The folder {folder[:40]}... has {len(folder)} characters; a parameter of a pipeline has "
            f"{_MAX_VALUE} at most. Give it a shorter name."
        )
    pipeline = executions.describe(os.environ["PIPELINE_NAME"])
    listed = list(islice(executions.newest_first(pipeline["PipelineName"]), _LOOK_BACK))
    if known := _done(folder, pipeline, listed):
        message = (
            f"It is {known['PipelineExecutionStatus']} for {folder}; the pipeline has not changed since."
        )
        return _Outcome(Status.ALREADY_DONE, message, folder, known["PipelineExecutionArn"])
    request = {
        "PipelineName": pipeline["PipelineName"],
        "PipelineExecutionDisplayName": _display_name(trigger, folder),
        "PipelineParameters": [{"Name": executions.DATA_PARAMETER, "Value": folder}],
        "ClientRequestToken": _token(folder, pipeline, listed),
    }
    try:
        started = client("sagemaker").start_pipeline_execution(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConflictException":
            raise
        # the token is known: another trigger was faster by a moment
        return _Outcome(Status.ALREADY_DONE, f"It was started for {folder} a moment ago.", folder)
    return _Outcome(Status.STARTED, f"It reads {folder}.", folder, started["PipelineExecutionArn"])


def _done(
    folder: str, pipeline: Mapping[str, Any], listed: list[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The execution that makes another one needless."""
    default = executions.default_data(pipeline["PipelineDefinition"])
    for found in listed:
        status = found["PipelineExecutionStatus"]
        succeeded = status == "Succeeded" and found["StartTime"] >= pipeline["LastModifiedTime"]
        if (succeeded or status in _GOES_ON) and (
            executions.input_data(found["PipelineExecutionArn"], default) == folder
        ):
            return found
    return None


def _token(folder: str, pipeline: Mapping[str, Any], listed: list[Mapping[str, Any]]) -> str:
    """The same for two calls at the same moment, and another one as soon as something was started."""
    latest = listed[0]["PipelineExecutionArn"] if listed else ""
    content = [pipeline["PipelineArn"], pipeline["LastModifiedTime"].isoformat(), folder, latest]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _display_name(trigger: str, folder: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", f"{trigger}-{folder}")[:_MAX_NAME].strip("-")
