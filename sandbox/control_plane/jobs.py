"""Create, Describe, List and Stop of processing and of training jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from sandbox.control_plane.job_rules import check_processing_job, check_training_job
from sandbox.control_plane.resources import (
    Operation,
    answer_page,
    arn_of,
    invalid,
    list_resources,
    now,
    set_tags,
)
from sandbox.errors import ServiceError
from sandbox.store import Job, Params, Scope, Store, Stores


class JobService(Protocol):
    """Who carries jobs out; returns at once and sets the job's status as work proceeds."""

    def create(self, job: Job) -> None:
        """InProgress, then Completed, Failed or Stopped."""

    def stop(self, job: Job) -> None:
        """Stopping, then Stopped."""


class JobApi(ABC):
    """Jobs of one kind: who may do what when.

    Args:
        stores: Where the records are.
        service: Who carries jobs out.
    """

    kind = ""
    arn_kind = ""

    def __init__(self, stores: Stores, service: JobService) -> None:
        self._stores = stores
        self._service = service

    @property
    def operations(self) -> dict[str, Operation]:
        """The operations by name."""
        return {
            f"Create{self.kind}": self.create,
            f"Describe{self.kind}": self.describe,
            f"List{self.kind}s": self.list,
            f"Stop{self.kind}": self.stop,
        }

    def create(self, params: Params, scope: Scope) -> Params:
        """The Create operation. A name is never free again, also when its job has ended."""
        store, name = self._stores.of(scope), params[f"{self.kind}Name"]
        jobs, arn = self.jobs(store), arn_of(self.arn_kind, name, scope)
        if name.lower() in jobs:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({arn}).",
            )
        self.check(params)
        set_tags(store, arn, params.pop("Tags", []))
        created = now()
        job = jobs[name.lower()] = Job(self.kind, name, arn, scope, params, created, created)
        try:
            self._service.create(job)
        except Exception:
            del jobs[name.lower()]
            store.tags.pop(arn, None)
            raise
        return {f"{self.kind}Arn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """The Describe operation."""
        return self.shown(self._find(params, scope))

    def list(self, params: Params, scope: Scope) -> Params:
        """The List operation."""
        jobs = {job.arn: job for job in self.jobs(self._stores.of(scope)).values()}
        status = {arn: job.status for arn, job in jobs.items()}
        page, token = list_resources(jobs.values(), params, f"{self.kind}s", status=status)
        return answer_page(f"{self.kind}Summaries", [self._summary(jobs[each.arn]) for each in page], token)

    def stop(self, params: Params, scope: Scope) -> Params:
        """The Stop operation."""
        job = self._find(params, scope)
        if job.status != "InProgress":
            raise invalid(
                f"The job with the name {job.name} can't be stopped: its status is {job.status}, not "
                "InProgress."
            )
        self._service.stop(job)
        return {}

    @abstractmethod
    def jobs(self, store: Store) -> dict[str, Job]:
        """Jobs of the kind, by name in lower case."""

    @abstractmethod
    def check(self, params: Params) -> None:
        """Check a request to create one.

        Raises:
            ServiceError: ValidationException with every finding.
        """

    def shown(self, job: Job) -> Params:
        """The answer of Describe."""
        word = self.kind.removesuffix("Job")
        answer = {
            **job.request,
            f"{self.kind}Arn": job.arn,
            f"{self.kind}Status": job.status,
            "CreationTime": job.created_at,
            "LastModifiedTime": job.modified_at,
        }
        optional = {
            f"{word}StartTime": job.started_at,
            f"{word}EndTime": job.ended_at,
            "FailureReason": job.failure_reason,
        }
        return answer | {name: value for name, value in optional.items() if value is not None}

    def _find(self, params: Params, scope: Scope) -> Job:
        name = params[f"{self.kind}Name"]
        job = self.jobs(self._stores.of(scope)).get(name.lower())
        if job is None:
            raise ServiceError("ResourceNotFound", f"Could not find requested job with name: {name}")
        return job

    def _summary(self, job: Job) -> Params:
        summary = {
            f"{self.kind}Name": job.name,
            f"{self.kind}Arn": job.arn,
            "CreationTime": job.created_at,
            "LastModifiedTime": job.modified_at,
            f"{self.kind}Status": job.status,
        }
        if job.ended_at is not None:
            summary[f"{self.kind.removesuffix('Job')}EndTime"] = job.ended_at
        return summary | self.more_of_summary(job)

    @abstractmethod
    def more_of_summary(self, job: Job) -> Params:
        """What summaries of the kind have besides."""


class ProcessingJobApi(JobApi):
    """Processing jobs."""

    kind = "ProcessingJob"
    arn_kind = "processing-job"

    def jobs(self, store: Store) -> dict[str, Job]:  # noqa: D102  (JobApi)
        return store.processing_jobs

    def check(self, params: Params) -> None:  # noqa: D102  (JobApi)
        check_processing_job(params)

    def shown(self, job: Job) -> Params:  # noqa: D102  (JobApi)
        return super().shown(job) | ({"ExitMessage": job.exit_message} if job.exit_message else {})

    def more_of_summary(self, job: Job) -> Params:  # noqa: D102  (JobApi)
        optional = {"FailureReason": job.failure_reason, "ExitMessage": job.exit_message}
        return {name: value for name, value in optional.items() if value is not None}


class TrainingJobApi(JobApi):
    """Training jobs."""

    kind = "TrainingJob"
    arn_kind = "training-job"

    def jobs(self, store: Store) -> dict[str, Job]:  # noqa: D102  (JobApi)
        return store.training_jobs

    def check(self, params: Params) -> None:  # noqa: D102  (JobApi)
        check_training_job(params)

    def shown(self, job: Job) -> Params:  # noqa: D102  (JobApi)
        answer = super().shown(job) | {
            "ModelArtifacts": {"S3ModelArtifacts": job.artifacts},
            "SecondaryStatus": job.transitions[-1]["Status"],
            "SecondaryStatusTransitions": job.transitions,
            "FinalMetricDataList": job.metrics,
            "EnableNetworkIsolation": job.request.get("EnableNetworkIsolation", False),
        }
        if job.started_at and job.ended_at:
            seconds = max(1, round((job.ended_at - job.started_at).total_seconds()))
            answer |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        return answer

    def more_of_summary(self, job: Job) -> Params:  # noqa: D102  (JobApi)
        return {"SecondaryStatus": job.transitions[-1]["Status"]}
