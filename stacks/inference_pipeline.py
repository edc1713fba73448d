"""Inference pipeline: 2 to 15 containers in a row, each fed by the one before."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.deployment_notifications import DeploymentNotifications
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.model import ContainerInvocation
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic, EncryptionKey

from .endpoint_stack import EndpointStack
from .model_settings import SeveralContainersSettings
from .settings import PatternSettings


class InferencePipelineSettings(SeveralContainersSettings):
    """The section ``patterns.inference-pipeline`` of a configuration file."""


class InferencePipeline(EndpointStack[InferencePipelineSettings]):
    """Inference pipeline: containers in series turn raw text into a readable answer."""

    pattern: ClassVar[str] = "inference-pipeline"
    settings_type: ClassVar[type[PatternSettings]] = InferencePipelineSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant = settings.endpoint.build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = settings.serving_model(
            self,
            "Model",
            root=target.root,
            instance=variant.instance,
            invocation=ContainerInvocation.SERIAL,
        )
        monitoring = EndpointMonitoring(
            self,
            "Monitoring",
            endpoint_name=self.endpoint_name,
            variants=[variant],
            container_hostnames=model.container_hostnames,
            topic=topic,
            thresholds=settings.alarms.build(),
            window=settings.alarms.window(),
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
        )
        DeploymentNotifications(self, "Notifications", endpoint=endpoint, topic=topic)
        if settings.scaling:
            endpoint.scale_variant(variant.name, settings.scaling.build())

        self.publish_endpoint(
            endpoint,
            topic=topic,
            monitoring=monitoring,
            outputs={
                "ContainerHostnames": ",".join(model.container_hostnames),
                "InferenceMode": ContainerInvocation.SERIAL.value,
            },
        )
