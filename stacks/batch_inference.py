"""Batch inference: files of rows are scored by a transform job, and each row lands in a table once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sagemaker_serving.batch_monitoring import BatchMonitoring
from sagemaker_serving.batch_storage import Folder
from sagemaker_serving.batch_triggers import ObjectTrigger, ScheduleTrigger
from sagemaker_serving.dynamodb_sink import DynamoDbSink
from sagemaker_serving.errors import Findings
from sagemaker_serving.postgresql_sink import PostgreSqlSink
from sagemaker_serving.storage import AlarmTopic, DeadLetterQueue, EncryptionKey
from sagemaker_serving.transform_workflow import TransformWorkflow

from .base import PatternStack
from .batch_settings import (
    BatchAlarmSettings,
    BatchWorkflowSettings,
    DynamoDbSettings,
    PostgreSqlSettings,
    TransformSettings,
    TriggerSettings,
)
from .model_settings import ModelSettings
from .settings import PatternSettings

CODE = "model_code/batch"
"""The functions' code."""


class BatchSettings(PatternSettings):
    """The section ``patterns.batch`` of a configuration file."""

    model: ModelSettings
    transform: TransformSettings
    workflow: BatchWorkflowSettings = BatchWorkflowSettings()
    trigger: TriggerSettings = TriggerSettings()
    sink: Literal["dynamodb", "postgresql"] = "dynamodb"
    dynamodb: DynamoDbSettings = DynamoDbSettings()
    postgresql: PostgreSqlSettings = PostgreSqlSettings()
    notification_emails: list[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]] = Field(
        default_factory=list
    )
    alarms: BatchAlarmSettings = BatchAlarmSettings()

    def build(self) -> None:
        """Refuse sections that do not fit together."""
        findings = Findings("patterns.batch")
        transform = self.transform.build()
        self.model.check_image(findings, "model", transform.instance, instance_key="transform.instance_type")
        findings.raise_if_any()


class BatchInference(PatternStack[BatchSettings]):
    """Batch inference: files in S3 are scored on a schedule, and each row lands in a table exactly once."""

    pattern: ClassVar[str] = "batch"
    settings_type: ClassVar[type[PatternSettings]] = BatchSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        transform = settings.transform.build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = settings.model.serving_model(self, "Model", root=target.root, instance=transform.instance)
        sink = self._sink(key)
        workflow = TransformWorkflow(
            self,
            "Workflow",
            workflow_name=self.endpoint_name,
            model=model,
            transform=transform,
            sink=sink,
            code=target.root / CODE,
            settings=settings.workflow.build(),
            key=key,
            retention=target.retention,
            failure_emails=settings.notification_emails,
        )
        dead_letters = self._triggers(workflow, key)
        monitoring = BatchMonitoring(
            self,
            "Monitoring",
            workflow=workflow,
            dead_letters=dead_letters,
            sink_metrics=sink.metrics(),
            topic=topic,
            thresholds=settings.alarms.build(),
        )

        self.publish(
            {
                "StateMachineArn": workflow.state_machine_arn,
                "InputUri": workflow.storage.uri(Folder.INPUT),
                "OutputUri": workflow.storage.uri(Folder.OUTPUT),
                "QuarantineUri": workflow.storage.uri(Folder.QUARANTINE),
                "ClaimsTableName": workflow.storage.claims.table_name,
                "SinkKind": str(sink.kind),
                **sink.outputs(),
                "IdColumn": workflow.settings.id_column,
                "TextColumn": workflow.settings.text_column,
                "ModelName": model.model_name,
                "ModelArtifactUri": model.artifact_uris[0],
                "FailureTopicArn": workflow.failure_topic.topic_arn,
                "AlarmTopicArn": topic.topic_arn,
                "DashboardName": monitoring.dashboard.dashboard_name,
            }
        )

    def _sink(self, key: EncryptionKey) -> DynamoDbSink | PostgreSqlSink:
        settings, retention = self.settings, self.target.retention
        if settings.sink == "postgresql":
            capacity = settings.postgresql.build()
            return PostgreSqlSink(
                self,
                "Sink",
                cluster_name=self.endpoint_name,
                key=key,
                retention=retention,
                capacity=capacity,
            )
        return DynamoDbSink(
            self,
            "Sink",
            key=key,
            retention=retention,
            ttl_days=settings.dynamodb.ttl_days,
            index_shards=settings.dynamodb.index_shards,
        )

    def _triggers(self, workflow: TransformWorkflow, key: EncryptionKey) -> dict[str, DeadLetterQueue]:
        trigger, made = self.settings.trigger, {}
        if trigger.schedule:
            made["schedule"] = ScheduleTrigger(
                self,
                "OnSchedule",
                workflow=workflow,
                schedule=trigger.schedule.build(),
                prefix=trigger.schedule.prefix,
                key=key,
            ).dead_letters
        if trigger.object:
            made["object trigger"] = ObjectTrigger(
                self, "OnObject", workflow=workflow, prefix=trigger.object.prefix, key=key
            ).dead_letters
        return made
