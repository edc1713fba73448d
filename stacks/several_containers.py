"""What the patterns share whose model is several containers; how requests reach those makes the pattern."""

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


class SeveralContainersStack(EndpointStack[SeveralContainersSettings]):
    """A pattern's stack with one endpoint whose instances run several containers each.

    Attributes:
        invocation: How requests reach the containers.
    """

    invocation: ClassVar[ContainerInvocation]
    settings_type: ClassVar[type[PatternSettings]] = SeveralContainersSettings

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
            invocation=self.invocation,
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
                "InferenceMode": self.invocation.value,
            },
        )
