"""Accuracy: a metric of every evaluation, and how much worse it is than the one before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from itertools import dropwhile, islice
from typing import Any

import executions
from aws import client, is_missing, told
from botocore.exceptions import ClientError
from report import log

STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"
STEP, OUTPUT, FILE = "Evaluate", "evaluation", "evaluation.json"
PATH = ("binary_classification_metrics", "accuracy", "value")
"""Where the report has it: the same that the pipeline's condition reads."""

_LOOK_BACK = 20  # executions
# who may not list a bucket is told AccessDenied of objects that are not there (API_GetObject)
_NO_OBJECT = frozenset({"NoSuchKey", "404", "AccessDenied"})


class AccuracyError(Exception):
    """There is no accuracy to tell; the message says why."""


class _Ignored(Exception):
    """The event is about something else."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Publish ``Accuracy``, and ``AccuracyDrop`` when an earlier execution was evaluated.

    Args:
        event: EventBridge's event of a step that has succeeded.
        context: Not used.

    Returns:
        ``status``: ``Published`` or ``Ignored``; ``accuracy``, ``drop`` (earlier minus now, from -1 to 1;
        None if there is no earlier one), ``execution`` and ``message``.

    Raises:
        AccuracyError: The report is not there, or has no accuracy.
    """
    answer: dict[str, Any] = {"status": "Ignored", "accuracy": None, "drop": None, "execution": ""}
    try:
        answer = _published(event)
    except _Ignored as ignored:
        answer["message"] = str(ignored)
    except Exception as error:
        message = told(error) if isinstance(error, ClientError) else str(error)
        log(trigger=str(event.get("detail-type", "")), status="Error", message=message)
        if isinstance(error, ClientError):
            raise AccuracyError(message) from None
        raise
    log(trigger=str(event.get("detail-type", "")), **answer)
    return answer


def _published(event: Mapping[str, Any]) -> dict[str, Any]:
    detail = _detail(event)
    pipeline, execution = os.environ["PIPELINE_NAME"], detail["pipelineExecutionArn"]
    evaluated = executions.step(execution, STEP)
    accuracy = _accuracy(evaluated) if evaluated else None
    if accuracy is None:
        raise AccuracyError(
            f"The step {STEP} of {execution} left no {FILE} in its output {OUTPUT} that can be read: it was "
            "removed, evaluate.py was changed, or this function may not read it."
        )
    earlier = _earlier(pipeline, execution)
    values = {"Accuracy": accuracy}
    if earlier is not None:
        values["AccuracyDrop"] = earlier - accuracy
    ended = detail.get("stepEndTime")
    when = datetime.fromisoformat(ended) if ended else (evaluated or {})["EndTime"]
    client("cloudwatch").put_metric_data(
        Namespace=os.environ["METRICS_NAMESPACE"],
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Pipeline", "Value": pipeline}],
                "Timestamp": when,
                "Value": value,
                "Unit": "None",
            }
            for name, value in values.items()
        ],
    )
    before = "the first one" if earlier is None else f"{earlier:.4f} before"
    return {
        "status": "Published",
        "accuracy": accuracy,
        "drop": values.get("AccuracyDrop"),
        "execution": execution,
        "message": f"Accuracy is {accuracy:.4f}, {before}.",
    }


def _detail(event: Mapping[str, Any]) -> Mapping[str, Any]:
    detail: Mapping[str, Any] = event.get("detail", {})
    name = str(detail.get("pipelineArn", "")).rpartition("/")[2]
    if event.get("detail-type") != STEP_CHANGE or name.lower() != os.environ["PIPELINE_NAME"].lower():
        raise _Ignored(f"It is no step of the pipeline {os.environ['PIPELINE_NAME']}.")
    if detail["stepName"] != STEP or detail["currentStepStatus"] != "Succeeded":
        raise _Ignored(f"The step {detail['stepName']} is {detail['currentStepStatus']}.")
    return detail


def _earlier(pipeline: str, execution: str) -> float | None:
    """The accuracy of the latest execution before this one that was evaluated."""
    since = dropwhile(
        lambda found: found["PipelineExecutionArn"] != execution, executions.newest_first(pipeline)
    )
    for found in islice(since, 1, 1 + _LOOK_BACK):
        evaluated = executions.step(found["PipelineExecutionArn"], STEP)
        if evaluated and evaluated["StepStatus"] == "Succeeded":
            accuracy = _accuracy(evaluated)
            if accuracy is not None:
                return accuracy
    return None


def _accuracy(evaluated: Mapping[str, Any]) -> float | None:
    """What a step's report says; None if there is none."""
    place = _report(_job(evaluated))
    if place is None:
        return None
    bucket, _, key = place.removeprefix("s3://").partition("/")
    try:
        body = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in _NO_OBJECT:
            return None
        raise
    return _read(body, place)


def _read(body: bytes, place: str) -> float:
    try:
        value = json.loads(body)
        for name in PATH:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise AccuracyError(f"{place} has no number from 0 to 1 at {'.'.join(PATH)}")
    return float(value)


def _job(evaluated: Mapping[str, Any]) -> str:
    """Name of the processing job that a step ran, or took over from an earlier execution."""
    arn = evaluated.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
    source = evaluated.get("CacheHitResult", {}).get("SourcePipelineExecutionArn")
    if not arn and source:
        taken = executions.step(source, STEP) or {}
        arn = taken.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
    return str(arn).rpartition("/")[2]


def _report(job: str) -> str | None:
    if not job:
        return None
    try:
        described = client("sagemaker").describe_processing_job(ProcessingJobName=job)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    for output in described.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if output["OutputName"] == OUTPUT:
            return f"{output['S3Output']['S3Uri'].rstrip('/')}/{FILE}"
    return None
