"""CreateTransformJob, DescribeTransformJob, ListTransformJobs, StopTransformJob."""

from __future__ import annotations

from typing import Protocol

from sandbox.control_plane.models import find_model
from sandbox.control_plane.resources import answer_page, arn_of, list_resources, now, set_tags
from sandbox.control_plane.transform_rules import check_transform_job
from sandbox.errors import ServiceError
from sandbox.store import Params, Record, Scope, Store, Stores, TransformJob

_KIND = "transform-job"


class TransformService(Protocol):
    """Who carries jobs out; returns at once and sets the job's status as work proceeds."""

    def create(self, job: TransformJob, model: Record) -> None:
        """InProgress, then Completed or Failed."""

    def stop(self, job: TransformJob) -> None:
        """Stopping, then Stopped."""


class TransformJobApi:
    """Transform jobs: who may do what when.

    Args:
        stores: Where the records are.
        service: Who carries jobs out.
    """

    def __init__(self, stores: Stores, service: TransformService) -> None:
        self._stores = stores
        self._service = service

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateTransformJob. A name is never free again, also when its job has ended."""
        store, name = self._stores.of(scope), params["TransformJobName"]
        arn = arn_of(_KIND, name, scope)
        if name.lower() in store.transform_jobs:
            raise ServiceError(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this name already "
                f"exists ({arn}).",
            )
        model = find_model(store, params["ModelName"], scope)
        check_transform_job(params, model.request)
        tags = params.pop("Tags", [])
        set_tags(store, arn, tags)
        created = now()
        job = TransformJob(name, arn, scope, _with_defaults(params), created, created)
        store.transform_jobs[name.lower()] = job
        try:
            self._service.create(job, model)
        except Exception:
            del store.transform_jobs[name.lower()]
            store.tags.pop(arn, None)
            raise
        return {"TransformJobArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeTransformJob."""
        job = _find(self._stores.of(scope), params["TransformJobName"])
        answer = {**job.request, "TransformJobStatus": job.status, "TransformJobArn": job.arn}
        answer["CreationTime"] = job.created_at
        optional = {
            "TransformStartTime": job.started_at,
            "TransformEndTime": job.ended_at,
            "FailureReason": job.failure_reason,
        }
        return answer | {name: value for name, value in optional.items() if value is not None}

    def list(self, params: Params, scope: Scope) -> Params:
        """ListTransformJobs."""
        jobs = {job.arn: job for job in self._stores.of(scope).transform_jobs.values()}
        status = {arn: job.status for arn, job in jobs.items()}
        page, token = list_resources(jobs.values(), params, "transform jobs", status=status)
        return answer_page("TransformJobSummaries", [_summary(jobs[each.arn]) for each in page], token)

    def stop(self, params: Params, scope: Scope) -> Params:
        """StopTransformJob."""
        job = _find(self._stores.of(scope), params["TransformJobName"])
        if job.status != "InProgress":
            raise ServiceError(
                "ValidationException",
                f"The job with the name {job.name} can't be stopped: its status is {job.status}, not "
                "InProgress.",
            )
        self._service.stop(job)
        return {}


def _find(store: Store, name: str) -> TransformJob:
    job = store.transform_jobs.get(name.lower())
    if job is None:
        raise ServiceError("ResourceNotFound", f"Could not find requested job with name: {name}")
    return job


def _with_defaults(request: Params) -> Params:
    """A request as DescribeTransformJob shows it: members with a default have it."""
    processing = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    return {
        **request,
        "TransformInput": {"CompressionType": "None", "SplitType": "None", **request["TransformInput"]},
        "TransformOutput": {"AssembleWith": "None", **request["TransformOutput"]},
        "DataProcessing": processing | request.get("DataProcessing", {}),
    }


def _summary(job: TransformJob) -> Params:
    summary = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "CreationTime": job.created_at,
        "LastModifiedTime": job.modified_at,
        "TransformJobStatus": job.status,
    }
    if job.ended_at is not None:
        summary["TransformEndTime"] = job.ended_at
    if job.failure_reason is not None:
        summary["FailureReason"] = job.failure_reason
    return summary
