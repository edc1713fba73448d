"""The jobs that run: started, stopped, their status told."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.events import EventPublisher
from sandbox.jobs.data import JobData
from sandbox.jobs.failures import LONGEST_REASON, JobFailed, TimeLimitExceeded
from sandbox.jobs.work import JobRun, Logs
from sandbox.store import Job, Params

log = logging.getLogger(__name__)

MOST_JOBS = 8
"""Processing and training jobs that run at a time; AWS has quotas for each instance type."""

_EVENTS = {
    "ProcessingJob": "SageMaker Processing Job State Change",
    "TrainingJob": "SageMaker Training Job State Change",
}
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job stopped: it ran for longer than MaxRuntimeInSeconds",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}


class Jobs:
    """Runs jobs. Use it on the engine's loop.

    Args:
        aws: The AWS underneath.
        logs: Takes what programs print.
        events: Tells EventBridge of each change of a job's status.
        clock: The time scale.
        work_dir: Folder for the containers.
    """

    def __init__(
        self, aws: LocalAws, logs: Logs, events: EventPublisher, clock: Clock, work_dir: Path
    ) -> None:
        self._aws = aws
        self._logs = logs
        self._events = events
        self._clock = clock
        self._work_dir = work_dir
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def create(self, job: Job) -> None:
        """Start a job; returns at once, its status changes as it goes on.

        Raises:
            ServiceError: ResourceLimitExceeded: too many run.
        """
        if len(self._tasks) >= MOST_JOBS:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The sandbox runs {MOST_JOBS} processing and training jobs at a time. Wait for one to end.",
            )
        self._enter(job, "Starting")
        self._publish(job)
        task = asyncio.get_running_loop().create_task(self._run(job), name=f"job {job.name}")
        self._tasks[job.arn] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.arn, None))

    def stop(self, job: Job) -> None:
        """Stop a job; returns at once. Its program gets SIGTERM, and SIGKILL two minutes later."""
        self._set(job, "Stopping")
        if job.arn in self._tasks:
            self._tasks[job.arn].cancel()

    async def close(self) -> None:
        """End every job and its program."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        run = None
        status, secondary, reason = "Completed", "Completed", None
        try:
            self._work_dir.mkdir(parents=True, exist_ok=True)
            data = JobData(self._aws, job.scope, job.request["RoleArn"])
            root = Path(mkdtemp(dir=self._work_dir, prefix=f"{job.name}-"))
            run = JobRun(job, root, data, self._aws.gateway_url, self._logs, self._clock)
            await run.run(lambda name: self._enter(job, name))
        except asyncio.CancelledError:
            status = secondary = "Stopped"
        except TimeLimitExceeded as exceeded:
            status, secondary, reason = "Stopped", "MaxRuntimeExceeded", str(exceeded)
        except JobFailed as failure:
            status, secondary, reason = "Failed", "Failed", f"{failure.kind}: {failure.reason}"
        except Exception:
            log.exception("job %s failed", job.name)
            status, secondary = "Failed", "Failed"
            reason = "InternalServerError: The sandbox failed while it ran the job; its log has the details."
        finally:
            if run is not None:
                run.close()
        self._finish(job, status, secondary, reason)

    def _finish(self, job: Job, status: str, secondary: str, reason: str | None) -> None:
        job.ended_at = datetime.now(UTC)
        if reason is not None:
            job.failure_reason = (
                reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."
            )
        self._enter(job, secondary)
        self._set(job, status)

    def _set(self, job: Job, status: str) -> None:
        job.status, job.modified_at = status, datetime.now(UTC)
        if status == "Stopping":
            self._enter(job, "Stopping")
        self._publish(job)

    def _enter(self, job: Job, secondary: str) -> None:
        """Note a secondary status, which training jobs show."""
        moment = job.modified_at = datetime.now(UTC)
        if secondary == "Training":
            job.started_at = moment
        if job.transitions:
            job.transitions[-1]["EndTime"] = moment
        job.transitions.append(
            {"Status": secondary, "StartTime": moment, "StatusMessage": _MESSAGES[secondary]}
        )
        if job.kind == "TrainingJob" and secondary in ("Downloading", "Training", "Uploading"):
            self._publish(job)

    def _publish(self, job: Job) -> None:
        self._events.publish_change(job.scope, _EVENTS[job.kind], job.arn, event_detail(job))


def event_detail(job: Job) -> Params:
    """The detail of "SageMaker Training Job State Change" and of that of processing jobs."""
    word = job.kind.removesuffix("Job")
    detail: Params = {
        f"{job.kind}Name": job.name,
        f"{job.kind}Arn": job.arn,
        f"{job.kind}Status": job.status,
        **{name: value for name, value in job.request.items() if name != f"{job.kind}Name"},
        "CreationTime": _milliseconds(job.created_at),
        "LastModifiedTime": _milliseconds(job.modified_at),
        "Tags": {},
    }
    for name, time in ((f"{word}StartTime", job.started_at), (f"{word}EndTime", job.ended_at)):
        if time is not None:
            detail[name] = _milliseconds(time)
    if job.failure_reason:
        detail["FailureReason"] = job.failure_reason
    if job.exit_message:
        detail["ExitMessage"] = job.exit_message
    if job.kind == "TrainingJob":
        detail["SecondaryStatus"] = job.transitions[-1]["Status"]
        if job.artifacts:
            detail["ModelArtifacts"] = {"S3ModelArtifacts": job.artifacts}
        detail["SecondaryStatusTransitions"] = [
            {
                key: _milliseconds(value) if isinstance(value, datetime) else value
                for key, value in transition.items()
            }
            for transition in job.transitions
        ]
        detail["FinalMetricDataList"] = [
            {**metric, "Timestamp": _milliseconds(metric["Timestamp"])} for metric in job.metrics
        ]
    return detail


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
