"""Parts that the states of a workflow are made of: calls, retries, catches, maps (Amazon States Language)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk

State = dict[str, Any]

FUNCTION_OVERHEAD_SECONDS = 30
"""What a call may take beyond the function's own timeout: a cold start, and the way."""

LAMBDA_ERRORS = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
"""What the way to a function can end in: nothing was done, or it can be done again."""

FUNCTION_DIED = ("Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout")
"""A function that was killed, or ran out of memory or time."""

TASK_FAILED = ("States.TaskFailed", "States.Timeout")
"""Whatever a call of an API ended in."""


def integration(name: str) -> str:
    """The resource of a service integration.

    Args:
        name: For example ``lambda:invoke``.
    """
    return f"arn:{cdk.Aws.PARTITION}:states:::{name}"


def sdk(action: str) -> str:
    """The resource of a call of any API.

    Args:
        action: For example ``sagemaker:createTransformJob``.
    """
    return integration(f"aws-sdk:{action}")


def backoff(errors: Sequence[str], *, attempts: int, interval: int = 1, longest: int = 60) -> State:
    """A retry that waits twice as long after each attempt, and only a random share of that: children that
    failed together do not come back together (full jitter).

    Args:
        errors: Which errors.
        attempts: How often.
        interval: First wait, in seconds. Default 1.
        longest: Longest wait, in seconds. Default 60.
    """
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": interval,
        "BackoffRate": 2,
        "MaxAttempts": attempts,
        "MaxDelaySeconds": longest,
        "JitterStrategy": "FULL",
    }


def caught(next_state: str, *, result_path: str | None = "$.failure") -> list[State]:
    """Whatever was not retried, or was retried in vain, leads to another state.

    Args:
        next_state: Its name.
        result_path: Where error and cause are written; None for nowhere.
    """
    return [{"ErrorEquals": ["States.ALL"], "ResultPath": result_path, "Next": next_state}]


def call(function_arn: str, payload: Mapping[str, Any], *, seconds: int) -> State:
    """A call of a function that may be called again; its answer is ``Payload`` of the result.

    Args:
        function_arn: The function.
        payload: ``Payload`` or ``Payload.$``, and what it is.
        seconds: The function's timeout.
    """
    return {
        "Type": "Task",
        "Resource": integration("lambda:invoke"),
        "Parameters": {"FunctionName": function_arn, **payload},
        "ResultSelector": {"Payload.$": "$.Payload"},
        "TimeoutSeconds": seconds + FUNCTION_OVERHEAD_SECONDS,
        "Retry": [backoff(LAMBDA_ERRORS, attempts=8), backoff(FUNCTION_DIED, interval=5, attempts=2)],
    }


def distributed_map(
    name: str,
    *,
    worker: State,
    bucket_name: str,
    items_key: str,
    results_prefix: str,
    concurrency: int,
    selector: Mapping[str, str],
) -> State:
    """A map over a JSON list in S3: a child execution for each item.

    Not an inline map: the list may be larger than a state (256 KB), and all items share one history of 25,000
    events there.

    Args:
        name: Labels the children.
        worker: The one state of a child; may be repeated whatever it ended in.
        bucket_name: Where list and results are.
        items_key: The list; an intrinsic function or a path.
        results_prefix: Where the children's results go; the same. A list of them would outgrow a state, too.
        concurrency: Children at a time.
        selector: What a child gets.
    """
    state_name = f"{name}Range"
    return {
        "Type": "Map",
        "Label": name,
        "ItemReader": {
            "Resource": integration("s3:getObject"),
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": bucket_name, "Key.$": items_key},
        },
        "ItemSelector": dict(selector),
        "MaxConcurrency": concurrency,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": state_name,
            "States": {
                state_name: {
                    **worker,
                    "OutputPath": "$.Payload",
                    "Retry": [
                        backoff(LAMBDA_ERRORS, attempts=8),
                        backoff(["States.ALL"], interval=5, attempts=3),
                    ],
                    "End": True,
                }
            },
        },
        "ResultWriter": {
            "Resource": integration("s3:putObject"),
            "Parameters": {"Bucket": bucket_name, "Prefix.$": results_prefix},
            "WriterConfig": {"OutputType": "JSONL", "Transformation": "COMPACT"},
        },
        "ResultPath": None,
        "Retry": [backoff(["States.ItemReaderFailed", "States.ResultWriterFailed"], attempts=3)],
    }
