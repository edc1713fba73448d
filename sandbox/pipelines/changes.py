"""What EventBridge is told of executions and steps.

Shapes: developer guide, "Automating Amazon SageMaker AI with Amazon EventBridge", pipeline execution and
step state change.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.events import EventPublisher
from sandbox.pipelines.records import Execution, StepRun
from sandbox.store import Params

EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"

_FINAL = {"Stopped", "Failed", "Succeeded"}


class Changes:
    """Sets statuses and tells of them.

    Args:
        events: Takes the events.
    """

    def __init__(self, events: EventPublisher) -> None:
        self._events = events

    def execution(self, execution: Execution, status: str, previous: str | None = None) -> None:
        """Give an execution a status.

        Args:
            execution: The execution.
            status: The new status.
            previous: The status before, if it is not the execution's own.
        """
        before = previous if previous is not None else execution.status
        execution.status, execution.modified_at = status, datetime.now(UTC)
        detail: Params = {
            "pipelineExecutionDescription": execution.description or "",
            "pipelineExecutionDisplayName": execution.display_name or "",
            "currentPipelineExecutionStatus": status,
            "previousPipelineExecutionStatus": before,
            "executionStartTime": _time(execution.created_at),
            "pipelineArn": execution.pipeline_arn,
            "pipelineExecutionArn": execution.arn,
        }
        if status in _FINAL:
            detail["executionEndTime"] = _time(execution.modified_at)
        if execution.failure_reason:
            detail["failureReason"] = execution.failure_reason
        self._events.publish_change(execution.scope, EXECUTION_CHANGE, execution.arn, detail)

    def step(self, execution: Execution, run: StepRun, status: str) -> None:
        """Give a step a status."""
        before, run.status = run.status, status
        if status in _FINAL:
            run.ended_at = datetime.now(UTC)
        kind = next(iter(run.metadata), "")
        detail: Params = {
            "metadata": {kind[:1].lower() + kind[1:]: _lowered(run.metadata[kind])} if kind else {},
            "stepStartTime": _time(run.started_at),
            "pipelineArn": execution.pipeline_arn,
            "pipelineExecutionArn": execution.arn,
            "stepName": run.name,
            "stepType": run.type,
            "previousStepStatus": before,
            "currentStepStatus": status,
        }
        if run.ended_at is not None:
            detail["stepEndTime"] = _time(run.ended_at)
        if run.failure_reason:
            detail["failureReason"] = run.failure_reason
        if run.cached_from:
            detail["cacheHitResult"] = {"sourcePipelineExecutionArn": run.cached_from}
        # of the execution, so that all its events come in order
        self._events.publish_change(execution.scope, STEP_CHANGE, execution.arn, detail)


def _lowered(members: Params) -> Params:
    return {name[:1].lower() + name[1:]: value for name, value in members.items()}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
