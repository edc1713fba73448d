"""One execution from its first step to its last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.pipelines import caching, conditions
from sandbox.pipelines.changes import Changes
from sandbox.pipelines.context import Context
from sandbox.pipelines.definition import RUN_TYPES, Step
from sandbox.pipelines.job_steps import JOB_KINDS, ApiSteps
from sandbox.pipelines.lambda_step import LambdaSteps
from sandbox.pipelines.records import (
    EXECUTING,
    FAILED,
    STARTING,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    Execution,
    StepFailed,
    StepRun,
    StepStopped,
)
from sandbox.pipelines.references import as_text
from sandbox.pipelines.retries import Retries

log = logging.getLogger(__name__)

_LONGEST_REASON = 1_024  # FailureReason
_LONGEST_MESSAGE = 3_072  # FailStepMetadata.ErrorMessage


@dataclass(frozen=True)
class Surroundings:
    """What executions share.

    Args:
        aws: The AWS underneath.
        clock: The time scale.
        changes: Sets statuses.
        api: Steps that are calls of the API.
        functions: Lambda steps.
        executions: All executions of an account and Region, for the cache.
    """

    aws: LocalAws
    clock: Clock
    changes: Changes
    api: ApiSteps
    functions: LambdaSteps
    executions: Callable[[], Iterable[Execution]]


class Executor:
    """Carries an execution out.

    A step starts when all that it needs has succeeded and its branch was taken. After a failure no step
    starts any more, and those that run come to their end.

    Args:
        execution: The execution; steps that have succeeded already are not repeated.
        surroundings: What executions share.
    """

    def __init__(self, execution: Execution, surroundings: Surroundings) -> None:
        self._execution = execution
        self._all = surroundings
        self._changes = surroundings.changes
        self._context = Context(execution, surroundings.aws)
        self._stop = asyncio.Event()
        self._running: dict[asyncio.Task[None], StepRun] = {}

    async def run(self) -> None:
        """Return when no step runs and none can start; the execution has its final status then."""
        try:
            while True:
                self._start_ready()
                if not self._running:
                    break
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del self._running[task]
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        self._finish()

    def stop(self) -> None:
        """Stop what runs; returns at once. A function that runs comes to its end."""
        self._changes.execution(self._execution, STOPPING)
        for run in self._running.values():
            self._changes.step(self._execution, run, STOPPING)
        self._stop.set()

    def _start_ready(self) -> None:
        execution = self._execution
        if self._stop.is_set() or any(run.status == FAILED for run in execution.steps.values()):
            return
        for step in execution.definition.steps.values():
            if len(self._running) >= execution.parallel:
                return
            if step.name not in execution.steps and self._is_ready(step):
                run = StepRun(step.name, step.type, STARTING, datetime.now(UTC))
                execution.steps[step.name] = run
                task = asyncio.create_task(self._carry_out(step, run), name=f"step {step.name}")
                self._running[task] = run

    def _is_ready(self, step: Step) -> bool:
        runs = self._execution.steps
        if any(name not in runs or runs[name].status != SUCCEEDED for name in step.needs):
            return False
        return step.branch is None or runs[step.branch[0]].properties["Outcome"] == step.branch[1]

    async def _carry_out(self, step: Step, run: StepRun) -> None:
        try:
            await self._attempt_until_done(step, run)
            status = SUCCEEDED
        except StepStopped:
            status = STOPPED
        except StepFailed as failure:
            run.failure_reason, status = _cut(str(failure), _LONGEST_REASON), FAILED
        except asyncio.CancelledError:
            status = STOPPED
            raise
        except Exception:
            log.exception("step %s of %s failed", step.name, self._execution.arn)
            run.failure_reason = (
                "InternalServerError: The sandbox failed at this step; its log has the details."
            )
            status = FAILED
        finally:
            self._changes.step(self._execution, run, status)

    async def _attempt_until_done(self, step: Step, run: StepRun) -> None:
        retries = Retries(step.body.get("RetryPolicies", []), self._all.clock)
        while True:
            run.attempts += 1
            self._changes.step(self._execution, run, EXECUTING)
            try:
                await self._attempt(step, run)
                return
            except StepFailed as failure:
                pause = retries.pause(failure.kind)
                if pause is None or self._stop.is_set():
                    raise
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._all.clock.real(pause))
                raise StepStopped

    async def _attempt(self, step: Step, run: StepRun) -> None:
        if step.type not in RUN_TYPES:
            raise StepFailed(
                f"The sandbox does not run steps of type {step.type}; it runs {', '.join(sorted(RUN_TYPES))}."
            )
        arguments = step.body.get("Arguments", {})
        if step.type == "Condition":
            arguments = {"Conditions": arguments["Conditions"]}
        # JsonGet reads from S3
        run.arguments = await asyncio.to_thread(self._context.resolver.resolve, arguments)
        if self._stop.is_set():
            raise StepStopped
        if not self._take_over(step, run):
            await self._do(step, run)

    async def _do(self, step: Step, run: StepRun) -> None:
        if step.type in JOB_KINDS:
            await self._all.api.run_job(self._execution, run, self._stop)
        elif step.type == "Model":
            await self._all.api.create_model(self._execution, run)
        elif step.type == "RegisterModel":
            await self._all.api.register_model(self._execution, run)
        elif step.type == "Lambda":
            function = as_text(self._context.resolver.resolve(step.body["FunctionArn"]))
            outputs = step.body.get("OutputParameters", [])
            await self._all.functions.run(self._execution, run, function, outputs)
        elif step.type == "Condition":
            outcome = all([conditions.holds(each) for each in run.arguments["Conditions"]])
            run.properties = {"Outcome": outcome}
            run.metadata = {"Condition": {"Outcome": "True" if outcome else "False"}}
        else:
            message = as_text(run.arguments["ErrorMessage"])
            run.metadata = {"Fail": {"ErrorMessage": message[:_LONGEST_MESSAGE]}}
            raise StepFailed(message)

    def _take_over(self, step: Step, run: StepRun) -> bool:
        """Take the result of an earlier run, if there is one that is good."""
        config = step.body.get("CacheConfig", {})
        found = caching.find(
            self._all.executions(), self._execution.pipeline_arn, run, config, self._all.clock
        )
        if found is None:
            return False
        execution, source = found
        run.cached_from = execution.arn
        run.properties, run.metadata = source.properties, source.metadata
        return True

    def _finish(self) -> None:
        execution = self._execution
        failed = [run for run in execution.steps.values() if run.status == FAILED]
        if execution.status == STOPPING:
            self._changes.execution(execution, STOPPED)
        elif failed:
            told = "; ".join(f"{run.name}: {run.failure_reason}" for run in failed)
            execution.failure_reason = _cut(
                f"Step failure: One or multiple steps failed. {told}", _LONGEST_REASON
            )
            self._changes.execution(execution, FAILED)
        else:
            self._changes.execution(execution, SUCCEEDED)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
