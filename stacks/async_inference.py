"""Asynchronous inference: requests wait in a queue, answers lie in S3, and topics tell of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import aws_cdk as cdk
from pydantic import Field

from sagemaker_serving.alarms import AlarmThresholds, Severity
from sagemaker_serving.async_inference import AsyncInference as AsyncRequests
from sagemaker_serving.async_inference import NotificationTopic, check_concurrency
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking, WakeFromZero
from sagemaker_serving.storage import AlarmTopic, EncryptionKey
from sagemaker_serving.variants import InstanceVariant

from .endpoint_stack import EndpointStack
from .model_settings import ModelSettings
from .settings import AlarmSettings, GuardedEndpointSettings, PatternSettings, Seconds, Section

_NOTIFICATIONS = {"success": NotificationTopic.SUCCESS, "error": NotificationTopic.ERROR}


class BacklogScalingSettings(Section):
    """How the number of instances follows the requests that wait."""

    keys: ClassVar[dict[str, str]] = {
        "min_capacity": "min_instances",
        "max_capacity": "max_instances",
        "target": "backlog_per_instance",
        "scale_in_cooldown": "scale_in_cooldown_seconds",
        "scale_out_cooldown": "scale_out_cooldown_seconds",
        "cooldown": "wake_cooldown_seconds",
    }

    min_instances: int
    max_instances: int
    backlog_per_instance: float
    scale_in_cooldown_seconds: Seconds = 300
    scale_out_cooldown_seconds: Seconds = 300
    wake_cooldown_seconds: Seconds = 300

    def build(self) -> AutoScaling:
        """As `ServingEndpoint.scale_variant` takes it; what can sleep at zero is woken, too."""
        tracking = TargetTracking.backlog_per_instance(
            self.backlog_per_instance,
            scale_in_cooldown=cdk.Duration.seconds(self.scale_in_cooldown_seconds),
            scale_out_cooldown=cdk.Duration.seconds(self.scale_out_cooldown_seconds),
        )
        waking = WakeFromZero(cooldown=cdk.Duration.seconds(self.wake_cooldown_seconds))
        return AutoScaling(
            min_capacity=self.min_instances,
            max_capacity=self.max_instances,
            policies=[tracking, waking] if self.min_instances == 0 else [tracking],
        )


class AsyncAlarmSettings(AlarmSettings):
    """When to raise an alarm; every key has a default."""

    model_latency_p99_milliseconds: Annotated[float, Field(gt=0)] = 600_000
    backlog_age_seconds: Annotated[float, Field(gt=0)] = 1800
    failed_requests: Annotated[int, Field(ge=1)] = 1

    def build(self) -> AlarmThresholds:
        """As `EndpointMonitoring` takes it."""
        return replace(
            super().build(),
            backlog_age_seconds={Severity.CRITICAL: self.backlog_age_seconds},
            failed_requests={Severity.WARNING: self.failed_requests},
        )


class AsyncSettings(GuardedEndpointSettings):
    """The section ``patterns.async`` of a configuration file."""

    keys: ClassVar[dict[str, str]] = {
        **GuardedEndpointSettings.keys,
        "scaling.min_capacity": "scaling.min_instances",
        "scaling.max_capacity": "scaling.max_instances",
    }

    model: ModelSettings
    scaling: BacklogScalingSettings | None = None  # type: ignore[assignment]  # other metrics are published
    max_concurrent_invocations_per_instance: int | None = None
    include_response_in: list[Literal["success", "error"]] = Field(default_factory=list)
    notification_emails: list[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]] = Field(
        default_factory=list
    )
    alarms: AsyncAlarmSettings = AsyncAlarmSettings()

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """Note what does not fit together; see `GuardedEndpointSettings.check`."""
        self.deployment.build().check_against(findings, [variant])
        if self.scaling:
            self.scaling.build().check_against(findings, variant, "scaling", asynchronous=True)
        self.model.check_image(findings, "model", variant.instance, instance_key="endpoint.instance_type")
        check_concurrency(findings, self.max_concurrent_invocations_per_instance)


class AsyncInference(EndpointStack[AsyncSettings]):
    """Asynchronous inference: large requests wait in a queue for instances that sleep when there are none."""

    pattern: ClassVar[str] = "async"
    settings_type: ClassVar[type[PatternSettings]] = AsyncSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant = settings.endpoint.build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = settings.model.serving_model(self, "Model", root=target.root, instance=variant.instance)
        requests = AsyncRequests(
            self,
            "Requests",
            key=key,
            retention=target.retention,
            emails=settings.notification_emails,
            max_concurrent_invocations_per_instance=settings.max_concurrent_invocations_per_instance,
            include_response_in=[_NOTIFICATIONS[name] for name in settings.include_response_in],
        )
        monitoring = EndpointMonitoring(
            self,
            "Monitoring",
            endpoint_name=self.endpoint_name,
            variants=[variant],
            async_inference=requests,
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
            async_inference=requests,
        )
        if settings.scaling:
            endpoint.scale_variant(variant.name, settings.scaling.build())

        self.publish_endpoint(
            endpoint,
            topic=topic,
            monitoring=monitoring,
            outputs={
                "ModelArtifactUri": model.artifact_uris[0],
                "InputUri": requests.input_uri,
                "OutputUri": requests.output_uri,
                "FailureUri": requests.failure_uri,
                "SuccessTopicArn": requests.success.topic.topic_arn,
                "ErrorTopicArn": requests.error.topic.topic_arn,
                "SuccessQueueUrl": requests.success.queue.queue_url,
                "ErrorQueueUrl": requests.error.queue.queue_url,
            },
        )
