"""The running jobs: started and stopped by the control plane, ended with the sandbox."""

from __future__ import annotations

import asyncio
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.events import EventPublisher
from sandbox.fleet import FleetFailed, FleetManager
from sandbox.fleet.containers import definitions
from sandbox.runtime.upstream import Upstream
from sandbox.store import Record, TransformJob
from sandbox.transform_jobs.data_log import DataLog, Logs
from sandbox.transform_jobs.failures import ALGORITHM_ERROR, TransformFailed, failure_reason
from sandbox.transform_jobs.launcher import TransformLauncher
from sandbox.transform_jobs.run import JobRun, Surroundings

log = logging.getLogger(__name__)

_WORKERS = 8


class TransformJobs:
    """Runs transform jobs. Used on the engine's loop only.

    Args:
        fleets: Starts model servers and counts them; takes the use of instances.
        aws: The AWS underneath.
        logs: Takes data logs.
        events: Tells EventBridge of each change of a job's status.
        clock: The time scale.
        work_dir: Folder for outputs that are not complete.
    """

    def __init__(
        self,
        fleets: FleetManager,
        aws: LocalAws,
        logs: Logs,
        events: EventPublisher,
        clock: Clock,
        work_dir: Path,
    ) -> None:
        self._fleets = fleets
        self._aws = aws
        self._logs = logs
        self._events = events
        self._clock = clock
        self._scratch = work_dir
        self._upstream = Upstream()
        self._executor: ThreadPoolExecutor | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def create(self, job: TransformJob, model: Record) -> None:
        """Start a job; returns at once, its status changes as it goes on.

        Raises:
            ServiceError: ResourceLimitExceeded: its instances would not fit into the sandbox's limit.
        """
        count = job.request["TransformResources"]["InstanceCount"] * len(definitions(model.request))
        try:
            self._fleets.slots.take(count)
        except FleetFailed as failure:
            raise ServiceError("ResourceLimitExceeded", failure.reason) from failure
        launcher = self._fleets.launcher(
            job.name,
            job.request["TransformResources"],
            job.scope,
            partial(TransformLauncher, epoch=int(job.created_at.timestamp())),
        )
        launcher = cast(TransformLauncher, launcher)
        data_log = DataLog(self._logs, launcher)
        run = JobRun(job, model, launcher, data_log, self._surroundings(job), count)
        self._events.publish_transform_job(job)
        task = asyncio.get_running_loop().create_task(self._run(job, run), name=f"transform job {job.name}")
        self._tasks[job.arn] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.arn, None))

    def stop(self, job: TransformJob) -> None:
        """Stop a job; returns at once. Objects that are written already stay."""
        self._set(job, "Stopping")
        if job.arn in self._tasks:
            self._tasks[job.arn].cancel()

    async def close(self) -> None:
        """End every job and its model servers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._upstream.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, job: TransformJob, run: JobRun) -> None:
        try:
            await run.run(lambda: self._started(job))
            failed = failure_reason(run.failures, run.objects) if run.failures else None
        except asyncio.CancelledError:
            self._finish(job, "Stopped")
            raise
        except FleetFailed as failure:
            failed = failure_reason([("", TransformFailed(ALGORITHM_ERROR, failure.reason))], 0)
        except TransformFailed as failure:
            failed = failure_reason([("", failure)], 0)
        except Exception:
            log.exception("transform job %s failed", job.name)
            failed = "InternalServerError: The sandbox failed while it ran the job; its log has the details."
        finally:
            shutil.rmtree(self._scratch / job.name, ignore_errors=True)
        self._finish(job, "Failed" if failed else "Completed", failed)

    def _started(self, job: TransformJob) -> None:
        job.started_at = job.modified_at = datetime.now(UTC)

    def _finish(self, job: TransformJob, status: str, reason: str | None = None) -> None:
        job.ended_at = datetime.now(UTC)
        job.failure_reason = reason
        self._set(job, status)

    def _set(self, job: TransformJob, status: str) -> None:
        job.status, job.modified_at = status, datetime.now(UTC)
        self._events.publish_transform_job(job)

    def _surroundings(self, job: TransformJob) -> Surroundings:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="transform")
        scratch = self._scratch / job.name
        scratch.mkdir(parents=True, exist_ok=True)
        return Surroundings(
            aws=self._aws,
            metrics=self._fleets.metrics,
            clock=self._clock,
            upstream=self._upstream,
            executor=self._executor,
            slots=self._fleets.slots,
            scratch=scratch,
        )
