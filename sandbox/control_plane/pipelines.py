"""CreatePipeline, UpdatePipeline, DescribePipeline, ListPipelines, DeletePipeline."""

from __future__ import annotations

import asyncio
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.control_plane.resources import answer_page, arn_of, invalid, list_resources, new_record, now
from sandbox.errors import ServiceError
from sandbox.pipelines.definition import check_definition
from sandbox.pipelines.records import EXECUTING, STOPPING
from sandbox.store import Params, Record, Scope, Store, Stores

_DESCRIBED = (
    "PipelineName",
    "PipelineDisplayName",
    "PipelineDefinition",
    "PipelineDescription",
    "RoleArn",
    "ParallelismConfiguration",
)
_SUMMARISED = ("PipelineName", "PipelineDisplayName", "PipelineDescription", "RoleArn")


class Pipelines:
    """Pipelines as records of their definitions."""

    def __init__(self, stores: Stores, aws: LocalAws) -> None:
        self._stores = stores
        self._aws = aws

    async def create(self, params: Params, scope: Scope) -> Params:
        """CreatePipeline."""
        definition = await self._definition(params, scope)
        if definition is None:
            raise invalid("CreatePipeline needs PipelineDefinition or PipelineDefinitionS3Location.")
        store, name = self._stores.of(scope), params["PipelineName"]
        arn = arn_of("pipeline", name, scope)
        if any(record.arn == arn for record in store.pipelines.values()):
            raise invalid(
                "Pipeline names must be unique within an AWS account and region. "
                f"Pipeline with name ({name}) already exists."
            )
        store.pipelines[name] = new_record(name, arn, params | {"PipelineDefinition": definition}, store)
        return {"PipelineArn": arn}

    async def update(self, params: Params, scope: Scope) -> Params:
        """UpdatePipeline: what is not given stays."""
        find_pipeline(self._stores.of(scope), params["PipelineName"], scope)
        definition = await self._definition(params, scope)
        record = find_pipeline(
            self._stores.of(scope), params["PipelineName"], scope
        )  # may have gone meanwhile
        record.request |= {name: value for name, value in params.items() if name != "PipelineName"}
        if definition is not None:
            record.request["PipelineDefinition"] = definition
        record.modified_at = now()
        return {"PipelineArn": record.arn}

    async def describe(self, params: Params, scope: Scope) -> Params:
        """DescribePipeline, by name or ARN."""
        record = find_pipeline(self._stores.of(scope), params["PipelineName"], scope)
        if "PipelineVersionId" in params:
            raise invalid(
                "The sandbox keeps only the latest version of a pipeline: leave PipelineVersionId out."
            )
        return {
            **_members(record, _DESCRIBED),
            "PipelineArn": record.arn,
            "PipelineStatus": "Active",
            "CreationTime": record.created_at,
            "LastModifiedTime": record.modified_at,
            "CreatedBy": {},
            "LastModifiedBy": {},
            **_last_run("LastRunTime", self._stores.of(scope), record),
        }

    async def list(self, params: Params, scope: Scope) -> Params:
        """ListPipelines."""
        store = self._stores.of(scope)
        pipelines = store.pipelines
        prefix = params.get("PipelineNamePrefix", "")
        renamed = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
        page, token = list_resources(
            [record for record in pipelines.values() if record.name.startswith(prefix)],
            {renamed.get(name, name): value for name, value in params.items()},
            f"pipelines:{prefix}",
        )
        summaries = [
            {
                **_members(pipelines[record.name], _SUMMARISED),
                "PipelineArn": record.arn,
                "CreationTime": record.created_at,
                "LastModifiedTime": record.modified_at,
                **_last_run("LastExecutionTime", store, pipelines[record.name]),
            }
            for record in page
        ]
        return answer_page("PipelineSummaries", summaries, token)

    async def delete(self, params: Params, scope: Scope) -> Params:
        """DeletePipeline."""
        store = self._stores.of(scope)
        record = find_pipeline(store, params["PipelineName"], scope)
        running = [
            execution.arn
            for execution in store.pipeline_executions.values()
            if execution.pipeline_arn == record.arn and execution.status in (EXECUTING, STOPPING)
        ]
        if running:
            raise ServiceError(
                "ConflictException",
                f"Pipeline {record.name} has executions that run: {', '.join(running)}. Stop them first.",
            )
        del store.pipelines[record.name]
        store.tags.pop(record.arn, None)
        return {"PipelineArn": record.arn}

    async def _definition(self, params: Params, scope: Scope) -> str | None:
        text, location = params.get("PipelineDefinition"), params.pop("PipelineDefinitionS3Location", None)
        if text is not None and location is not None:
            raise invalid("Give PipelineDefinition or PipelineDefinitionS3Location, not both.")
        if location is not None:
            text = await asyncio.to_thread(self._fetch, location, scope)
        if text is not None:
            check_definition(text)
        return text

    def _fetch(self, location: Params, scope: Scope) -> str:
        bucket, key = location["Bucket"], location["ObjectKey"]
        version = {"VersionId": location["VersionId"]} if "VersionId" in location else {}
        try:
            answer = self._aws.client("s3", scope).get_object(Bucket=bucket, Key=key, **version)
            return str(answer["Body"].read().decode())
        except (ClientError, BotoCoreError, UnicodeDecodeError) as error:
            raise invalid(
                f"Unable to read the pipeline definition at s3://{bucket}/{key}: {error}"
            ) from error


def find_pipeline(store: Store, name_or_arn: str, scope: Scope) -> Record:
    """A pipeline by its name or ARN.

    Raises:
        ServiceError: There is none.
    """
    arn = arn_of("pipeline", name_or_arn.rpartition("/")[2], scope)
    for record in store.pipelines.values():
        if record.arn == arn:
            return record
    raise ServiceError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")


def _members(record: Record, names: tuple[str, ...]) -> Params:
    return {name: record.request[name] for name in names if name in record.request}


def _last_run(member: str, store: Store, record: Record) -> dict[str, datetime]:
    """When the latest execution of a pipeline started, as a member of an answer."""
    times = [
        execution.created_at
        for execution in store.pipeline_executions.values()
        if execution.pipeline_arn == record.arn
    ]
    return {member: max(times)} if times else {}
