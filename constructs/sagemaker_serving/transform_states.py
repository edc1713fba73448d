"""The state machine of the batch workflow, in the Amazon States Language.

ARNs and names may be CDK tokens. Every state reads and writes one object, which Claim begins and
which the later states extend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .states_language import (
    TASK_FAILED,
    State,
    backoff,
    call,
    caught,
    distributed_map,
    integration,
    sdk,
)
from .transform import BatchTransform

WORKERS_FAILED = "States.ExceedToleratedFailureThreshold"
"""A child of a Distributed Map failed, and its retries did."""

THROTTLED = "SageMaker.SageMakerException"
"""Throttling is no modelled exception of SageMaker, so it comes under the service's own name."""

BUSY = "SageMaker.ResourceLimitExceededException"
"""The account runs as many instances as its quota allows."""

EVENTS_PER_POLL = 10
"""Events that one turn of the waiting loop writes into the execution's history: two of Wait, five of the
task, two of Choice, and one to spare for a retry."""

EVENTS_BESIDE_POLLS = 1000
"""Events kept for all other states; a Distributed Map writes its own into the histories of its children."""

MAX_HISTORY_EVENTS = 25_000
"""Events of one execution (Step Functions quotas)."""


@dataclass(frozen=True, kw_only=True)
class FunctionArns:
    """Who does the work.

    Args:
        claim: Takes objects and plans ranges.
        prepare: Checks the rows of a range.
        land: Brings the answers of a part into the sink.
        reconcile: Counts.
        release: Gives claims back.
    """

    claim: str
    prepare: str
    land: str
    reconcile: str
    release: str


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What the state machine is made of.

    Args:
        workflow_name: For people.
        functions: Who does the work.
        function_seconds: Longest timeout of these functions.
        transform: The job.
        model_name: What it runs.
        bucket_name: Where work and output folders are.
        key_arn: Encrypts the answers.
        failure_topic_arn: Who is told of a failure.
        poll_seconds: Pause between two looks at a job.
        timeout_seconds: Longest execution.
        prepare_concurrency: Ranges that are prepared at a time.
        land_concurrency: Parts that are landed at a time.
    """

    workflow_name: str
    functions: FunctionArns
    function_seconds: int
    transform: BatchTransform
    model_name: str
    bucket_name: str
    key_arn: str
    failure_topic_arn: str
    poll_seconds: int
    timeout_seconds: int
    prepare_concurrency: int
    land_concurrency: int


def definition(flow: Flow) -> State:
    """The state machine.

    Args:
        flow: What it is made of.
    """
    return {
        "Comment": f"{flow.workflow_name}: claim, prepare, transform, land, reconcile",
        "StartAt": "Request",
        "TimeoutSeconds": flow.timeout_seconds,
        "States": {
            **_claiming(flow),
            **_preparing(flow),
            **_transforming(flow),
            **_landing(flow),
            **_failing(flow),
        },
    }


def _claiming(flow: Flow) -> dict[str, State]:
    return {
        "Request": {
            "Comment": "What the input leaves out has a default; the execution is known by its ARN",
            "Type": "Pass",
            "Parameters": {
                "defaults": {"input": "", "force": False, "trigger": "manual"},
                "given.$": "$",
                "execution": {
                    "execution_arn.$": "$$.Execution.Id",
                    "execution_name.$": "$$.Execution.Name",
                    "started_at.$": "$$.Execution.StartTime",
                },
            },
            "Next": "Claim",
        },
        "Claim": {
            **call(
                flow.functions.claim,
                {
                    "Payload.$": "States.JsonMerge(States.JsonMerge($.defaults, $.given, false), "
                    "$.execution, false)"
                },
                seconds=flow.function_seconds,
            ),
            "ResultPath": "$.claimed",
            "Catch": caught("Explain"),
            "Next": "Claimed",
        },
        "Claimed": {"Type": "Pass", "InputPath": "$.claimed.Payload", "Next": "AnythingNew"},
        "AnythingNew": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.count", "NumericGreaterThan": 0, "Next": "Prepare"}],
            "Default": "NothingNew",
        },
        "NothingNew": {"Comment": "All of it was done before, or is being done", "Type": "Succeed"},
    }


def _preparing(flow: Flow) -> dict[str, State]:
    prepare = _ranges(
        flow,
        "Prepare",
        flow.functions.prepare,
        concurrency=flow.prepare_concurrency,
        selector={"job_name.$": "$.job_name", "range.$": "$$.Map.Item.Value"},
    )
    return {
        "Prepare": {**prepare, "Next": "Prepared"},
        "Prepared": {
            "Comment": "A transform job over nothing fails; so: is there a part that is fit for the model?",
            "Type": "Task",
            "Resource": sdk("s3:listObjectsV2"),
            "Parameters": {
                "Bucket": flow.bucket_name,
                "Prefix.$": "States.Format('work/{}/prepared/', $.job_name)",
                "MaxKeys": 1,
            },
            "ResultPath": "$.prepared",
            "TimeoutSeconds": 60,
            "Retry": [backoff(TASK_FAILED, attempts=6)],
            "Catch": caught("Release"),
            "Next": "AnythingFit",
        },
        "AnythingFit": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.prepared.Contents[0]", "IsPresent": True, "Next": "Transform"}],
            "Default": "TransformSkipped",
        },
        "TransformSkipped": {
            "Type": "Pass",
            "Parameters": _ending("Skipped", ""),
            "ResultPath": "$.transform",
            "Next": "Land",
        },
    }


def _transforming(flow: Flow) -> dict[str, State]:
    request = flow.transform.render(
        job_name="$.job_name",
        model_name=flow.model_name,
        input_uri="$.prepared_uri",
        output_uri="$.output_uri",
        key_arn=flow.key_arn,
    )
    literal = {name: request.pop(name) for name in ("DataProcessing", "Environment") if name in request}
    paths = frozenset({"$.job_name", "$.prepared_uri", "$.output_uri"})
    return {
        "Transform": {
            "Type": "Task",
            "Resource": sdk("sagemaker:createTransformJob"),
            "Parameters": {**_reading(request, paths), **literal},
            "ResultPath": None,
            "TimeoutSeconds": 60,
            "Retry": [
                backoff([BUSY], interval=60, attempts=10, longest=900),
                backoff([THROTTLED, "States.Timeout"], interval=2, attempts=8, longest=120),
            ],
            # an earlier attempt got through, and its answer did not: the name is this execution's own
            "Catch": [
                {
                    "ErrorEquals": ["SageMaker.ResourceInUseException"],
                    "ResultPath": None,
                    "Next": "TransformRuns",
                },
                *caught("Release"),
            ],
            "Next": "TransformRuns",
        },
        "TransformRuns": {"Type": "Wait", "Seconds": flow.poll_seconds, "Next": "LookAtTransform"},
        "LookAtTransform": {
            "Type": "Task",
            "Resource": sdk("sagemaker:describeTransformJob"),
            "Parameters": {"TransformJobName.$": "$.job_name"},
            "ResultPath": "$.described",
            "TimeoutSeconds": 60,
            "Retry": [backoff(TASK_FAILED, interval=2, attempts=8, longest=120)],
            "Catch": caught("StopTransform"),
            "Next": "HowIsTransform",
        },
        "HowIsTransform": {
            "Type": "Choice",
            "Choices": [
                {**_status("Completed"), "Next": "TransformCompleted"},
                {
                    "And": [
                        {"Or": [_status("Failed"), _status("Stopped")]},
                        {"Variable": "$.described.FailureReason", "IsPresent": True},
                    ],
                    "Next": "TransformFailed",
                },
                {"Or": [_status("Failed"), _status("Stopped")], "Next": "TransformStopped"},
            ],
            "Default": "TransformRuns",
        },
        **{
            name: {
                "Type": "Pass",
                "Parameters": _ending("$.described.TransformJobStatus", reason),
                "ResultPath": "$.transform",
                "Next": "Land",
            }
            for name, reason in (
                ("TransformCompleted", ""),
                ("TransformFailed", "$.described.FailureReason"),
                ("TransformStopped", "somebody stopped the transform job"),
            )
        },
    }


def _landing(flow: Flow) -> dict[str, State]:
    land = _ranges(
        flow,
        "Land",
        flow.functions.land,
        concurrency=flow.land_concurrency,
        selector={
            "job_name.$": "$.job_name",
            "range.$": "$$.Map.Item.Value",
            "started_at.$": "$.started_at",
        },
    )
    payload = {
        "job_name.$": "$.job_name",
        "transform": {
            "status.$": "$.transform.status",
            "failure_reason.$": "$.transform.failure_reason",
            "landings.$": "$.transform.landings",
        },
        "started_at.$": "$.started_at",
        "ended_at.$": "$.transform.ended_at",
    }
    return {
        "Land": {
            **land,
            "Comment": "Also after a failed job: what it has answered is landed, Reconcile tells the rest",
            "Next": "Reconcile",
        },
        "Reconcile": {
            **_call(flow, flow.functions.reconcile, payload),
            "ResultPath": "$.reconciled",
            "Catch": caught("Release"),
            "Next": "Counted",
        },
        "Counted": {
            "Comment": "Rows of one id, landed by two workers at the same time: once more tells them apart",
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.reconciled.Payload.recount", "BooleanEquals": True, "Next": "LandAgain"}
            ],
            "Default": "Reconciled",
        },
        "LandAgain": {
            "Type": "Pass",
            "Parameters": {
                "status.$": "$.transform.status",
                "failure_reason.$": "$.transform.failure_reason",
                "ended_at.$": "$.transform.ended_at",
                "landings.$": "States.MathAdd($.transform.landings, 1)",
            },
            "ResultPath": "$.transform",
            "Next": "Land",
        },
        "Reconciled": {
            "Comment": "The execution's output is the report",
            "Type": "Pass",
            "InputPath": "$.reconciled.Payload",
            "End": True,
        },
    }


def _failing(flow: Flow) -> dict[str, State]:
    release = {
        "job_name.$": "$.job_name",
        "error.$": "$.failure.Error",
        "cause.$": "$.failure.Cause",
    }
    return {
        "StopTransform": {
            "Comment": "Nobody waits for the job any more; one that has ended cannot be stopped",
            "Type": "Task",
            "Resource": sdk("sagemaker:stopTransformJob"),
            "Parameters": {"TransformJobName.$": "$.job_name"},
            "ResultPath": None,
            "TimeoutSeconds": 60,
            "Retry": [backoff([THROTTLED], attempts=4)],
            "Catch": caught("Release", result_path=None),
            "Next": "Release",
        },
        "Release": {
            **_call(flow, flow.functions.release, release),
            "ResultPath": None,
            # claims of an execution that is gone are taken over anyway
            "Catch": caught("Explain", result_path=None),
            "Next": "Explain",
        },
        "Explain": {
            "Comment": "A function's own words, if it had any",
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.failure.Cause", "IsPresent": False, "Next": "NoCause"},
                {"Variable": "$.failure.Error", "StringEquals": WORKERS_FAILED, "Next": "PointToWorkers"},
                {"Variable": "$.failure.Cause", "StringMatches": '{"errorMessage":*', "Next": "ReadCause"},
                {"Variable": "$.failure.Cause", "StringMatches": '{"errorMessage": *', "Next": "ReadCause"},
            ],
            "Default": "Notify",
        },
        "NoCause": {
            "Type": "Pass",
            "Parameters": {"Error.$": "$.failure.Error", "Cause": "see the execution's history"},
            "ResultPath": "$.failure",
            "Next": "Notify",
        },
        "PointToWorkers": {
            "Comment": "A map does not tell why its children failed",
            "Type": "Pass",
            "Parameters": {
                "Error.$": "$.failure.Error",
                "Cause.$": "States.Format('Workers failed on some ranges. Why is told by each failed child "
                "of the Map Run, and by the FAILED files below s3://{}/work/{}/map/', "
                f"'{flow.bucket_name}', $.job_name)",
            },
            "ResultPath": "$.failure",
            "Next": "Notify",
        },
        "ReadCause": {
            "Type": "Pass",
            "Parameters": {"raised.$": "States.StringToJson($.failure.Cause)"},
            "ResultPath": "$.read",
            "Next": "TakeCause",
        },
        "TakeCause": {
            "Type": "Pass",
            "Parameters": {"Error.$": "$.failure.Error", "Cause.$": "$.read.raised.errorMessage"},
            "ResultPath": "$.failure",
            "Next": "Notify",
        },
        "Notify": {
            "Type": "Task",
            "Resource": integration("sns:publish"),
            "Parameters": {
                "TopicArn": flow.failure_topic_arn,
                "Subject": f"Batch workflow {flow.workflow_name} failed"[:100],
                "Message": {
                    "workflow": flow.workflow_name,
                    "execution.$": "$$.Execution.Id",
                    "input.$": "$$.Execution.Input",
                    "error.$": "$.failure.Error",
                    "cause.$": "$.failure.Cause",
                },
            },
            "ResultPath": None,
            "TimeoutSeconds": 60,
            "Retry": [backoff(TASK_FAILED, attempts=6)],
            "Catch": caught("Failed", result_path=None),
            "Next": "Failed",
        },
        "Failed": {"Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.Cause"},
    }


def _call(flow: Flow, function_arn: str, payload: dict[str, Any]) -> State:
    return call(function_arn, {"Payload": payload}, seconds=flow.function_seconds)


def _ranges(flow: Flow, name: str, function_arn: str, *, concurrency: int, selector: dict[str, str]) -> State:
    """A worker for each range that Claim has planned."""
    return {
        **distributed_map(
            name,
            worker=call(function_arn, {"Payload.$": "$"}, seconds=flow.function_seconds),
            bucket_name=flow.bucket_name,
            items_key="States.Format('work/{}/ranges.json', $.job_name)",
            results_prefix=f"States.Format('work/{{}}/map/{name.lower()}', $.job_name)",
            concurrency=concurrency,
            selector=selector,
        ),
        "Catch": caught("Release"),
    }


def _status(status: str) -> State:
    return {"Variable": "$.described.TransformJobStatus", "StringEquals": status}


def _ending(status: str, reason: str) -> dict[str, Any]:
    """How the job ended; texts that begin with ``$.`` are read from the state."""
    return {
        "status.$" if status.startswith("$.") else "status": status,
        "failure_reason.$" if reason.startswith("$.") else "failure_reason": reason,
        "ended_at.$": "$$.State.EnteredTime",
        "landings": 1,
    }


def _reading(value: Any, paths: frozenset[str]) -> Any:
    """The same, with ``.$`` after the names of values that are paths into the state: a filter of the job
    looks like one, too, and is none."""
    if not isinstance(value, dict):
        return value
    return {
        f"{name}.$" if isinstance(item, str) and item in paths else name: _reading(item, paths)
        for name, item in value.items()
    }
