"""Real-time inference: a managed HTTPS endpoint on instances that follow the load."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.data_capture import DataCapture
from sagemaker_serving.deployment_notifications import DeploymentNotifications
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic, DataBucket, EncryptionKey
from sagemaker_serving.variants import InstanceVariant

from .endpoint_stack import EndpointStack
from .model_settings import ModelSettings
from .settings import CaptureSettings, GuardedEndpointSettings, PatternSettings


class RealtimeSettings(GuardedEndpointSettings):
    """The section ``patterns.realtime`` of a configuration file."""

    model: ModelSettings
    data_capture: CaptureSettings | None = None

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """See `GuardedEndpointSettings.check`; and the image has to fit the instance type."""
        super().check(findings, variant)
        self.model.check_image(findings, "model", variant.instance, instance_key="endpoint.instance_type")


class RealtimeInference(EndpointStack[RealtimeSettings]):
    """Real-time inference: one model behind an endpoint that scales, watches itself and updates safely."""

    pattern: ClassVar[str] = "realtime"
    settings_type: ClassVar[type[PatternSettings]] = RealtimeSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant = settings.endpoint.starting_within(settings.model.startup_timeout_seconds).build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = settings.model.serving_model(self, "Model", root=target.root, instance=variant.instance)
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
        DeploymentNotifications(self, "Notifications", endpoint=endpoint, topic=topic)
        if settings.scaling:
            endpoint.scale_variant(variant.name, settings.scaling.build())

        self.publish_endpoint(
            endpoint,
            topic=topic,
            monitoring=monitoring,
            outputs={
                "ModelArtifactUri": model.artifact_uris[0],
                "DataCaptureUri": capture.uri if capture else None,
            },
        )
