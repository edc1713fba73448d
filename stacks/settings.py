"""Typed settings that several patterns share; each section turns itself into the library's value.

The library's rules are not repeated here: a section builds its value when it is read, and what the value
complains about is reported under the key that a person wrote (`Section.keys`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import aws_cdk as cdk
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagemaker_serving.alarms import AlarmThresholds, AlarmWindow, Severity
from sagemaker_serving.deployment import AllAtOnce, Canary, CapacitySize, DeploymentPolicy, Linear, Rolling
from sagemaker_serving.errors import Finding, Findings, InvalidConfiguration
from sagemaker_serving.scaling_policies import AutoScaling, TargetTracking
from sagemaker_serving.storage import Retention
from sagemaker_serving.variants import InstanceVariant, ShadowVariant

Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(gt=0, le=100)]


class Section(BaseModel):
    """A part of a configuration file: unknown keys, wrong types and values that the library refuses are
    mistakes.

    Attributes:
        keys: What the library calls a value to the key that holds it, where the two differ.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    keys: ClassVar[dict[str, str]] = {}

    def build(self) -> object:
        """The library's value that this section describes; None where there is none."""
        return None

    def key_of(self, field: str) -> str:
        """The key that holds what the library calls ``field``."""
        return self.keys.get(field, self.keys.get(field.partition("[")[0], field))

    @model_validator(mode="after")
    def _library_accepts(self) -> Self:
        try:
            self.build()
        except InvalidConfiguration as error:
            renamed = [replace(finding, field=self.key_of(finding.field)) for finding in error.findings]
            raise InvalidConfiguration(error.where, renamed) from None
        return self


@contextmanager
def noted(findings: Findings, prefix: str, section: Section) -> Iterator[None]:
    """Within it, what the library refuses is noted under a section's keys, and not raised.

    Args:
        findings: Where it is noted.
        prefix: Where the section is.
        section: Whose keys they are.
    """
    try:
        yield
    except InvalidConfiguration as error:
        findings.found += [
            replace(found, field=f"{prefix}.{section.key_of(found.field)}") for found in error.findings
        ]


def check_memory(findings: Findings, field: str, memory_mb: int, least: int | None) -> None:
    """Note a finding where a model has less memory than it says it needs.

    Args:
        findings: Where to note it.
        field: The key that holds the memory.
        memory_mb: What it has.
        least: What it needs; None if it does not say.
    """
    findings.require(
        least is None or memory_mb >= least,
        field,
        memory_mb,
        f"the model needs {least} MB at least (its least_memory_mb); with less it is killed while it starts, "
        "or in the middle of a request",
        f"give {least} or more",
    )


def check_made(where: str, root: Path, folders: Sequence[str], made_by: str | None) -> None:
    """Refuse folders that a command has to make first, in words that name the command.

    Args:
        where: What needs them.
        root: What they are relative to.
        folders: The folders.
        made_by: The command; None if none makes any of them, and whoever packs them tells what is missing.

    Raises:
        InvalidConfiguration: One is not there.
    """
    findings = Findings(where)
    for folder in folders if made_by else ():
        findings.require(
            (root / folder).is_dir(),
            "directory",
            folder,
            "does not exist: it is no part of the repository, a command makes it",
            f"run: {made_by}",
        )
    findings.raise_if_any()


class DataSettings(Section):
    """What becomes of data and logs."""

    keys: ClassVar[dict[str, str]] = {"log_days": "log_retention_days", "data_days": "retention_days"}

    keep: bool = Field(description="keep buckets, key and logs when the stack is removed")
    retention_days: int = 90
    log_retention_days: int = 30

    def build(self) -> Retention:
        """As the storage constructs take it."""
        return Retention(keep_data=self.keep, log_days=self.log_retention_days, data_days=self.retention_days)


class InstanceSettings(Section):
    """What an endpoint runs on."""

    keys: ClassVar[dict[str, str]] = {
        "initial_instance_count": "instance_count",
        "container_startup_timeout": "container_startup_timeout_seconds",
    }

    instance_type: str
    instance_count: int = 1
    container_startup_timeout_seconds: Seconds | None = None

    def starting_within(self, seconds: int | None) -> Self:
        """The same, with the time that a model needs to start, where the configuration says nothing else.

        Args:
            seconds: What the model needs; None for nothing special.
        """
        if seconds is None or self.container_startup_timeout_seconds is not None:
            return self
        return self.model_copy(update={"container_startup_timeout_seconds": seconds})

    def build(self) -> InstanceVariant:
        """The endpoint's one variant, named ``primary``."""
        return InstanceVariant(
            instance_type=self.instance_type,
            initial_instance_count=self.instance_count,
            container_startup_timeout=_duration(self.container_startup_timeout_seconds),
        )


