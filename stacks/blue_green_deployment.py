"""Blue/green deployment guardrails: versions of a model, moved in steps, taken back by alarms."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.deployment_notifications import DeploymentNotifications
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings
from sagemaker_serving.limits import suggest
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic, EncryptionKey
from sagemaker_serving.variants import InstanceVariant

from .endpoint_stack import EndpointStack
from .model_settings import ModelSettings
from .settings import GuardedEndpointSettings, PatternSettings


class BlueGreenSettings(GuardedEndpointSettings):
    """The section ``patterns.blue-green`` of a configuration file."""

    version: str
    versions: dict[str, ModelSettings]

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """See `GuardedEndpointSettings.check`; and the version is one of the versions."""
        super().check(findings, variant)
        findings.require(
            self.version in self.versions,
            "version",
            self.version,
            f"is none of the versions: {', '.join(self.versions) or 'there are none'}",
            suggest(self.version, self.versions) if self.versions else "add it to versions",
        )
        for name, model in self.versions.items():
            model.check_image(
                findings, f"versions.{name}", variant.instance, instance_key="endpoint.instance_type"
            )


class BlueGreenDeployment(EndpointStack[BlueGreenSettings]):
    """Blue/green deployment guardrails: a new version of a model gets the traffic step by step, or none."""

    pattern: ClassVar[str] = "blue-green"
    settings_type: ClassVar[type[PatternSettings]] = BlueGreenSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        version = settings.versions[settings.version]
        variant = settings.endpoint.starting_within(version.startup_timeout_seconds).build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = version.serving_model(self, "Model", root=target.root, instance=variant.instance)
        monitoring = EndpointMonitoring(
            self,
            "Monitoring",
            endpoint_name=self.endpoint_name,
            variants=[variant],
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
            endpoint, topic=topic, monitoring=monitoring, outputs={"ModelVersion": settings.version}
        )
