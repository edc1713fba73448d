"""Watches an ML pipeline: executions, accuracy from one to the next, lost events and failing functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam

from constructs import Construct

from .alarm_factory import AlarmFactory
from .alarms import HOUR_SECONDS, AlarmWindow, Severity, check_hours
from .errors import Findings
from .event_calls import call_on_events
from .event_messages import SOURCE, STEP_CHANGE
from .limits import check_number
from .metrics import metric
from .ml_pipeline import RESULTS, MlPipeline
from .naming import stable_name
from .registry_permissions import NO_RESOURCE, sagemaker_arn
from .storage import AlarmTopic, DataBucket, DeadLetterQueue, EncryptionKey, Retention
from .widgets import graph
from .zip_function import ZipFunction

NAMESPACE = "SageMakerServing/MlPipeline"
"""Of the metrics that the accuracy function publishes."""

PIPELINES_NAMESPACE = "AWS/Sagemaker/ModelBuildingPipeline"
"""Of SageMaker's own metrics (developer guide, "Monitor Amazon SageMaker AI with Amazon CloudWatch")."""

EVALUATION_STEP = "Evaluate"

_CALLS_PERIOD = cdk.Duration.minutes(5)


@dataclass(frozen=True, kw_only=True)
class PipelineThresholds:
    """When to raise an alarm, by severity; an empty mapping makes no alarm.

    An execution that fails, an event that was lost, and a function that fails raise one in any case.

    Args:
        accuracy_drop: From one execution's evaluation to the next one's, as a share above 0 and up to 1.
            Default warning 0.02.
        silent_hours: An alarm after so many hours without a successful execution, 1 to 168; for pipelines
            that start by themselves. Default none.

    Raises:
        InvalidConfiguration: A threshold out of range.
    """

    accuracy_drop: Mapping[Severity, float] = field(default_factory=lambda: {Severity.WARNING: 0.02})
    silent_hours: int | None = None

    def __post_init__(self) -> None:
        findings = Findings("PipelineThresholds")
        for severity, value in self.accuracy_drop.items():
            named = f"accuracy_drop[{severity}]"
            if check_number(findings, named, value, above=0, source="an alarm that can be raised"):
                findings.require(value <= 1, named, value, "is a share, at most 1", "write 0.02 for 2 %")
        check_hours(findings, "silent_hours", self.silent_hours)
        findings.raise_if_any()


