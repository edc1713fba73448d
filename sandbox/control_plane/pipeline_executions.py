"""Start, Stop, Retry, Describe and List of executions of pipelines."""

from __future__ import annotations

import secrets
import string
from typing import Protocol

from sandbox.control_plane.pipelines import find_pipeline
from sandbox.control_plane.resources import Operation, answer_page, invalid, list_resources, now
from sandbox.errors import ServiceError
from sandbox.paging import page
from sandbox.pipelines.definition import check_definition
from sandbox.pipelines.parameters import values_of
from sandbox.pipelines.records import EXECUTING, FAILED, STOPPED, STOPPING, Execution, StepRun
from sandbox.store import Params, Record, Scope, Store, Stores
from sandbox.validation import raise_findings

_DEFAULT_PARALLEL = 50  # MaxParallelExecutionSteps when nobody says
_ID_LENGTH = 12
_NOT_HAD = ("PipelineVersionId", "SelectiveExecutionConfig", "MlflowExperimentName")


class ExecutionService(Protocol):
    """Who carries executions out; returns at once and sets their status as work proceeds."""

    def start(self, execution: Execution) -> None:
        """Executing, then Succeeded, Failed or Stopped."""

    def retry(self, execution: Execution) -> None:
        """The same, without the steps that have succeeded."""

    def stop(self, execution: Execution) -> None:
        """Stopping, then Stopped."""