class VariantSettings(InstanceSettings):
    """One of several variants: what it runs on, and its share of the traffic."""

    weight: float = 1.0

    def variant(self, name: str) -> InstanceVariant:
        """As `ServingEndpoint` takes it.

        Args:
            name: The variant's name.
        """
        return InstanceVariant(
            name=name,
            weight=self.weight,
            instance_type=self.instance_type,
            initial_instance_count=self.instance_count,
            container_startup_timeout=_duration(self.container_startup_timeout_seconds),
        )

    def build(self) -> InstanceVariant:
        """The same under a name that is always legal, for what is wrong with all else."""
        return self.variant("variant")


class ShadowSettings(InstanceSettings):
    """A variant that gets a copy of the traffic."""

    name: str = "shadow"
    weight: float = 1.0

    def build(self) -> ShadowVariant:  # type: ignore[override]
        """As `ServingEndpoint` takes it."""
        return ShadowVariant(
            name=self.name,
            weight=self.weight,
            instance_type=self.instance_type,
            initial_instance_count=self.instance_count,
            container_startup_timeout=_duration(self.container_startup_timeout_seconds),
        )


class ScalingSettings(Section):
    """How the number of instances follows the load."""

    keys: ClassVar[dict[str, str]] = {
        "min_capacity": "min_instances",
        "max_capacity": "max_instances",
        "target": "invocations_per_instance_per_minute",
        "scale_in_cooldown": "scale_in_cooldown_seconds",
        "scale_out_cooldown": "scale_out_cooldown_seconds",
    }

    min_instances: int
    max_instances: int
    invocations_per_instance_per_minute: float
    scale_in_cooldown_seconds: Seconds = 300
    scale_out_cooldown_seconds: Seconds = 60

    def build(self) -> AutoScaling:
        """As `ServingEndpoint.scale_variant` takes it."""
        return AutoScaling(
            min_capacity=self.min_instances,
            max_capacity=self.max_instances,
            policies=[
                TargetTracking.invocations_per_instance(
                    self.invocations_per_instance_per_minute,
                    scale_in_cooldown=cdk.Duration.seconds(self.scale_in_cooldown_seconds),
                    scale_out_cooldown=cdk.Duration.seconds(self.scale_out_cooldown_seconds),
                )
            ],
        )


class DeploymentSettings(Section):
    """How an update reaches the endpoint."""

    keys: ClassVar[dict[str, str]] = {
        "wait": "bake_seconds",
        "termination_wait": "termination_wait_seconds",
        "maximum_execution_timeout": "maximum_execution_timeout_seconds",
    }

    strategy: Literal["all_at_once", "canary", "linear", "rolling"]
    bake_seconds: Seconds
    step_instances: int | None = None
    step_percent: int | None = None
    termination_wait_seconds: Seconds = 0
    maximum_execution_timeout_seconds: Seconds | None = None

    def build(self) -> DeploymentPolicy:
        """As `ServingEndpoint` takes it."""
        wait = cdk.Duration.seconds(self.bake_seconds)
        terminate = cdk.Duration.seconds(self.termination_wait_seconds)
        longest = _duration(self.maximum_execution_timeout_seconds)
        size = self._step()
        if size is None:
            return AllAtOnce(wait=wait, termination_wait=terminate, maximum_execution_timeout=longest)
        if self.strategy == "canary":
            return Canary(size=size, wait=wait, termination_wait=terminate, maximum_execution_timeout=longest)
        if self.strategy == "linear":
            return Linear(step=size, wait=wait, termination_wait=terminate, maximum_execution_timeout=longest)
        return Rolling(batch=size, wait=wait, maximum_execution_timeout=longest)

    def key_of(self, field: str) -> str:
        """The same; every policy has its own name for the step."""
        if field in {"size", "step", "batch"}:
            return "step_instances" if self.step_percent is None else "step_percent"
        return super().key_of(field)

    def _step(self) -> CapacitySize | None:
        given = {
            key: value
            for key, value in (("step_instances", self.step_instances), ("step_percent", self.step_percent))
            if value is not None
        }
        wanted = 0 if self.strategy == "all_at_once" else 1
        if len(given) != wanted:
            rule = (
                "all_at_once moves all traffic in one step"
                if not wanted
                else f"{self.strategy} needs either step_instances or step_percent"
            )
            fix = "remove both steps" if not wanted else "give one of the two, for example step_percent: 50"
            raise InvalidConfiguration("deployment", [Finding("strategy", self.strategy, rule, fix)])
        if not wanted:
            return None
        key, value = given.popitem()
        if self.strategy == "rolling" and self.termination_wait_seconds:
            rule = "rolling replaces instances one batch after the other; no old fleet waits for its end"
            finding = Finding("termination_wait", self.termination_wait_seconds, rule, "remove it")
            raise InvalidConfiguration("deployment", [finding])
        return CapacitySize.instances(value) if key == "step_instances" else CapacitySize.percent(value)


