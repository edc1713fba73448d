"""What EventBridge and CloudWatch are told of executions and steps.

Shapes: developer guide, "Automating Amazon SageMaker AI with Amazon EventBridge", pipeline execution and
step state change. Metrics: "Amazon SageMaker AI metrics in Amazon CloudWatch", SageMaker pipelines metrics.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.events import EventPublisher
from sandbox.metrics import Dimensions, MetricPublisher
from sandbox.pipelines.records import EXECUTING, FAILED, STARTING, STOPPED, SUCCEEDED, Execution, StepRun
from sandbox.store import Params

EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"

NAMESPACE = "AWS/Sagemaker/ModelBuildingPipeline"

_FINAL = {STOPPED, FAILED, SUCCEEDED}


class Changes:
    """Sets statuses and tells of them.

    Args:
        events: Takes the events.
        metrics: Takes the metrics.
    """

    def __init__(self, events: EventPublisher, metrics: MetricPublisher) -> None:
        self._events = events
        self._metrics = metrics

    def execution(self, execution: Execution, status: str, previous: str | None = None) -> None:
        """Give an execution a status.

        Args:
            execution: The execution.
            status: The new status.
            previous: The status before, if it is not the execution's own.
        """
        before = previous if previous is not None else execution.status
        execution.status, execution.modified_at = status, datetime.now(UTC)
        self._count_execution(execution)
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
        self._count_step(execution, run, before)
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

    def _count_execution(self, execution: Execution) -> None:
        by_pipeline: Dimensions = (("PipelineName", execution.pipeline_name),)
        names: list[tuple[str, str, float]] = []
        if execution.status == EXECUTING:
            execution.started_at = execution.modified_at
            names = [("ExecutionStarted", "Count", 1.0)]
        elif execution.status in _FINAL:
            took = _milliseconds(execution.started_at, execution.modified_at)
            names = [
                (f"Execution{execution.status}", "Count", 1.0),
                ("ExecutionDuration", "Milliseconds", took),
            ]
        for name, unit, value in names:
            # the second is of all pipelines of the account
            for dimensions in (by_pipeline, ()):
                self._metrics.record(execution.scope, NAMESPACE, name, unit, value, dimensions)

    def _count_step(self, execution: Execution, run: StepRun, before: str) -> None:
        dimensions = (("PipelineName", execution.pipeline_name), ("StepName", run.name))
        record = self._metrics.record
        if before == STARTING:  # once, however often it is tried
            record(execution.scope, NAMESPACE, "StepStarted", "Count", 1.0, dimensions)
        if run.ended_at is not None:
            took = _milliseconds(run.started_at, run.ended_at)
            record(execution.scope, NAMESPACE, f"Step{run.status}", "Count", 1.0, dimensions)
            record(execution.scope, NAMESPACE, "StepDuration", "Milliseconds", took, dimensions)


def _milliseconds(start: datetime, end: datetime) -> float:
    return float(round((end - start).total_seconds() * 1000))


def _lowered(members: Params) -> Params:
    return {name[:1].lower() + name[1:]: value for name, value in members.items()}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
