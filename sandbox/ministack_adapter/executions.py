"""Metrics of Step Functions executions, which ministack does not publish."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Any

from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params

NAMESPACE = "AWS/States"

# by status; what an execution's beginning and endings are counted as (Step Functions guide, metrics)
_COUNTED = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def publish_executions(stepfunctions: Any) -> None:
    """Count executions when they begin and end, and tell how long they took.

    Args:
        stepfunctions: ministack's service.
    """
    emit = stepfunctions._emit_execution_status_event

    @functools.wraps(emit)
    def emit_and_count(execution: Params) -> None:
        emit(execution)
        _count(execution)

    stepfunctions._emit_execution_status_event = emit_and_count


def _count(execution: Params) -> None:
    record = module("services.cloudwatch").record_metric
    by_machine = {"StateMachineArn": execution["stateMachineArn"]}
    name = _COUNTED.get(execution["status"])
    if name:
        record(NAMESPACE, name, 1, "Count", by_machine)
    if execution.get("stopDate"):
        took = _time(execution["stopDate"]) - _time(execution["startDate"])
        record(NAMESPACE, "ExecutionTime", took.total_seconds() * 1000, "Milliseconds", by_machine)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