class AlarmSettings(Section):
    """When to raise an alarm; every key has a default."""

    keys: ClassVar[dict[str, str]] = {"evaluation_periods": "evaluation_minutes"}

    evaluation_minutes: int = 2
    server_error_rate: Share = 0.05
    client_error_rate: Share = 0.25
    model_latency_p99_milliseconds: Annotated[float, Field(gt=0)] = 1000
    cpu_percent: Percent = 85
    memory_percent: Percent = 85
    disk_percent: Percent = 75
    idle_hours: int | None = 24

    def build(self) -> AlarmThresholds:
        """As `EndpointMonitoring` takes it."""
        self.window()
        return AlarmThresholds(
            server_error_rate={Severity.CRITICAL: self.server_error_rate},
            client_error_rate={Severity.WARNING: self.client_error_rate},
            model_latency_p99_seconds={Severity.CRITICAL: self.model_latency_p99_milliseconds / 1000},
            cpu_percent={Severity.WARNING: self.cpu_percent},
            memory_percent={Severity.WARNING: self.memory_percent},
            disk_percent={Severity.WARNING: self.disk_percent},
            idle_hours=self.idle_hours,
        )

    def window(self) -> AlarmWindow:
        """How long a threshold must be exceeded, in data points of a minute."""
        return AlarmWindow(evaluation_periods=self.evaluation_minutes)


class ContainerAlarmSettings(AlarmSettings):
    """The same where a model has several containers, each with alarms of its own."""

    container_latency_p99_milliseconds: Annotated[float, Field(gt=0)] = 1000

    def build(self) -> AlarmThresholds:
        """As `EndpointMonitoring` takes it."""
        seconds = self.container_latency_p99_milliseconds / 1000
        return replace(super().build(), container_latency_p99_seconds={Severity.CRITICAL: seconds})


class CaptureSettings(Section):
    """Which share of requests and answers is recorded."""

    sampling_percentage: Annotated[int, Field(ge=0, le=100)]


class PatternSettings(Section):
    """What every pattern has."""

    enabled: bool = True


class GuardedEndpointSettings(PatternSettings):
    """What patterns with one variant behind guarded updates have."""

    endpoint: InstanceSettings
    scaling: ScalingSettings | None = None
    deployment: DeploymentSettings
    alarms: AlarmSettings = AlarmSettings()

    keys: ClassVar[dict[str, str]] = {"processor": "endpoint.instance_type", "auto_scaling": "scaling"}

    def key_of(self, field: str) -> str:
        """The same, and what the deployment calls its own."""
        section, dot, rest = field.partition("deployment.")
        return f"deployment.{self.deployment.key_of(rest)}" if dot and not section else super().key_of(field)

    def build(self) -> None:
        """Refuse sections that do not fit together."""
        findings = Findings("pattern")
        self.check(findings, self.endpoint.build())
        findings.raise_if_any()

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """Note what does not fit together.

        Args:
            findings: Where to note it.
            variant: The one variant.
        """
        self.deployment.build().check_against(findings, [variant])
        if self.scaling:
            self.scaling.build().check_against(findings, variant)


def _duration(seconds: int | None) -> cdk.Duration | None:
    return None if seconds is None else cdk.Duration.seconds(seconds)
