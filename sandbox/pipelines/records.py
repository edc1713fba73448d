"""What is known of executions and their steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.pipelines.definition import Definition
    from sandbox.store import Params, Scope

EXECUTING, STOPPING, STOPPED, FAILED, SUCCEEDED = "Executing", "Stopping", "Stopped", "Failed", "Succeeded"
STARTING = "Starting"


class StepFailed(Exception):
    """A step cannot succeed; the text is its FailureReason.

    Args:
        reason: A sentence.
        kind: Exception type of retry policies, such as ``SageMaker.JOB_INTERNAL_ERROR``; empty if none fits.
    """

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class StepStopped(Exception):
    """The work of a step was stopped by somebody."""


@dataclass
class StepRun:
    """A step of an execution that was started.

    Args:
        name: Its name.
        type: Its type.
        status: The API's StepStatus.
        started_at: When, UTC.
        ended_at: When, UTC.
        failure_reason: Why it is Failed.
        metadata: The API's PipelineExecutionStepMetadata.
        attempts: How often it was tried.
        properties: What later steps can refer to.
        arguments: Its resolved arguments.
        cached_from: ARN of the execution whose result it took over.
    """

    name: str
    type: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    failure_reason: str | None = None
    metadata: Params = field(default_factory=dict)
    attempts: int = 0
    properties: Params = field(default_factory=dict)
    arguments: Params = field(default_factory=dict)
    cached_from: str | None = None


@dataclass
class Execution:
    """An execution of a pipeline.

    Args:
        name: The same as `arn`: lists sort by it.
        arn: PipelineExecutionArn; the last part is its id.
        pipeline_name: Name of the pipeline.
        pipeline_arn: ARN of the pipeline.
        scope: Account and Region.
        text: The definition that it carries out.
        definition: The same, read.
        parameters: Value of every parameter, typed.
        given: The parameters of the request.
        role: RoleArn of the pipeline.
        created_at: Creation time, UTC.
        modified_at: When its status changed last, UTC.
        parallel: Steps at a time at most.
        token: ClientRequestToken.
        display_name: PipelineExecutionDisplayName.
        description: PipelineExecutionDescription.
        status: The API's PipelineExecutionStatus.
        failure_reason: Why it is Failed.
        steps: Steps that were started, by name, in order.
        started_at: When it was started or retried last, UTC.
    """

    name: str
    arn: str
    pipeline_name: str
    pipeline_arn: str
    scope: Scope
    text: str
    definition: Definition
    parameters: dict[str, Any]
    given: list[Params]
    role: str
    created_at: datetime
    modified_at: datetime
    parallel: int
    token: str
    display_name: str | None = None
    description: str | None = None
    status: str = EXECUTING
    failure_reason: str | None = None
    steps: dict[str, StepRun] = field(default_factory=dict)
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.created_at

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]
