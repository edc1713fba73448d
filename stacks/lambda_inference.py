"""Lambda container: a model in a container image, called by the Lambda API or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import aws_cdk as cdk
from pydantic import Field

from sagemaker_serving.alarms import AlarmWindow, Severity
from sagemaker_serving.container_function import ContainerFunction, HttpFront, ProvisionedConcurrency
from sagemaker_serving.errors import Findings
from sagemaker_serving.function_monitoring import FunctionMonitoring, FunctionThresholds
from sagemaker_serving.instances import Architecture
from sagemaker_serving.storage import AlarmTopic, EncryptionKey

from .base import PatternStack
from .settings import PatternSettings, Section, check_made, check_memory


class ProvisionedSettings(Section):
    """Execution environments that are started ahead."""

    minimum: int
    maximum: int | None = None
    target_utilization: float = 0.7

    def build(self) -> ProvisionedConcurrency:
        """As `ContainerFunction` takes it."""
        return ProvisionedConcurrency(
            minimum=self.minimum, maximum=self.maximum, target_utilization=self.target_utilization
        )


class FunctionModelSettings(Section):
    """What the function's image is built from, and the memory that it needs."""

    directory: str
    shared_directories: Sequence[str] = ()
    least_memory_mb: Annotated[int, Field(gt=0)] | None = None
    made_by: str | None = None


class FunctionSettings(Section):
    """How big the function is, and how many may run."""

    architecture: Literal["x86_64", "arm64"] = "x86_64"
    memory_mb: int = 1024
    timeout_seconds: int = 15
    environment: Mapping[str, str] = {}
    reserved_concurrency: int | None = None
    provisioned_concurrency: ProvisionedSettings | None = None


class FunctionAlarmSettings(Section):
    """When to raise an alarm; every key has a default."""

    keys: ClassVar[dict[str, str]] = {"evaluation_periods": "evaluation_minutes"}

    evaluation_minutes: int = 2
    error_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    throttles_per_minute: Annotated[int, Field(ge=1)] = 1
    duration_share_of_timeout: Annotated[float, Field(gt=0, le=1)] = 0.8

    def build(self) -> FunctionThresholds:
        """As `FunctionMonitoring` takes it."""
        self.window()
        return FunctionThresholds(
            error_rate={Severity.CRITICAL: self.error_rate},
            throttles={Severity.WARNING: self.throttles_per_minute},
            duration_share={Severity.WARNING: self.duration_share_of_timeout},
        )

    def window(self) -> AlarmWindow:
        """How long a threshold must be exceeded, in data points of a minute."""
        return AlarmWindow(evaluation_periods=self.evaluation_minutes)


class LambdaSettings(PatternSettings):
    """The section ``patterns.lambda`` of a configuration file."""

    model: FunctionModelSettings
    function: FunctionSettings = FunctionSettings()
    http: Literal["function_url", "http_api", "none"] = "function_url"
    alarms: FunctionAlarmSettings = FunctionAlarmSettings()

    def build(self) -> None:
        """Refuse a function that is too small for its model."""
        findings = Findings("patterns.lambda")
        check_memory(findings, "function.memory_mb", self.function.memory_mb, self.model.least_memory_mb)
        findings.raise_if_any()


class LambdaInference(PatternStack[LambdaSettings]):
    """Lambda container: a model in a container image that costs nothing while nobody calls."""

    pattern: ClassVar[str] = "lambda"
    settings_type: ClassVar[type[PatternSettings]] = LambdaSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        wanted = settings.function
        model = settings.model
        check_made("patterns.lambda.model", target.root, model.shared_directories, model.made_by)

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        function = ContainerFunction(
            self,
            "Function",
            function_name=self.endpoint_name,
            directory=target.root / model.directory,
            shared=[target.root / folder for folder in model.shared_directories],
            architecture=Architecture(wanted.architecture),
            memory_mb=wanted.memory_mb,
            timeout=cdk.Duration.seconds(wanted.timeout_seconds),
            environment=wanted.environment,
            reserved_concurrency=wanted.reserved_concurrency,
            provisioned_concurrency=wanted.provisioned_concurrency.build()
            if wanted.provisioned_concurrency
            else None,
            http_front=None if settings.http == "none" else HttpFront(settings.http),
            key=key,
            retention=target.retention,
        )
        monitoring = FunctionMonitoring(
            self,
            "Monitoring",
            function=function,
            topic=topic,
            thresholds=settings.alarms.build(),
            window=settings.alarms.window(),
        )

        self.publish(
            {
                "FunctionName": function.function_name,
                "FunctionAlias": function.alias.alias_name,
                "FunctionArn": function.alias.function_arn,
                "HttpUrl": function.http_url,
                "HttpFront": settings.http if function.http_url else None,
                "AlarmTopicArn": topic.topic_arn,
                "DashboardName": monitoring.dashboard.dashboard_name,
            }
        )
