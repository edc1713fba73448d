"""The metrics that SageMaker publishes for a variant and for each of its containers, with their right
namespaces, units and dimensions.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

INVOCATION_NAMESPACE = "AWS/SageMaker"
INSTANCE_NAMESPACE = "/aws/sagemaker/Endpoints"
PUBLISHING_PERIOD_SECONDS = 60
"""SageMaker publishes endpoint metrics once a minute; a shorter period has gaps."""


class _Metrics:
    """What variants and containers both have."""

    def __init__(self, dimensions: Mapping[str, str], label: str | None) -> None:
        self._dimensions = dict(dimensions)
        self._label = label

    def invocations(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests (count, sum over the period; default 1 minute)."""
        return self._metric(INVOCATION_NAMESPACE, "Invocations", "Sum", "requests", period)

    def client_error_rate(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Share of requests that were answered with a 4xx status (0 to 1; default over 1 minute)."""
        return self._metric(INVOCATION_NAMESPACE, "Invocation4XXErrors", "Average", "4xx rate", period)

    def server_error_rate(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Share of requests that were answered with a 5xx status (0 to 1; default over 1 minute)."""
        return self._metric(INVOCATION_NAMESPACE, "Invocation5XXErrors", "Average", "5xx rate", period)

    def overhead_latency(
        self, *, statistic: str = "p99", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """Time that SageMaker added around the container (microseconds; default 99th percentile over 1
        minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "OverheadLatency", statistic, f"overhead {statistic}", period
        )

    def cpu_utilization(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Processor use (percent of one vCPU, so 0 to 100 x vCPUs; average over instances, default 1
        minute)."""
        return self._metric(INSTANCE_NAMESPACE, "CPUUtilization", "Average", "CPU", period)

    def memory_utilization(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Memory use of the containers (percent, 0 to 100; average over instances, default 1 minute)."""
        return self._metric(INSTANCE_NAMESPACE, "MemoryUtilization", "Average", "memory", period)

    def _metric(
        self, namespace: str, name: str, statistic: str, label: str, period: cdk.Duration | None
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map=self._dimensions,
            statistic=statistic,
            period=period or cdk.Duration.seconds(PUBLISHING_PERIOD_SECONDS),
            label=None if self._label is None else f"{self._label} {label}".strip(),
        )


class VariantMetrics(_Metrics):
    """Metrics of one variant, production or shadow.

    Args:
        endpoint_name: A plain text, never the endpoint's attribute: alarms on these metrics are what the
            endpoint itself depends on.
        variant_name: SageMaker publishes nothing under any other name (``AllTraffic`` of AWS's samples is a
            variant's name too).
        label: What graphs show before the metric; empty for nothing. None for CloudWatch's own labels, as
            alarms need (an alarm on a labelled metric becomes metric math).
        config_name: Only of the fleet that serves this endpoint configuration, which tells the new fleet from
            the old one during an update (developer guide, auto-rollback configuration). Default: of all.
            SageMaker publishes invocation metrics so, not those of instances.
    """

    def __init__(
        self,
        endpoint_name: str,
        variant_name: str,
        *,
        label: str | None = None,
        config_name: str | None = None,
    ) -> None:
        self.endpoint_name = endpoint_name
        self.variant_name = variant_name
        dimensions = {"EndpointName": endpoint_name, "VariantName": variant_name}
        if config_name is not None:
            dimensions["EndpointConfigName"] = config_name
        super().__init__(dimensions, label)

    def invocations_per_instance(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests for each instance (count, sum over the period; default 1 minute): what scaling tracks."""
        return self._metric(
            INVOCATION_NAMESPACE, "InvocationsPerInstance", "Sum", "requests per instance", period
        )

    def model_errors(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that the model's container answered with no 2xx status, or not at all (count, sum)."""
        return self._metric(INVOCATION_NAMESPACE, "InvocationModelErrors", "Sum", "model errors", period)

    def model_latency(
        self, *, statistic: str = "p99", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """Time that the model's container took (microseconds; default 99th percentile over 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "ModelLatency", statistic, f"model latency {statistic}", period
        )

    def disk_utilization(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Disk use of the containers (percent, 0 to 100; average over instances, default 1 minute)."""
        return self._metric(INSTANCE_NAMESPACE, "DiskUtilization", "Average", "disk", period)


class ContainerMetrics(_Metrics):
    """Metrics of one container of a variant whose model has several.

    https://docs.aws.amazon.com/sagemaker/latest/dg/multi-container-metrics.html and
    https://docs.aws.amazon.com/sagemaker/latest/dg/inference-pipeline-logs-metrics.html

    Args:
        endpoint_name: As for `VariantMetrics`.
        variant_name: As for `VariantMetrics`.
        container_hostname: The container's hostname.
        label: As for `VariantMetrics`.
    """

    def __init__(
        self, endpoint_name: str, variant_name: str, container_hostname: str, *, label: str | None = None
    ) -> None:
        self.endpoint_name = endpoint_name
        self.variant_name = variant_name
        self.container_hostname = container_hostname
        dimensions = {
            "EndpointName": endpoint_name,
            "VariantName": variant_name,
            "ContainerName": container_hostname,
        }
        super().__init__(dimensions, label)

    def latency(self, *, statistic: str = "p99", period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Time that this container took (microseconds; default 99th percentile over 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "ContainerLatency", statistic, f"latency {statistic}", period
        )
