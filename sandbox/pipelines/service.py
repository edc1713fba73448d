"""The executions that run."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.events import EventPublisher
from sandbox.metrics import MetricPublisher
from sandbox.pipelines.changes import Changes
from sandbox.pipelines.executor import Executor, Surroundings
from sandbox.pipelines.job_steps import ApiSteps, Call
from sandbox.pipelines.lambda_step import LambdaSteps
from sandbox.pipelines.records import EXECUTING, FAILED, SUCCEEDED, Execution
from sandbox.store import Stores

log = logging.getLogger(__name__)

_FUNCTIONS = 16  # Lambda steps of all executions that wait for their function at a time


class PipelineExecutions:
    """Runs executions. Use it on the engine's loop.

    Args:
        stores: Where the executions are.
        call: The `sagemaker` API, which steps call.
        aws: The AWS underneath.
        events: Tells EventBridge of each change.
        metrics: Tells CloudWatch.
        clock: The time scale.
    """

    def __init__(
        self,
        stores: Stores,
        call: Call,
        aws: LocalAws,
        events: EventPublisher,
        metrics: MetricPublisher,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._aws = aws
        self._clock = clock
        self._changes = Changes(events, metrics)
        self._api = ApiSteps(call)
        self._executor = ThreadPoolExecutor(_FUNCTIONS, thread_name_prefix="lambda step")
        self.functions = LambdaSteps(aws, clock, self._executor)
        self._running: dict[str, tuple[Executor, asyncio.Task[None]]] = {}

    def start(self, execution: Execution) -> None:
        """Carry an execution out; returns at once, its status changes as it goes on."""
        self._changes.execution(execution, EXECUTING, previous="")
        self._run(execution)

    def retry(self, execution: Execution) -> None:
        """Carry out what of an execution did not succeed; returns at once."""
        execution.steps = {name: run for name, run in execution.steps.items() if run.status == SUCCEEDED}
        execution.failure_reason = None
        self._changes.execution(execution, EXECUTING)
        self._run(execution)

    def stop(self, execution: Execution) -> None:
        """Stop an execution and its jobs; returns at once."""
        if execution.arn in self._running:
            self._running[execution.arn][0].stop()

    async def close(self) -> None:
        """End every execution; the jobs are ended by whom they belong to."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, execution: Execution) -> None:
        store = self._stores.of(execution.scope)
        surroundings = Surroundings(
            self._aws,
            self._clock,
            self._changes,
            self._api,
            self.functions,
            lambda: store.pipeline_executions.values(),
        )
        executor = Executor(execution, surroundings)
        task = asyncio.get_running_loop().create_task(
            self._watch(execution, executor), name=f"execution {execution.id}"
        )
        self._running[execution.arn] = executor, task
        task.add_done_callback(lambda _: self._running.pop(execution.arn, None))

    async def _watch(self, execution: Execution, executor: Executor) -> None:
        try:
            await executor.run()
        except Exception:
            log.exception("execution %s failed", execution.arn)
            execution.failure_reason = "InternalServerError: The sandbox failed; its log has the details."
            self._changes.execution(execution, FAILED)
