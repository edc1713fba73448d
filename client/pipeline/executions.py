"""Executions of a deployed pipeline: found, started, and how far their steps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from client.commands import client_command
from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern
from client.pipeline.definition import Definition

SUCCEEDED, FAILED, STOPPED = "Succeeded", "Failed", "Stopped"
WAITING, NOT_TAKEN, NOT_REACHED = "Waiting", "Not taken", "Not reached"
"""What steps are called here that the API does not list: it lists those that were started."""
_ENDED = {SUCCEEDED, FAILED, STOPPED}
_SHOWN = 5


@dataclass(frozen=True)
class StepState:
    """How far a step is.

    Args:
        name: Its name.
        type: Its type in the definition.
        status: API ``StepStatus``, or `WAITING`, `NOT_TAKEN`, `NOT_REACHED`.
        seconds: How long it took, or has taken so far; None if it was not started.
        attempts: How often it was tried; 0 if it was not started.
        cached_from: ARN of the execution whose result it took over; empty if it did the work itself.
        reason: Why it failed.
        outcome: What a condition step came to; None for others, and before it is known.
        registered: ARN of the model version that it registered; empty for none.
    """

    name: str
    type: str
    status: str
    seconds: float | None = None
    attempts: int = 0
    cached_from: str = ""
    reason: str = ""
    outcome: bool | None = None
    registered: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "name": self.name,
            "type": self.type,
            "status": self.status,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "attempts": self.attempts,
            "cached_from": self.cached_from or None,
            "reason": self.reason or None,
            "outcome": self.outcome,
        }


@dataclass(frozen=True)
class ExecutionState:
    """How far an execution is.

    Args:
        arn: Which one.
        status: API ``PipelineExecutionStatus``.
        seconds: How long it took, or has taken so far.
        reason: Why it failed.
        steps: All steps of its definition, each after those that it waits for.
    """

    arn: str
    status: str
    seconds: float
    reason: str
    steps: tuple[StepState, ...]

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more, unless somebody retries it."""
        return self.status in _ENDED

    @property
    def registered(self) -> list[str]:
        """ARNs of the model versions that it registered."""
        return [step.registered for step in self.steps if step.registered]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "execution": self.arn,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "reason": self.reason or None,
            "registered": self.registered,
            "steps": [step.as_dict() for step in self.steps],
        }


def pipeline_name(deployed: DeployedPattern) -> str:
    """Name of the pipeline that a stack made.

    Raises:
        UserError: The stack names none.
    """
    name = deployed.outputs.get("PipelineName")
    if not name:
        raise UserError(
            f"Stack {deployed.stack_name} names no pipeline in its outputs; it is {deployed.stack_status}",
            "Wait until its deployment has ended; if it failed, correct the cause and deploy again.",
        )
    return name


def pipeline_definition(connection: Connection, pipeline: str) -> Definition:
    """What the pipeline does when it is started now."""
    answer = connection.client("sagemaker").describe_pipeline(PipelineName=pipeline)
    return Definition.parse(answer["PipelineDefinition"])


def execution_definition(connection: Connection, arn: str) -> Definition:
    """What an execution does; the pipeline may have changed since."""
    answer = connection.client("sagemaker").describe_pipeline_definition_for_execution(
        PipelineExecutionArn=arn
    )
    return Definition.parse(answer["PipelineDefinition"])


def start(connection: Connection, pipeline: str, values: Mapping[str, str]) -> str:
    """Start an execution with values that were checked; gives its ARN."""
    answer = connection.client("sagemaker").start_pipeline_execution(
        PipelineName=pipeline,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in values.items()],
    )
    return str(answer["PipelineExecutionArn"])


def find_execution(connection: Connection, pipeline: str, wanted: str | None) -> str:
    """ARN of an execution.

    Args:
        connection: Where.
        pipeline: Name of the pipeline.
        wanted: Its ARN, or the last part of it; None for the latest.

    Raises:
        UserError: There is no such execution.
    """
    client = connection.client("sagemaker")
    if wanted:
        arn = wanted
        if not wanted.startswith("arn:"):
            arn = f"{client.describe_pipeline(PipelineName=pipeline)['PipelineArn']}/execution/{wanted}"
        try:
            client.describe_pipeline_execution(PipelineExecutionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ResourceNotFound", "ValidationException"):
                raise
            latest = (
                ", ".join(one.rpartition("/")[2] for one in latest_executions(connection, pipeline)) or "none"
            )
            raise UserError(
                f"Pipeline {pipeline} has no execution {wanted!r}", f"The latest are: {latest}"
            ) from error
        return arn
    for arn in latest_executions(connection, pipeline):
        return arn
    raise UserError(
        f"Pipeline {pipeline} was never started",
        f"Start it: {client_command('pipeline start', in_sandbox=connection.is_sandbox)}",
    )


def execution_state(connection: Connection, arn: str, definition: Definition) -> ExecutionState:
    """How far an execution and each of its steps are."""
    client = connection.client("sagemaker")
    # first the whole, then the steps: once it has ended, they have
    whole = client.describe_pipeline_execution(PipelineExecutionArn=arn)
    pages = client.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
    started = {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}
    now = datetime.now(UTC)
    status = whole["PipelineExecutionStatus"]
    outcomes = {name: outcome for name, step in started.items() if (outcome := _outcome(step)) is not None}
    not_taken = definition.not_taken(outcomes)
    states = []
    for name, step in definition.steps.items():
        if name in started:
            states.append(_started(started[name], step.type, now))
        elif name in not_taken:
            states.append(StepState(name, step.type, NOT_TAKEN))
        else:
            states.append(StepState(name, step.type, NOT_REACHED if status in _ENDED else WAITING))
    end = whole["LastModifiedTime"] if status in _ENDED else now
    seconds = max((end - whole["CreationTime"]).total_seconds(), 0.0)
    return ExecutionState(arn, status, seconds, whole.get("FailureReason") or "", tuple(states))


def latest_executions(connection: Connection, pipeline: str) -> list[str]:
    """ARNs of the latest five executions, the newest first."""
    answer = connection.client("sagemaker").list_pipeline_executions(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending", MaxResults=_SHOWN
    )
    return [one["PipelineExecutionArn"] for one in answer["PipelineExecutionSummaries"]]


def _started(step: Mapping[str, Any], kind: str, now: datetime) -> StepState:
    seconds = None
    if step.get("StartTime"):
        # a step that runs is measured by this machine's clock, which may be behind
        seconds = max(((step.get("EndTime") or now) - step["StartTime"]).total_seconds(), 0.0)
    return StepState(
        step["StepName"],
        kind,
        step["StepStatus"],
        seconds,
        attempts=step.get("AttemptCount") or 0,
        cached_from=(step.get("CacheHitResult") or {}).get("SourcePipelineExecutionArn", ""),
        reason=step.get("FailureReason") or "",
        outcome=_outcome(step),
        registered=((step.get("Metadata") or {}).get("RegisterModel") or {}).get("Arn", ""),
    )


def _outcome(step: Mapping[str, Any]) -> bool | None:
    text = ((step.get("Metadata") or {}).get("Condition") or {}).get("Outcome")
    return None if text is None else text == "True"
