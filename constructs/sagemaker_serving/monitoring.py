"""Watches an endpoint: alarms that tell a topic, what rolls a deployment back, and a dashboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from constructs import Construct

from .alarm_factory import container_alarms, variant_alarms
from .alarms import AlarmThresholds, AlarmWindow
from .async_inference import AsyncInference
from .async_monitoring import async_alarms, async_rows
from .errors import Findings, is_token
from .metrics import AsyncVariantMetrics, ContainerMetrics, ServerlessMetrics, VariantMetrics
from .naming import NameKind, check_name
from .rollback import RollbackAlarm, rollback_alarms
from .serverless_monitoring import serverless_alarms, serverless_rows
from .variants import (
    InstanceFleet,
    InstanceVariant,
    ProductionVariant,
    ServerlessVariant,
    ShadowVariant,
    check_shadow,
    check_variants,
)
from .widgets import graph


class EndpointMonitoring(Construct):
    """Alarms and a dashboard for an endpoint, made *before* it: they go by its name, and see all its fleets.

    Args:
        endpoint_name: The endpoint's name as a plain text.
        variants: The endpoint's variants; metrics exist under these names only.
        topic: Where every alarm is sent.
        async_inference: That of the endpoint, if it is asynchronous: it has one variant then, and metrics and
            alarms of its own. Default: none.
        shadow: The endpoint's shadow variant: it is graphed, and its alarms are warnings. Default: none.
        container_hostnames: Of models with several containers: their hostnames, for alarms and graphs of each
            (`ServingModel.container_hostnames`). Default: none; a model's only container has no such metrics.
        made_at_run_time: Whether the endpoint comes and goes without CloudFormation (`RegistryEndpoint`):
            while there is none, nothing is idle. Default no.
        thresholds: When to raise an alarm. Default `AlarmThresholds()`.
        window: How long a threshold must be exceeded. It has to fit into the bake of the deployment that uses
            `rollback_alarms`. Default `AlarmWindow()`: 2 data points of 60 s.

    Attributes:
        alarms: All alarms.
        rollback_alarms: What a deployment watches on its new fleet: 5xx rate and model latency of the
            production variants, of the highest severity. `ServingEndpoint` makes alarms of their own of them.
        dashboard: Named as the endpoint.

    Raises:
        InvalidConfiguration: No usable endpoint name, variants or hostnames, or an asynchronous endpoint
            whose variants are not one on instances.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        endpoint_name: str,
        variants: Sequence[ProductionVariant],
        topic: sns.ITopic,
        async_inference: AsyncInference | None = None,
        shadow: ShadowVariant | None = None,
        container_hostnames: Sequence[str] = (),
        made_at_run_time: bool = False,
        thresholds: AlarmThresholds | None = None,
        window: AlarmWindow | None = None,
    ) -> None:
        super().__init__(scope, id_)
        findings = Findings(self.node.path)
        check_name(findings, "endpoint_name", endpoint_name, NameKind.ENDPOINT)
        check_variants(findings, variants)
        if shadow is not None:
            check_shadow(findings, variants, shadow)
        if async_inference is not None:
            _check_asynchronous(findings, variants)
        _check_hostnames(findings, container_hostnames)
        findings.raise_if_any()

        self._endpoint_name = endpoint_name
        self._variants = list(variants)
        self._async_inference = async_inference
        self._made_at_run_time = made_at_run_time
        limits, window = thresholds or AlarmThresholds(), window or AlarmWindow()
        watched: list[tuple[InstanceFleet | ServerlessVariant, AlarmThresholds]] = [
            (variant, limits) for variant in variants
        ]
        if shadow is not None:
            watched.append((shadow, limits.as_warnings()))
        self.alarms: list[cloudwatch.Alarm] = []
        for variant, own in watched:
            self.alarms += self._alarms_of(variant, own, window, topic)
            for hostname in container_hostnames:
                self.alarms += container_alarms(
                    self,
                    metrics=ContainerMetrics(endpoint_name, variant.name, hostname),
                    thresholds=own,
                    window=window,
                    topic=topic,
                )
        self.rollback_alarms: list[RollbackAlarm] = [
            alarm
            for variant in variants
            for alarm in rollback_alarms(
                endpoint_name=endpoint_name,
                variant_name=variant.name,
                thresholds=limits,
                window=window,
                topic=topic,
            )
        ]
        names = [variant.name for variant, _ in watched]
        several = len(names) > 1
        self._graphed = [VariantMetrics(endpoint_name, name, label=name if several else "") for name in names]
        self._containers = [
            ContainerMetrics(
                endpoint_name, name, hostname, label=f"{name} {hostname}" if several else hostname
            )
            for name in names
            for hostname in container_hostnames
        ]
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=endpoint_name, widgets=self._rows()
        )

    def _alarms_of(
        self,
        variant: InstanceFleet | ServerlessVariant,
        thresholds: AlarmThresholds,
        window: AlarmWindow,
        topic: sns.ITopic,
    ) -> list[cloudwatch.Alarm]:
        if isinstance(variant, ServerlessVariant):
            return serverless_alarms(
                self,
                variant=variant,
                metrics=ServerlessMetrics(self._endpoint_name, variant.name),
                thresholds=thresholds,
                window=window,
                topic=topic,
            )
        if self._async_inference is not None:
            return async_alarms(
                self,
                async_inference=self._async_inference,
                metrics=AsyncVariantMetrics(self._endpoint_name, variant.name),
                instance_type=variant.instance,
                thresholds=thresholds,
                window=window,
                topic=topic,
            )
        return variant_alarms(
            self,
            metrics=VariantMetrics(self._endpoint_name, variant.name),
            instance_type=variant.instance,
            thresholds=thresholds,
            window=window,
            topic=topic,
            made_at_run_time=self._made_at_run_time,
        )

    def _rows(self) -> list[list[cloudwatch.IWidget]]:
        status = cloudwatch.AlarmStatusWidget(alarms=self.alarms, title="Alarms", width=24, height=3)
        first = self._variants[0]
        if isinstance(first, ServerlessVariant):
            rows = serverless_rows(first, ServerlessMetrics(self._endpoint_name, first.name, label=""))
        elif self._async_inference is not None:
            rows = async_rows(AsyncVariantMetrics(self._endpoint_name, first.name, label=""))
        else:
            rows = self._real_time_rows()
        return [[status], *rows, *([self._container_row()] if self._containers else [])]

    def _real_time_rows(self) -> list[list[cloudwatch.IWidget]]:
        every = self._graph
        return [
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

    def _container_row(self) -> list[cloudwatch.IWidget]:
        every = self._graph_containers
        return [
            every("Requests per container and minute", lambda metrics: [metrics.invocations()]),
            every(
                "Error rates of containers",
                lambda metrics: [metrics.server_error_rate(), metrics.client_error_rate()],
            ),
            every(
                "Latency of containers (microseconds)",
                lambda metrics: [metrics.latency(statistic="p50"), metrics.latency()],
            ),
            every(
                "CPU and memory of containers (percent)",
                lambda metrics: [metrics.cpu_utilization(), metrics.memory_utilization()],
            ),
        ]

    def _graph(
        self, title: str, lines: Callable[[VariantMetrics], list[cloudwatch.Metric]]
    ) -> cloudwatch.GraphWidget:
        return graph(title, [metric for metrics in self._graphed for metric in lines(metrics)], width=8)

    def _graph_containers(
        self, title: str, lines: Callable[[ContainerMetrics], list[cloudwatch.Metric]]
    ) -> cloudwatch.GraphWidget:
        return graph(title, [metric for metrics in self._containers for metric in lines(metrics)], width=6)


def _check_asynchronous(findings: Findings, variants: Sequence[ProductionVariant]) -> None:
    findings.require(
        len(variants) == 1 and isinstance(variants[0], InstanceVariant),
        "variants",
        [type(variant).__name__ for variant in variants],
        "an asynchronous endpoint has one variant, on instances (AWS CDK RFC 431, asynchronous endpoint "
        "configurations)",
        "give one InstanceVariant, or remove async_inference",
    )


def _check_hostnames(findings: Findings, hostnames: Sequence[str]) -> None:
    findings.require(
        len(hostnames) != 1,
        "container_hostnames",
        list(hostnames),
        "SageMaker publishes metrics of containers only for models with several (developer guide, "
        "multi-container endpoints)",
        "leave it out, or give the hostnames of all containers",
    )
    for index, hostname in enumerate(hostnames):
        where = f"container_hostnames[{index}]"
        check_name(findings, where, hostname, NameKind.CONTAINER_HOSTNAME)
        findings.require(
            is_token(hostname) or hostname not in hostnames[:index],
            where,
            hostname,
            "is given twice, and a hostname identifies one container",
            "remove it here",
        )
