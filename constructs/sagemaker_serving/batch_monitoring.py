"""Watches a batch workflow: executions, rows that were set aside, how long landing takes, lost starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from constructs import Construct

from .alarm_factory import AlarmFactory
from .alarms import HOUR_SECONDS, AlarmWindow, Severity, check_hours
from .batch_functions import NAMESPACE
from .errors import Findings
from .limits import check_number
from .metrics import metric
from .transform_workflow import TransformWorkflow
from .widgets import graph


@dataclass(frozen=True, kw_only=True)
class BatchThresholds:
    """When to raise an alarm, by severity; an empty mapping makes no alarm.

    An execution that fails or times out, and a start that is a dead letter, raise one in any case.

    Args:
        sink_lag_seconds: From the end of the transform job until its rows were counted in the sink, above 0.
            Default warning 1800.
        quarantined_records: Rows of an execution that were set aside, above 0. Default warning 1.
        silent_hours: An alarm after so many hours without a successful execution, 1 to 168; for workflows
            that a schedule starts. Default none.

    Raises:
        InvalidConfiguration: A threshold out of range.
    """

    sink_lag_seconds: Mapping[Severity, float] = field(default_factory=lambda: {Severity.WARNING: 1800})
    quarantined_records: Mapping[Severity, float] = field(default_factory=lambda: {Severity.WARNING: 1})
    silent_hours: int | None = None

    def __post_init__(self) -> None:
        findings = Findings("BatchThresholds")
        for name in ("sink_lag_seconds", "quarantined_records"):
            for severity, value in getattr(self, name).items():
                check_number(
                    findings, f"{name}[{severity}]", value, above=0, source="an alarm that can be raised"
                )
        check_hours(findings, "silent_hours", self.silent_hours)
        findings.raise_if_any()


class BatchMetrics:
    """Metrics of a workflow: Step Functions' own, and those that Reconcile publishes.

    Args:
        workflow_name: The workflow.
        state_machine_arn: Its state machine.
    """

    def __init__(self, workflow_name: str, state_machine_arn: str) -> None:
        self._workflow = {"Workflow": workflow_name}
        self._machine = {"StateMachineArn": state_machine_arn}

    def executions(self, outcome: str, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Executions (count, sum; default over a minute).

        Args:
            outcome: ``Started``, ``Succeeded``, ``Failed``, ``TimedOut`` or ``Aborted``.
            period: One data point.
        """
        return metric("AWS/States", f"Executions{outcome}", self._machine, "Sum", period)

    def execution_time(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """From start to end (milliseconds, maximum; default over a minute)."""
        return metric("AWS/States", "ExecutionTime", self._machine, "Maximum", period)

    def landed(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Rows that were written (count, sum; default over a minute)."""
        return metric(NAMESPACE, "LandedRecords", self._workflow, "Sum", period)

    def quarantined(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Rows that were set aside (count, sum; default over a minute)."""
        return metric(NAMESPACE, "QuarantinedRecords", self._workflow, "Sum", period)

    def sink_lag(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """From the end of a transform job until its rows were counted in the sink (seconds, maximum)."""
        return metric(NAMESPACE, "SinkLagSeconds", self._workflow, "Maximum", period)


class BatchMonitoring(Construct):
    """Alarms and a dashboard for a `TransformWorkflow`.

    Args:
        workflow: What is watched.
        dead_letters: Queues of its triggers, by what they are about.
        sink_metrics: What the sink's store publishes, for the dashboard.
        topic: Where every alarm is sent.
        thresholds: When to raise an alarm. Default `BatchThresholds()`.

    Attributes:
        alarms: All alarms.
        dashboard: Named as the workflow.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow: TransformWorkflow,
        dead_letters: Mapping[str, sqs.IQueue],
        sink_metrics: list[cloudwatch.Metric],
        topic: sns.ITopic,
        thresholds: BatchThresholds | None = None,
    ) -> None:
        super().__init__(scope, id_)
        limits = thresholds or BatchThresholds()
        metrics = BatchMetrics(workflow.workflow_name, workflow.state_machine_arn)
        # what happens once an execution is a single data point
        window = AlarmWindow(evaluation_periods=1)
        factory = AlarmFactory(self, name=workflow.workflow_name, stem="Workflow", window=window, topic=topic)
        factory.once("failed executions", metrics.executions("Failed"), Severity.CRITICAL)
        factory.once("timed out executions", metrics.executions("TimedOut"), Severity.CRITICAL)
        factory.over("sink lag", metrics.sink_lag(), limits.sink_lag_seconds, text="{:g} s")
        factory.over(
            "quarantined records", metrics.quarantined(), limits.quarantined_records, text="{:g} records"
        )
        for name, queue in dead_letters.items():
            factory.letters(f"dead letters of the {name}", queue)
        if limits.silent_hours is not None:
            hourly = metrics.executions("Succeeded", period=cdk.Duration.seconds(HOUR_SECONDS))
            factory.silent("successful execution", hourly, limits.silent_hours)
        self.alarms: list[cloudwatch.Alarm] = factory.made
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=workflow.workflow_name,
            widgets=self._rows(metrics, sink_metrics),
        )

    def _rows(
        self, metrics: BatchMetrics, sink_metrics: list[cloudwatch.Metric]
    ) -> list[list[cloudwatch.IWidget]]:
        outcomes = ("Started", "Succeeded", "Failed", "TimedOut", "Aborted")
        return [
            [cloudwatch.AlarmStatusWidget(alarms=self.alarms, title="Alarms", width=24, height=3)],
            [
                graph("Executions", [metrics.executions(outcome) for outcome in outcomes]),
                graph("Rows", [metrics.landed(), metrics.quarantined()]),
                graph("Sink", sink_metrics),
            ],
            [
                graph("Time of an execution (milliseconds)", [metrics.execution_time()], width=12),
                graph("Sink lag (seconds)", [metrics.sink_lag()], width=12),
            ],
        ]
