"""Steps that are a job, a model or a model package: calls of the API, as anybody could make them."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.errors import ServiceError
from sandbox.pipelines.records import Execution, StepFailed, StepRun, StepStopped
from sandbox.pipelines.references import as_text
from sandbox.store import Params, Scope

Call = Callable[[str, Params, Scope], Awaitable[Params]]
"""Calls an operation of the `sagemaker` API: name, request, scope."""

JOB_KINDS = {"Processing": "ProcessingJob", "Training": "TrainingJob", "Transform": "TransformJob"}

_POLL = 0.1  # real seconds between two looks at a job
_LONGEST_NAME = 63
# members that hold strings; parameters of other types become such
_STRINGS = {
    "HyperParameters",
    "Environment",
    "ContainerArguments",
    "ContainerEntrypoint",
    "CustomerMetadataProperties",
}
# how an error of the API is named by retry policies
_KINDS = {
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
    "ThrottlingException": "Step.THROTTLING",
    "InternalFailure": "Step.SERVICE_FAULT",
}
_JOB_KINDS = {
    "InternalServerError": "SageMaker.JOB_INTERNAL_ERROR",
    "CapacityError": "SageMaker.CAPACITY_ERROR",
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
}


class ApiSteps:
    """Carries out the steps that are calls of the API.

    Args:
        call: The API.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run_job(self, execution: Execution, run: StepRun, stop: asyncio.Event) -> None:
        """Create a job and wait for its end; `stop` stops it.

        Raises:
            StepFailed: It was refused, or failed.
            StepStopped: It was stopped for `stop`.
        """
        kind = JOB_KINDS[run.type]
        member = f"{kind}Name"
        name = _job_name(execution, run, run.arguments.get(member))
        answer = await self._invoke(f"Create{kind}", run.arguments | {member: name}, execution.scope)
        run.metadata = {kind: {"Arn": answer[f"{kind}Arn"]}}
        described = await self._wait(kind, name, execution.scope, stop)
        status = described[f"{kind}Status"]
        if status == "Completed":
            run.properties = described
            return
        if status == "Stopped" and stop.is_set():
            raise StepStopped
        reason = described.get("FailureReason") or "Somebody stopped it."
        head = str(reason).partition(":")[0]
        raise StepFailed(f"The {_words(kind)} {name} ended as {status}. {reason}", _JOB_KINDS.get(head, ""))

    async def create_model(self, execution: Execution, run: StepRun) -> None:
        """CreateModel.

        Raises:
            StepFailed: It was refused.
        """
        name = _job_name(execution, run, run.arguments.get("ModelName"))
        answer = await self._invoke("CreateModel", run.arguments | {"ModelName": name}, execution.scope)
        run.metadata = {"Model": {"Arn": answer["ModelArn"]}}
        run.properties = await self._invoke("DescribeModel", {"ModelName": name}, execution.scope)

    async def register_model(self, execution: Execution, run: StepRun) -> None:
        """CreateModelPackage; the group is made when it is not there.

        Raises:
            StepFailed: It was refused.
        """
        group = run.arguments.get("ModelPackageGroupName")
        if group:
            await self._ensure_group(str(group), execution.scope)
        answer = await self._invoke("CreateModelPackage", run.arguments, execution.scope)
        arn = answer["ModelPackageArn"]
        run.metadata = {"RegisterModel": {"Arn": arn}}
        run.properties = await self._invoke(
            "DescribeModelPackage", {"ModelPackageName": arn}, execution.scope
        )

    async def _ensure_group(self, group: str, scope: Scope) -> None:
        try:
            await self._call("DescribeModelPackageGroup", {"ModelPackageGroupName": group}, scope)
        except ServiceError:
            await self._invoke("CreateModelPackageGroup", {"ModelPackageGroupName": group}, scope)

    async def _wait(self, kind: str, name: str, scope: Scope, stop: asyncio.Event) -> Params:
        asked = False
        while True:
            described = await self._invoke(f"Describe{kind}", {f"{kind}Name": name}, scope)
            status = described[f"{kind}Status"]
            if status not in ("InProgress", "Stopping"):
                return described
            if stop.is_set() and not asked and status == "InProgress":
                asked = True
                await self._invoke(f"Stop{kind}", {f"{kind}Name": name}, scope)
            await asyncio.sleep(_POLL)

    async def _invoke(self, operation: str, request: Params, scope: Scope) -> Params:
        try:
            return await self._call(operation, _with_strings(request), scope)
        except ServiceError as error:
            kind = _KINDS.get(error.code, "Step.SERVICE_FAULT" if error.status >= 500 else "")
            raise StepFailed(
                f"ClientError: Failed to invoke sagemaker:{operation}. Error Details: {error.code}: "
                f"{error.message}",
                kind,
            ) from error


def _job_name(execution: Execution, run: StepRun, given: Any) -> str:
    """A new name: a given one is the beginning of it."""
    head = as_text(given) if given else f"pipelines-{execution.id}-{run.name}"
    head = re.sub(r"[^A-Za-z0-9-]", "-", head)[: _LONGEST_NAME - 11].strip("-")
    return f"{head}-{secrets.token_hex(5)}"


def _with_strings(value: Any, texts: bool = False) -> Any:
    """Arguments as the API takes them: strings where it has strings only."""
    if isinstance(value, dict):
        return {key: _with_strings(item, texts or key in _STRINGS) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_strings(item, texts) for item in value]
    return as_text(value) if texts and value is not None else value


def _words(kind: str) -> str:
    return f"{kind.removesuffix('Job').lower()} job"
