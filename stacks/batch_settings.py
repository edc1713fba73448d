"""Typed settings of the batch pattern: the job, the workflow, what starts it, and where rows land."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import aws_cdk as cdk
from pydantic import Field

from sagemaker_serving.alarms import Severity
from sagemaker_serving.batch_monitoring import BatchThresholds
from sagemaker_serving.batch_triggers import check_prefix
from sagemaker_serving.dynamodb_sink import check_table
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.postgresql_sink import DatabaseCapacity
from sagemaker_serving.schedules import Schedule
from sagemaker_serving.transform import BatchStrategy, BatchTransform, ModelClient
from sagemaker_serving.transform_workflow import WorkflowSettings

from .schedule_settings import ScheduleSettings
from .settings import Seconds, Section


class TransformSettings(Section):
    """The transform job. What the workflow itself depends on (JSON lines, cut by lines, joined) is no
    setting."""

    keys: ClassVar[dict[str, str]] = {
        "timeout": "request_timeout_seconds",
        "max_retries": "request_retries",
        "max_concurrent x max_payload_mb": "max_concurrent",
    }

    instance_type: str
    instance_count: int = 1
    max_payload_mb: int = 6
    max_concurrent: int | None = None
    strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    input_filter: str = "$"
    output_filter: str = "$['id','SageMakerOutput']"
    request_timeout_seconds: Seconds = 600
    request_retries: int = 3
    environment: Mapping[str, str] = {}
    encrypt_volume: bool | None = None

    def build(self) -> BatchTransform:
        """As `TransformWorkflow` takes it."""
        return BatchTransform(
            instance_type=self.instance_type,
            instance_count=self.instance_count,
            max_payload_mb=self.max_payload_mb,
            max_concurrent=self.max_concurrent,
            strategy=BatchStrategy(self.strategy),
            input_filter=self.input_filter,
            output_filter=self.output_filter,
            client=ModelClient(
                timeout=cdk.Duration.seconds(self.request_timeout_seconds), max_retries=self.request_retries
            ),
            environment=self.environment,
            encrypt_volume=self.encrypt_volume,
        )


class BatchWorkflowSettings(Section):
    """How input is cut, how many work on it, and how long the workflow waits."""

    keys: ClassVar[dict[str, str]] = {
        "poll_interval": "poll_seconds",
        "timeout": "timeout_seconds",
    }

    id_column: str = "id"
    text_column: str = "text"
    max_text_characters: int = 10_000
    range_mb: int = 16
    prepare_concurrency: int = 20
    land_concurrency: int = 20
    poll_seconds: Seconds = 30
    timeout_seconds: Seconds = 43_200

    def build(self) -> WorkflowSettings:
        """As `TransformWorkflow` takes it."""
        return WorkflowSettings(
            id_column=self.id_column,
            text_column=self.text_column,
            max_text_characters=self.max_text_characters,
            range_mb=self.range_mb,
            prepare_concurrency=self.prepare_concurrency,
            land_concurrency=self.land_concurrency,
            poll_interval=cdk.Duration.seconds(self.poll_seconds),
            timeout=cdk.Duration.seconds(self.timeout_seconds),
        )


class BatchScheduleSettings(ScheduleSettings):
    """A start by the clock, over one prefix of the input."""

    prefix: str = ""

    def build(self) -> Schedule:
        """As `ScheduleTrigger` takes it."""
        check_prefix(findings := Findings("schedule"), self.prefix)
        try:
            made = super().build()
        except InvalidConfiguration as error:
            findings.found += error.findings
        findings.raise_if_any()
        return made


class ObjectSettings(Section):
    """A start when a manifest or a marker arrives."""

    prefix: str = ""

    def build(self) -> None:
        """Refuse a prefix that is none."""
        findings = Findings("object")
        check_prefix(findings, self.prefix)
        findings.raise_if_any()


class TriggerSettings(Section):
    """What starts the workflow by itself; without any it is started by hand."""

    schedule: BatchScheduleSettings | None = None
    object: ObjectSettings | None = None


class DynamoDbSettings(Section):
    """The table that rows land in."""

    ttl_days: int | None = None
    index_shards: int = 16

    def build(self) -> None:
        """Refuse what cannot be a table."""
        findings = Findings("dynamodb")
        check_table(findings, ttl_days=self.ttl_days, index_shards=self.index_shards)
        findings.raise_if_any()


class PostgreSqlSettings(Section):
    """The database that rows land in."""

    keys: ClassVar[dict[str, str]] = {"minimum": "min_capacity", "maximum": "max_capacity"}

    min_capacity: float = 0.5
    max_capacity: float = 4
    instances: int = 1

    def build(self) -> DatabaseCapacity:
        """As `PostgreSqlSink` takes it."""
        return DatabaseCapacity(
            minimum=self.min_capacity, maximum=self.max_capacity, instances=self.instances
        )


class BatchAlarmSettings(Section):
    """When to raise an alarm; every key has a default. Failed executions and lost starts always do."""

    sink_lag_seconds: Annotated[float, Field(gt=0)] = 1800
    quarantined_records: Annotated[int, Field(ge=1)] = 1
    silent_hours: int | None = None

    def build(self) -> BatchThresholds:
        """As `BatchMonitoring` takes it."""
        return BatchThresholds(
            sink_lag_seconds={Severity.WARNING: self.sink_lag_seconds},
            quarantined_records={Severity.WARNING: self.quarantined_records},
            silent_hours=self.silent_hours,
        )