class PipelineMetrics:
    """Metrics of a pipeline: SageMaker's own, and those that the accuracy function publishes.

    Args:
        pipeline_name: The pipeline.
    """

    def __init__(self, pipeline_name: str) -> None:
        self._name = pipeline_name

    def executions(self, outcome: str, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Executions (count, sum; default over a minute).

        Args:
            outcome: ``Started``, ``Succeeded``, ``Failed`` or ``Stopped``.
            period: One data point.
        """
        return self._own(f"Execution{outcome}", "Sum", period)

    def duration(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """From start to end (milliseconds, maximum; default over a minute)."""
        return self._own("ExecutionDuration", "Maximum", period)

    def accuracy(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Accuracy of the evaluated model (0 to 1, average; default over a minute)."""
        return self._published("Accuracy", "Average", period)

    def accuracy_drop(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Accuracy of the evaluation before, less this one's (-1 to 1, maximum; default over a minute)."""
        return self._published("AccuracyDrop", "Maximum", period)

    def _own(self, name: str, statistic: str, period: cdk.Duration | None) -> cloudwatch.Metric:
        dimensions = {"PipelineName": self._name}
        return metric(PIPELINES_NAMESPACE, name, dimensions, statistic, period)

    def _published(self, name: str, statistic: str, period: cdk.Duration | None) -> cloudwatch.Metric:
        return metric(NAMESPACE, name, {"Pipeline": self._name}, statistic, period)


class PipelineMonitoring(Construct):
    """Alarms and a dashboard for an `MlPipeline`, and the function that publishes its accuracy.

    Args:
        pipeline: What is watched.
        bucket: Has the evaluations, in the folder ``results/``.
        functions: The pattern's functions by what they are for; a call that fails raises an alarm.
        dead_letters: Queues of what calls them, by what they are about.
        code: The folder of the function's code, with ``accuracy.py``.
        key: Encrypts logs, environment and dead letters.
        retention: How long logs are kept.
        topic: Where every alarm is sent.
        thresholds: When to raise an alarm. Default `PipelineThresholds()`.

    Attributes:
        alarms: All alarms.
        dashboard: Named as the pipeline, with ``-executions``.
        metrics: For graphs and alarms of your own.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: MlPipeline,
        bucket: DataBucket,
        functions: Mapping[str, ZipFunction],
        dead_letters: Mapping[str, DeadLetterQueue],
        code: Path,
        key: EncryptionKey,
        retention: Retention,
        topic: AlarmTopic,
        thresholds: PipelineThresholds | None = None,
    ) -> None:
        super().__init__(scope, id_)
        limits = thresholds or PipelineThresholds()
        self.metrics = PipelineMetrics(pipeline.name)
        letters = DeadLetterQueue(self, "DeadLetters", key=key, has_owner=True)
        accuracy = self._accuracy(pipeline, bucket, code, key, retention, letters)
        factory = AlarmFactory(
            # what happens once an execution is a single data point
            self, name=pipeline.name, stem="Pipeline", window=AlarmWindow(evaluation_periods=1), topic=topic
        )  # fmt: skip
        factory.once("failed executions", self.metrics.executions("Failed"), Severity.CRITICAL)
        factory.over("drop of accuracy", self.metrics.accuracy_drop(), limits.accuracy_drop, text="{:g}")
        for name, function in {**functions, "accuracy": accuracy}.items():
            failed = function.function.metric_errors(period=_CALLS_PERIOD, statistic="Sum")
            factory.once(f"failed calls of the {name} function", failed, Severity.WARNING)
        for name, queue in {**dead_letters, "accuracy": letters}.items():
            factory.letters(f"lost events of the {name} function", queue)
        if limits.silent_hours is not None:
            hourly = self.metrics.executions("Succeeded", period=cdk.Duration.seconds(HOUR_SECONDS))
            factory.silent("successful execution", hourly, limits.silent_hours)
        self.alarms: list[cloudwatch.Alarm] = factory.made
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"{pipeline.name}-executions",
            widgets=self._rows([*functions.values(), accuracy]),
        )

    def _accuracy(
        self,
        pipeline: MlPipeline,
        bucket: DataBucket,
        code: Path,
        key: EncryptionKey,
        retention: Retention,
        letters: DeadLetterQueue,
    ) -> ZipFunction:
        executions, jobs = pipeline.executions_arn, sagemaker_arn("processing-job/pipelines-*")
        evaluations = bucket.arn_for_objects(f"{RESULTS}/*")
        function = ZipFunction(
            self,
            "Accuracy",
            function_name=stable_name(pipeline.name, "accuracy"),
            code=code,
            handler="accuracy.handler",
            environment={"PIPELINE_NAME": pipeline.name, "METRICS_NAMESPACE": NAMESPACE},
            statements=[
                iam.PolicyStatement(
                    sid="LookAtExecutions",
                    actions=["sagemaker:ListPipelineExecutions"],
                    resources=[pipeline.pipeline_arn],
                ),
                iam.PolicyStatement(
                    sid="LookAtSteps",
                    actions=["sagemaker:ListPipelineExecutionSteps"],
                    resources=[executions],
                ),
                iam.PolicyStatement(
                    sid="LookAtJobs", actions=["sagemaker:DescribeProcessingJob"], resources=[jobs]
                ),
                iam.PolicyStatement(sid="ReadEvaluations", actions=["s3:GetObject"], resources=[evaluations]),
                iam.PolicyStatement(
                    sid="PublishMetrics",
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
                ),
            ],
            wildcards={
                executions: "SageMaker names the executions of this one pipeline.",
                jobs: "SageMaker names a step's jobs, all of them beginning with pipelines-.",
                evaluations: "Each evaluation has a folder of its own below this one.",
                "*": NO_RESOURCE,
            },
            memory_mb=256,
            timeout=cdk.Duration.minutes(2),
            key=key,
            retention=retention,
            dead_letters=letters,
        )
        rule = call_on_events(
            self,
            "Evaluated",
            description=f"Publishes the accuracy that {pipeline.name} has evaluated",
            pattern={
                "source": [SOURCE],
                "detail-type": [STEP_CHANGE],
                "detail": {
                    "pipelineArn": [pipeline.pipeline_arn],
                    "stepName": [EVALUATION_STEP],
                    "currentStepStatus": ["Succeeded"],
                },
            },
            function=function,
            dead_letters=letters,
        )
        letters.keep_events_of([rule])
        key.allow_rules()
        return function

    def _rows(self, functions: Sequence[ZipFunction]) -> list[list[cloudwatch.IWidget]]:
        outcomes = ("Started", "Succeeded", "Failed", "Stopped")
        return [
            [cloudwatch.AlarmStatusWidget(alarms=self.alarms, title="Alarms", width=24, height=3)],
            [
                graph("Executions", [self.metrics.executions(outcome) for outcome in outcomes]),
                graph("Accuracy", [self.metrics.accuracy(), self.metrics.accuracy_drop()]),
                graph("Time of an execution (milliseconds)", [self.metrics.duration()]),
            ],
            [graph("Failed calls", [each.function.metric_errors() for each in functions], width=24)],
        ]
