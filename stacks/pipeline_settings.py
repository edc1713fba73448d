"""Typed settings of the ML pipeline: its jobs, what starts it, and its alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sagemaker_serving.alarms import Severity
from sagemaker_serving.errors import Findings
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.instances import InstanceType
from sagemaker_serving.pipeline_monitoring import PipelineThresholds

from .model_settings import framework_image, noted_image
from .schedule_settings import ScheduleSettings
from .settings import Section


class JobSettings(Section):
    """What the jobs are: the definition, the scripts, and the image that they and the model run in."""

    definition: str = "stacks/ml_pipeline.json"
    directories: Sequence[str]
    leave_out: Sequence[str] = ()
    framework: Literal["scikit-learn", "xgboost", "pytorch", "huggingface"]
    framework_version: str

    def image(self, instance: InstanceType) -> FrameworkImage:
        """AWS's image for an instance type's processor.

        Args:
            instance: What the endpoint runs on.
        """
        return framework_image(self.framework, self.framework_version, instance)

    def check_image(
        self, findings: Findings, prefix: str, instance: InstanceType, *, instance_key: str
    ) -> None:
        """Note what AWS's image has against an instance type.

        Args:
            findings: Where to note it.
            prefix: Where this section is.
            instance: What the endpoint runs on.
            instance_key: Where the instance type is.
        """
        with noted_image(findings, prefix, instance_key=instance_key):
            self.image(instance)


class StartSettings(Section):
    """What starts executions by itself; without any they are started by hand."""

    on_new_data: bool = False
    schedule: ScheduleSettings | None = None


class PipelineAlarmSettings(Section):
    """When to raise an alarm; every key has a default. Failures and lost events always do."""

    accuracy_drop: Annotated[float, Field(gt=0, le=1)] = 0.02
    silent_hours: int | None = None

    def build(self) -> PipelineThresholds:
        """As `PipelineMonitoring` takes it."""
        return PipelineThresholds(
            accuracy_drop={Severity.WARNING: self.accuracy_drop}, silent_hours=self.silent_hours
        )
