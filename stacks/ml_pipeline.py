"""ML pipeline: from raw reviews to a registered model, and to the endpoint that serves what was approved."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.errors import Findings
from sagemaker_serving.job_code import JobCode
from sagemaker_serving.ml_pipeline import MODELS, RAW
from sagemaker_serving.ml_pipeline import MlPipeline as Pipeline
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.pipeline_monitoring import PipelineMonitoring
from sagemaker_serving.pipeline_notifications import PipelineNotifications
from sagemaker_serving.pipeline_starts import PipelineStarts
from sagemaker_serving.registry_endpoint import RegistryEndpoint
from sagemaker_serving.storage import AlarmTopic, DataBucket, EncryptionKey
from sagemaker_serving.variants import InstanceVariant

from .base import ENVIRONMENT_TAG, PATTERN_TAG, PatternStack
from .pipeline_settings import JobSettings, PipelineAlarmSettings, StartSettings
from .settings import GuardedEndpointSettings, PatternSettings

CODE = "model_code/ml_pipeline_functions"
"""The functions' code."""


class MlPipelineSettings(GuardedEndpointSettings):
    """The section ``patterns.ml-pipeline`` of a configuration file."""

    jobs: JobSettings
    starts: StartSettings = StartSettings()
    network_isolation: bool = True
    pipeline_alarms: PipelineAlarmSettings = PipelineAlarmSettings()

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """See `GuardedEndpointSettings.check`; the image has to fit, and the endpoint does not scale."""
        super().check(findings, variant)
        self.jobs.check_image(findings, "jobs", variant.instance, instance_key="endpoint.instance_type")
        findings.require(
            self.scaling is None,
            "scaling",
            "given",
            "this endpoint is made at run time and keeps the number of instances that it has",
            "remove it, and give endpoint.instance_count",
        )


class MlPipeline(PatternStack[MlPipelineSettings]):
    """ML pipeline: raw reviews become a registered model, and the endpoint serves what was approved."""

    pattern: ClassVar[str] = "ml-pipeline"
    settings_type: ClassVar[type[PatternSettings]] = MlPipelineSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target
        variant, name, code = settings.endpoint.build(), self.endpoint_name, target.root / CODE
        group_name, image = f"{name}-models", settings.jobs.image(variant.instance)

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        bucket = DataBucket(self, "Data", key=key, retention=target.retention, expires=False)
        endpoint_monitoring = EndpointMonitoring(
            self,
            "EndpointMonitoring",
            endpoint_name=name,
            variants=[variant],
            made_at_run_time=True,
            topic=topic,
            thresholds=settings.alarms.build(),
            window=settings.alarms.window(),
        )
        endpoint = RegistryEndpoint(
            self,
            "Endpoint",
            endpoint_name=name,
            model_package_group_name=group_name,
            variant=variant,
            deployment=settings.deployment.build(),
            rollback_alarms=endpoint_monitoring.rollback_alarms,
            image=image,
            bucket=bucket,
            folder=MODELS,
            network_isolation=settings.network_isolation,
            code=code,
            key=key,
            retention=target.retention,
            tags={PATTERN_TAG: self.pattern, ENVIRONMENT_TAG: target.environment},
        )
        job_code = JobCode(
            self,
            "JobCode",
            name=name,
            directories=[target.root / folder for folder in settings.jobs.directories],
            leave_out=settings.jobs.leave_out,
            functions=code,
            bucket=bucket,
            key=key,
            model_package_group_name=group_name,
            retention=target.retention,
        )
        pipeline = Pipeline(
            self,
            "Pipeline",
            name=name,
            template=target.root / settings.jobs.definition,
            bucket=bucket,
            key=key,
            image=image,
            code_version=job_code.version,
            deploy_function=endpoint.function.function,
            model_package_group_name=group_name,
            removal_policy=target.retention.removal_policy,
        )
        pipeline.run_after(job_code, serves=endpoint)
        starts = PipelineStarts(
            self,
            "Starts",
            pipeline=pipeline,
            bucket=bucket,
            on_new_data=settings.starts.on_new_data,
            schedule=settings.starts.schedule.build() if settings.starts.schedule else None,
            code=code,
            key=key,
            retention=target.retention,
        )
        PipelineNotifications(
            self,
            "Notifications",
            pipeline=pipeline,
            endpoint_name=name,
            topic=topic,
        )
        monitoring = PipelineMonitoring(
            self,
            "Monitoring",
            pipeline=pipeline,
            bucket=bucket,
            functions={"deploy": endpoint.function, "start": starts.function},
            dead_letters={"deploy": endpoint.dead_letters, "start": starts.dead_letters},
            code=code,
            key=key,
            retention=target.retention,
            topic=topic,
            thresholds=settings.pipeline_alarms.build(),
        )

        self.publish(
            {
                "PipelineName": name,
                "PipelineArn": pipeline.pipeline_arn,
                "ModelPackageGroupName": group_name,
                "EndpointName": name,
                "VariantNames": variant.name,
                "DeployFunctionName": endpoint.function.name,
                "StartFunctionName": starts.function.name,
                "RawDataUri": f"s3://{bucket.bucket_name}/{RAW}/",
                "RollbackAlarmNames": ",".join(alarm.alarm_name for alarm in endpoint.rollback_alarms),
                "AlarmTopicArn": topic.topic_arn,
                "DashboardName": monitoring.dashboard.dashboard_name,
            }
        )
