"""Serverless inference: no instances; containers start for requests and go when there are none."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import aws_cdk as cdk
from pydantic import Field, model_validator

from sagemaker_serving.alarms import AlarmThresholds, AlarmWindow, Severity
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Finding, Findings, InvalidConfiguration
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.storage import AlarmTopic, EncryptionKey
from sagemaker_serving.variants import ServerlessVariant

from .endpoint_stack import EndpointStack
from .model_settings import ModelSettings
from .settings import PatternSettings, Percent, Seconds, Section, Share, check_memory


class ServerlessVariantSettings(Section):
    """How big a container is, and how many there may be."""

    memory_mb: int
    max_concurrency: int
    provisioned_concurrency: int | None = None

    def build(self) -> ServerlessVariant:
        """The endpoint's one variant, named ``primary``."""
        return ServerlessVariant(
            memory_mb=self.memory_mb,
            max_concurrency=self.max_concurrency,
            provisioned_concurrency=self.provisioned_concurrency,
        )


class ProvisionedScalingSettings(Section):
    """How the provisioned concurrency follows its use."""

    keys: ClassVar[dict[str, str]] = {
        "min_capacity": "min_provisioned_concurrency",
        "max_capacity": "max_provisioned_concurrency",
        "target": "utilization",
        "scale_in_cooldown": "scale_in_cooldown_seconds",
        "scale_out_cooldown": "scale_out_cooldown_seconds",
    }

    min_provisioned_concurrency: int
    max_provisioned_concurrency: int
    utilization: float = 0.7
    scale_in_cooldown_seconds: Seconds = 300
    scale_out_cooldown_seconds: Seconds = 60

    def build(self) -> AutoScaling:
        """As `ServingEndpoint.scale_variant` takes it."""
        return AutoScaling(
            min_capacity=self.min_provisioned_concurrency,
            max_capacity=self.max_provisioned_concurrency,
            policies=[
                TargetTracking.provisioned_concurrency_utilization(
                    self.utilization,
                    scale_in_cooldown=cdk.Duration.seconds(self.scale_in_cooldown_seconds),
                    scale_out_cooldown=cdk.Duration.seconds(self.scale_out_cooldown_seconds),
                )
            ],
        )


class ServerlessAlarmSettings(Section):
    """When to raise an alarm; every key has a default."""

    keys: ClassVar[dict[str, str]] = {"evaluation_periods": "evaluation_minutes"}

    evaluation_minutes: int = 2
    server_error_rate: Share = 0.05
    client_error_rate: Share = 0.25
    model_latency_p99_milliseconds: Annotated[float, Field(gt=0)] = 1000
    memory_percent: Percent = 85
    concurrency_percent: Percent = 80
    setup_time_p99_seconds: Annotated[float, Field(gt=0)] = 60
    idle_hours: int | None = 24

    def build(self) -> AlarmThresholds:
        """As `EndpointMonitoring` takes it."""
        self.window()
        return AlarmThresholds(
            server_error_rate={Severity.CRITICAL: self.server_error_rate},
            client_error_rate={Severity.WARNING: self.client_error_rate},
            model_latency_p99_seconds={Severity.CRITICAL: self.model_latency_p99_milliseconds / 1000},
            memory_percent={Severity.WARNING: self.memory_percent},
            concurrency_percent={Severity.WARNING: self.concurrency_percent},
            setup_time_p99_seconds={Severity.WARNING: self.setup_time_p99_seconds},
            idle_hours=self.idle_hours,
        )

    def window(self) -> AlarmWindow:
        """How long a threshold must be exceeded, in data points of a minute."""
        return AlarmWindow(evaluation_periods=self.evaluation_minutes)


_EXCLUDED = {
    "data_capture": "serverless endpoints record no requests",
    "variants": "a serverless endpoint has one production variant",
    "shadow": "shadow variants copy from instances only",
    "deployment": "serverless endpoints are updated without deployment guardrails",
    "endpoint": "serverless endpoints have no instances",
}
"""Sections of other patterns that people look for here, and why there are none (developer guide, serverless
endpoints, feature exclusions; guardrails exclusions)."""


class ServerlessSettings(PatternSettings):
    """The section ``patterns.serverless`` of a configuration file."""

    keys: ClassVar[dict[str, str]] = {
        "scaling.min_capacity": "scaling.min_provisioned_concurrency",
        "scaling.max_capacity": "scaling.max_provisioned_concurrency",
    }

    model: ModelSettings
    serverless: ServerlessVariantSettings
    scaling: ProvisionedScalingSettings | None = None
    alarms: ServerlessAlarmSettings = ServerlessAlarmSettings()

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_excluded(cls, given: Any) -> Any:
        """A reason instead of "there is no such key here"."""
        found = [
            Finding(key, value, f"{_EXCLUDED[key]} (developer guide, serverless endpoints)", "remove it")
            for key, value in (given.items() if isinstance(given, dict) else ())
            if key in _EXCLUDED
        ]
        if found:
            raise InvalidConfiguration("patterns.serverless", found)
        return given

    def build(self) -> None:
        """Refuse sections that do not fit together."""
        findings = Findings("patterns.serverless")
        for key, given in (
            ("vpc", self.model.vpc is not None),
            ("network_isolation", self.model.network_isolation),
        ):
            findings.require(
                not given,
                f"model.{key}",
                getattr(self.model, key),
                "serverless endpoints have neither a VPC nor network isolation (developer guide, serverless "
                "endpoints, feature exclusions)",
                "remove it, or use the pattern realtime",
            )
        self.model.check_image(findings, "model", None, instance_key="model.framework_version")
        check_memory(findings, "serverless.memory_mb", self.serverless.memory_mb, self.model.least_memory_mb)
        if self.scaling:
            self.scaling.build().check_against(findings, self.serverless.build(), "scaling")
        findings.raise_if_any()


class ServerlessInference(EndpointStack[ServerlessSettings]):
    """Serverless inference: a model that costs nothing while nobody calls, and starts when somebody does."""

    pattern: ClassVar[str] = "serverless"
    settings_type: ClassVar[type[PatternSettings]] = ServerlessSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant = settings.serverless.build()

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        model = settings.model.serving_model(self, "Model", root=target.root, instance=None)
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
        )
        if settings.scaling:
            endpoint.scale_variant(variant.name, settings.scaling.build())

        self.publish_endpoint(
            endpoint,
            topic=topic,
            monitoring=monitoring,
            outputs={"ModelArtifactUri": model.artifact_uris[0]},
        )
