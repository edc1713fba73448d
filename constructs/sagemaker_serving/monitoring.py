"""Watches an endpoint: alarms that tell a topic, those among them that roll a deployment back, and a
dashboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarms import AlarmThresholds, AlarmWindow, RollbackAlarm, VariantAlarms
from .errors import Findings
from .metrics import VariantMetrics
from .naming import NameKind, check_name
from .variants import InstanceVariant, check_variants


class EndpointMonitoring(Construct):
    """Alarms and a dashboard for an endpoint, made *before* it: the endpoint depends on its rollback alarms.

    Args:
        endpoint_name: The endpoint's name as a plain text.
        variants: The endpoint's variants; metrics exist under these names only.
        topic: Where every alarm is sent.
        thresholds: When to raise an alarm. Default `AlarmThresholds()`.
        window: How long a threshold must be exceeded. It has to fit into the bake of the deployment that uses
            `rollback_alarms`. Default `AlarmWindow()`: 2 data points of 60 s.

    Attributes:
        alarms: All alarms.
        rollback_alarms: Those on 5xx rate and model latency of the highest severity, for a deployment to
            watch.
        dashboard: Named as the endpoint.

    Raises:
        InvalidConfiguration: No usable endpoint name or variants.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        endpoint_name: str,
        variants: Sequence[InstanceVariant],
        topic: sns.ITopic,
        thresholds: AlarmThresholds | None = None,
        window: AlarmWindow | None = None,
    ) -> None:
        super().__init__(scope, id_)
        findings = Findings(self.node.path)
        check_name(findings, "endpoint_name", endpoint_name, NameKind.ENDPOINT)
        check_variants(findings, variants)
        findings.raise_if_any()

        several = len(variants) > 1
        self._graphed = [
            VariantMetrics(endpoint_name, variant.name, label=variant.name if several else "")
            for variant in variants
        ]
        made = [
            VariantAlarms(
                self,
                metrics=VariantMetrics(endpoint_name, variant.name),
                instance_type=variant.instance,
                thresholds=thresholds or AlarmThresholds(),
                window=window or AlarmWindow(),
                topic=topic,
            )
            for variant in variants
        ]
        self.alarms: list[cloudwatch.Alarm] = [alarm for alarms in made for alarm in alarms.all]
        self.rollback_alarms: list[RollbackAlarm] = [alarm for alarms in made for alarm in alarms.rollback]
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=endpoint_name, widgets=self._rows()
        )

    def _rows(self) -> list[list[cloudwatch.IWidget]]:
        every = self._graph
        return [
            [cloudwatch.AlarmStatusWidget(alarms=self.alarms, title="Alarms", width=24, height=3)],
            [
                every("Requests per minute", lambda metrics: [metrics.invocations()]),
                every(
                    "Error rates", lambda metrics: [metrics.server_error_rate(), metrics.client_error_rate()]
                ),
                every(
                    "Latency (microseconds)",
                    lambda metrics: [
                        metrics.model_latency(statistic="p50"),
                        metrics.model_latency(),
                        metrics.overhead_latency(),
                    ],
                ),
            ],
            [
                every(
                    "Requests per instance and minute", lambda metrics: [metrics.invocations_per_instance()]
                ),
                every("CPU (percent of one vCPU)", lambda metrics: [metrics.cpu_utilization()]),
                every(
                    "Memory and disk (percent)",
                    lambda metrics: [metrics.memory_utilization(), metrics.disk_utilization()],
                ),
            ],
        ]

    def _graph(
        self, title: str, lines: Callable[[VariantMetrics], list[cloudwatch.Metric]]
    ) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(
            title=title,
            left=[metric for metrics in self._graphed for metric in lines(metrics)],
            left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            width=8,
        )
