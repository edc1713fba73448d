"""Typed settings of the batch pattern: the job, the workflow, what starts it, and where rows land."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import aws_cdk as cdk
from pydantic import Field

from sagemaker_serving.alarms import Severity
from sagemaker_serving.batch_monitoring import BatchThresholds
from sagemaker_serving.batch_triggers import Day, Schedule, check_prefix
from sagemaker_serving.dynamodb_sink import check_table
from sagemaker_serving.errors import Findings
from sagemaker_serving.postgresql_sink import DatabaseCapacity
from sagemaker_serving.transform import BatchStrategy, BatchTransform, ModelClient
from sagemaker_serving.transform_workflow import WorkflowSettings

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


class ScheduleSettings(Section):
    """A start by the clock: each day, once a week, or by a cron expression."""

    every: Literal["day", "week", "cron"]
    at: str | None = None
    day: Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"] | None = None
    expression: str | None = None
    time_zone: str = "UTC"
    flexible_minutes: int = 0
    prefix: str = ""

    def build(self) -> Schedule:
        """As `ScheduleTrigger` takes it."""
        needed = {"day": ("at",), "week": ("day", "at"), "cron": ("expression",)}[self.every]
        findings = Findings("schedule")
        for key in ("at", "day", "expression"):
            given = getattr(self, key)
            findings.require(
                (given is not None) == (key in needed),
                key,
                given,
                f"every: {self.every} takes {' and '.join(needed)}, and none of the others",
                f"give {key}" if given is None else "remove it",
            )
        check_prefix(findings, self.prefix)
        findings.raise_if_any()
        zone: dict[str, Any] = {"time_zone": self.time_zone, "flexible_minutes": self.flexible_minutes}
        if self.every == "cron":
            return Schedule.cron(str(self.expression), **zone)
        if self.every == "week":
            return Schedule.weekly(Day(str(self.day)), str(self.at), **zone)
        return Schedule.daily(str(self.at), **zone)


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

    schedule: ScheduleSettings | None = None
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
