"""One job from its inputs to its outputs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from sandbox.clock import Clock
from sandbox.fleet.output import Output
from sandbox.jobs.data import JobData
from sandbox.jobs.environment import HOST
from sandbox.jobs.failures import JobFailed, TimeLimitExceeded
from sandbox.jobs.layout import Tree
from sandbox.jobs.process import STOP_GRACE, JobProcess
from sandbox.jobs.processing import ProcessingWork
from sandbox.jobs.training import TrainingWork
from sandbox.store import Job, Scope

# programs do not run faster with the clock: a longer limit never becomes shorter than this, real seconds
SHORTEST_SCALED_LIMIT = 30.0


class Logs(Protocol):
    """Where log events go (sandbox.logs.LogPublisher)."""

    def write(self, scope: Scope, group: str, stream: str, message: str) -> None:
        """Add one event."""


class JobRun:
    """A job that runs.

    Args:
        job: The job.
        root: A folder for its container, which `close` removes.
        data: Its way to S3.
        gateway_url: The AWS that it may call.
        logs: Takes its output.
        clock: The time scale.
    """

    def __init__(
        self, job: Job, root: Path, data: JobData, gateway_url: str, logs: Logs, clock: Clock
    ) -> None:
        tree = Tree(root)
        make = ProcessingWork if job.kind == "ProcessingJob" else TrainingWork
        self._work = make(job, tree, gateway_url)
        self._job = job
        self._tree = tree
        self._data = data
        self._logs = logs
        self._clock = clock
        self._last_error = ""
        self._stream = f"{job.name}/{HOST}-{int(job.created_at.timestamp())}"

    async def run(self, told: Callable[[str], None]) -> None:
        """Read, run, write.

        Args:
            told: Called with each secondary status.

        Raises:
            JobFailed: It failed.
            TimeLimitExceeded: It took too long; what it left is written.
        """
        told("Downloading")
        try:
            await _in_thread(self._work.prepare, self._data)
            told("Training")
            status = await self._run()
        except TimeoutError:
            told("Uploading")
            await _in_thread(self._work.save, self._data)
            raise TimeLimitExceeded(self._work.exceeded()) from None
        except JobFailed as failure:
            self._say(f"{failure.kind}: {failure.reason}")
            raise
        if status != 0:
            await _in_thread(self._work.save_failed, self._data)
            raise self._work.failure(status, self._last_error)
        told("Uploading")
        await _in_thread(self._work.save, self._data)

    async def _run(self) -> int:
        limit = min(float(self._work.limit), max(SHORTEST_SCALED_LIMIT, self._clock.real(self._work.limit)))
        output = Output(self._job.name, self._tree.root / "output.log", self._heard)
        process = JobProcess(self._work.command(), self._work.environment(), self._tree.base, output)
        try:
            return await process.run(limit, self._clock.real(STOP_GRACE))
        finally:
            self._last_error = output.last_error()

    def close(self) -> None:
        """Remove the container's files. Blocking."""
        shutil.rmtree(self._tree.root, ignore_errors=True)

    def _heard(self, line: str) -> None:
        self._work.read(line)
        self._say(line)

    def _say(self, line: str) -> None:
        self._logs.write(self._job.scope, self._work.log_group, self._stream, line)


async def _in_thread(work: Callable[..., None], *arguments: Any) -> None:
    """Work that blocks; that of a stopped job is waited for: it writes into a folder that will be removed."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
