"""Real-time inference: a managed HTTPS endpoint on instances that follow the load."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.data_capture import DataCapture
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings
from sagemaker_serving.instances import Architecture
from sagemaker_serving.model import ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic, DataBucket, EncryptionKey

from .base import PatternStack
from .model_settings import ModelSettings
from .settings import (
    AlarmSettings,
    CaptureSettings,
    DeploymentSettings,
    InstanceSettings,
    PatternSettings,
    ScalingSettings,
)


class RealtimeSettings(PatternSettings):
    """The section ``patterns.realtime`` of a configuration file."""

    model: ModelSettings
    endpoint: InstanceSettings
    scaling: ScalingSettings | None = None
    deployment: DeploymentSettings
    alarms: AlarmSettings = AlarmSettings()
    data_capture: CaptureSettings | None = None

    keys: ClassVar[dict[str, str]] = {
        "version": "model.framework_version",
        "processor": "endpoint.instance_type",
        "auto_scaling": "scaling",
    }

    def key_of(self, field: str) -> str:
        """The same, and what the deployment calls its own."""
        section, dot, rest = field.partition("deployment.")
        return f"deployment.{self.deployment.key_of(rest)}" if dot and not section else super().key_of(field)

    def build(self) -> None:
        """Refuse sections that do not fit together."""
        variant = self.endpoint.build()
        self.model.framework_image(variant.instance)
        findings = Findings("patterns.realtime")
        self.deployment.build().check_against(findings, [variant])
        if self.scaling:
            self.scaling.build().check_against(findings, variant)
        findings.raise_if_any()


class RealtimeInference(PatternStack[RealtimeSettings]):
    """Real-time inference: one model behind an endpoint that scales, watches itself and updates safely."""

    pattern: ClassVar[str] = "realtime"
    settings_type: ClassVar[type[PatternSettings]] = RealtimeSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant = settings.endpoint.build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = ServingModel(
            self,
            "Model",
            containers=[settings.model.container(self, target.root, variant.instance)],
            architecture=variant.instance.architecture or Architecture.X86_64,
            vpc=settings.model.vpc_attachment(),
            network_isolation=settings.model.network_isolation,
        )
        monitoring = EndpointMonitoring(
            self,
            "Monitoring",
            endpoint_name=self.endpoint_name,
            variants=[variant],
            topic=topic,
            thresholds=settings.alarms.build(),
            window=settings.alarms.window(),
        )
        capture = None
        if settings.data_capture:
            bucket = DataBucket(self, "CapturedData", key=key, retention=target.retention)
            capture = DataCapture(
                bucket=bucket, key=key, sampling_percentage=settings.data_capture.sampling_percentage
            )
        endpoint = ServingEndpoint(
            self,
            "Endpoint",
            endpoint_name=self.endpoint_name,
            variants=[ServedVariant(model=model, variant=variant)],
            key=key,
            retention=target.retention,
            deployment=settings.deployment.build(),
            rollback_alarms=monitoring.rollback_alarms,
            data_capture=capture,
        )
        if settings.scaling:
            endpoint.scale_variant(variant.name, settings.scaling.build())

        self.publish(
            {
                "EndpointName": endpoint.endpoint_name,
                "EndpointConfigName": endpoint.expected_config_name,
                "VariantNames": variant.name,
                "ModelArtifactUri": model.artifact_uris[0],
                "AlarmTopicArn": topic.topic_arn,
                "RollbackAlarmNames": ",".join(alarm.alarm_name for alarm in endpoint.rollback_alarms)
                or None,
                "DashboardName": monitoring.dashboard.dashboard_name,
                "DataCaptureUri": capture.uri if capture else None,
            }
        )