class PipelineExecutionApi:
    """Executions: who may do what when.

    Args:
        stores: Where the records are.
        service: Who carries executions out.
    """

    def __init__(self, stores: Stores, service: ExecutionService) -> None:
        self._stores = stores
        self._service = service

    @property
    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            "StartPipelineExecution": self.start,
            "StopPipelineExecution": self.stop,
            "RetryPipelineExecution": self.retry,
            "DescribePipelineExecution": self.describe,
            "DescribePipelineDefinitionForExecution": self.definition,
            "ListPipelineExecutions": self.list,
            "ListPipelineExecutionSteps": self.steps,
            "ListPipelineParametersForExecution": self.parameters,
            "UpdatePipelineExecution": self.update,
        }

    def start(self, params: Params, scope: Scope) -> Params:
        """StartPipelineExecution; the same token gives the same execution."""
        store = self._stores.of(scope)
        pipeline = find_pipeline(store, params["PipelineName"], scope)
        refused = [name for name in _NOT_HAD if name in params]
        if refused:
            raise invalid(f"The sandbox does not have {', '.join(refused)}, AWS does; leave it out.")
        given = params.get("PipelineParameters", [])
        known = self._with_token(store, pipeline, params["ClientRequestToken"])
        if known is not None:
            if known.given != given or known.display_name != params.get("PipelineExecutionDisplayName"):
                raise ServiceError(
                    "ConflictException",
                    f"The ClientRequestToken started execution {known.arn} with other parameters. Use a new "
                    "token for another execution.",
                )
            return {"PipelineExecutionArn": known.arn}
        definition = check_definition(pipeline.request["PipelineDefinition"])
        values, findings = values_of(definition.parameters, given)
        raise_findings(findings)
        started, arn = now(), f"{pipeline.arn}/execution/{_new_id()}"
        execution = Execution(
            name=arn,
            arn=arn,
            pipeline_name=pipeline.name,
            pipeline_arn=pipeline.arn,
            scope=scope,
            text=pipeline.request["PipelineDefinition"],
            definition=definition,
            parameters=values,
            given=given,
            role=pipeline.request["RoleArn"],
            created_at=started,
            modified_at=started,
            parallel=_parallel(params, pipeline.request),
            token=params["ClientRequestToken"],
            display_name=params.get("PipelineExecutionDisplayName"),
            description=params.get("PipelineExecutionDescription"),
        )
        store.pipeline_executions[execution.arn] = execution
        self._service.start(execution)
        return {"PipelineExecutionArn": execution.arn}

    def stop(self, params: Params, scope: Scope) -> Params:
        """StopPipelineExecution."""
        execution = self._find(params, scope)
        if execution.status == EXECUTING:
            self._service.stop(execution)
        elif execution.status != STOPPING:
            raise _conflict(execution, "stopped", EXECUTING)
        return {"PipelineExecutionArn": execution.arn}

    def retry(self, params: Params, scope: Scope) -> Params:
        """RetryPipelineExecution: what has succeeded stays."""
        execution = self._find(params, scope)
        if execution.status not in (FAILED, STOPPED):
            raise _conflict(execution, "retried", f"{FAILED} or {STOPPED}")
        execution.parallel = _parallel(params, {}, execution.parallel)
        self._service.retry(execution)
        return {"PipelineExecutionArn": execution.arn}

    def update(self, params: Params, scope: Scope) -> Params:
        """UpdatePipelineExecution: description and display name."""
        execution = self._find(params, scope)
        execution.display_name = params.get("PipelineExecutionDisplayName", execution.display_name)
        execution.description = params.get("PipelineExecutionDescription", execution.description)
        return {"PipelineExecutionArn": execution.arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribePipelineExecution."""
        execution = self._find(params, scope)
        answer = {
            "PipelineArn": execution.pipeline_arn,
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": execution.status,
            "CreationTime": execution.created_at,
            "LastModifiedTime": execution.modified_at,
            "CreatedBy": {},
            "LastModifiedBy": {},
            "ParallelismConfiguration": {"MaxParallelExecutionSteps": execution.parallel},
        }
        optional = {
            "PipelineExecutionDisplayName": execution.display_name,
            "PipelineExecutionDescription": execution.description,
            "FailureReason": execution.failure_reason,
        }
        return answer | _given(optional)

    def definition(self, params: Params, scope: Scope) -> Params:
        """DescribePipelineDefinitionForExecution."""
        execution = self._find(params, scope)
        return {"PipelineDefinition": execution.text, "CreationTime": execution.created_at}

    def list(self, params: Params, scope: Scope) -> Params:
        """ListPipelineExecutions."""
        store = self._stores.of(scope)
        pipeline = find_pipeline(store, params["PipelineName"], scope)
        renamed = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
        request = {renamed.get(name, name): value for name, value in params.items()}
        if request.get("SortBy") == "PipelineExecutionArn":
            request["SortBy"] = "Name"
        found = [each for each in store.pipeline_executions.values() if each.pipeline_arn == pipeline.arn]
        listed, token = list_resources(found, request, f"executions:{pipeline.arn}")
        summaries = [_summary(store.pipeline_executions[each.arn]) for each in listed]
        return answer_page("PipelineExecutionSummaries", summaries, token)

    def steps(self, params: Params, scope: Scope) -> Params:
        """ListPipelineExecutionSteps: those that were started; the latest first."""
        if "PipelineExecutionArn" not in params:
            raise invalid("ListPipelineExecutionSteps needs PipelineExecutionArn.")
        execution = self._find(params, scope)
        listed, token = page(
            execution.steps.values(),
            order=f"steps:{execution.arn}",
            key=lambda run: (run.started_at.timestamp(), run.name),
            limit=params.get("MaxResults", 10),
            token=params.get("NextToken"),
            descending=params.get("SortOrder", "Descending") == "Descending",
        )
        return answer_page("PipelineExecutionSteps", [_step(execution, run) for run in listed], token)

    def parameters(self, params: Params, scope: Scope) -> Params:
        """ListPipelineParametersForExecution: given values and defaults."""
        execution = self._find(params, scope)
        given = {item["Name"]: item["Value"] for item in execution.given}
        listed, token = page(
            execution.parameters,
            order=f"parameters:{execution.arn}",
            key=lambda name: (name, ""),
            limit=params.get("MaxResults", 10),
            token=params.get("NextToken"),
        )
        values = [
            {"Name": name, "Value": given.get(name, _as_given(execution.parameters[name]))} for name in listed
        ]
        return answer_page("PipelineParameters", values, token)

    def _find(self, params: Params, scope: Scope) -> Execution:
        arn = params["PipelineExecutionArn"]
        execution = self._stores.of(scope).pipeline_executions.get(arn)
        if execution is None:
            raise ServiceError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return execution

    def _with_token(self, store: Store, pipeline: Record, token: str) -> Execution | None:
        return next(
            (
                execution
                for execution in store.pipeline_executions.values()
                if execution.token == token and execution.pipeline_arn == pipeline.arn
            ),
            None,
        )


def _new_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(_ID_LENGTH))


def _parallel(params: Params, pipeline: Params, default: int = _DEFAULT_PARALLEL) -> int:
    for given in (params, pipeline):
        if "ParallelismConfiguration" in given:
            return int(given["ParallelismConfiguration"]["MaxParallelExecutionSteps"])
    return default


def _conflict(execution: Execution, done: str, wanted: str) -> ServiceError:
    return ServiceError(
        "ConflictException",
        f"Pipeline execution {execution.arn} cannot be {done}: its status is {execution.status}, "
        f"not {wanted}.",
    )


def _summary(execution: Execution) -> Params:
    optional = {
        "PipelineExecutionDescription": execution.description,
        "PipelineExecutionDisplayName": execution.display_name,
        "PipelineExecutionFailureReason": execution.failure_reason,
    }
    return {
        "PipelineExecutionArn": execution.arn,
        "StartTime": execution.created_at,
        "PipelineExecutionStatus": execution.status,
        **_given(optional),
    }


def _step(execution: Execution, run: StepRun) -> Params:
    body = execution.definition.steps[run.name].body
    optional = {
        "StepDisplayName": body.get("DisplayName"),
        "StepDescription": body.get("Description"),
        "EndTime": run.ended_at,
        "FailureReason": run.failure_reason,
        "CacheHitResult": {"SourcePipelineExecutionArn": run.cached_from} if run.cached_from else None,
    }
    return {
        "StepName": run.name,
        "StartTime": run.started_at,
        "StepStatus": run.status,
        "Metadata": run.metadata,
        "AttemptCount": run.attempts,
        **_given(optional),
    }


def _given(members: Params) -> Params:
    return {name: value for name, value in members.items() if value is not None}


def _as_given(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
