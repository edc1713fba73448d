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


def metric(
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    statistic: str,
    period: cdk.Duration | None = None,
) -> cloudwatch.Metric:
    """A metric.

    Args:
        namespace: Who publishes it.
        name: Its name.
        dimensions: What it is of.
        statistic: For example ``Sum``.
        period: One data point. Default a minute.
    """
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=period or cdk.Duration.minutes(1),
    )


class _Labelled:
    """Metrics with the same dimensions and the same beginning of their labels."""

    def __init__(self, dimensions: Mapping[str, str], label: str | None) -> None:
        self._dimensions = dict(dimensions)
        self._label = label

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


class _Metrics(_Labelled):
    """What variants and containers both have."""

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

    def running_instances(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Above 0 while there are instances: each sends one sample a minute (count, default 1 minute)."""
        return self._metric(INSTANCE_NAMESPACE, "CPUUtilization", "SampleCount", "instances", period)

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


class AsyncMetrics(_Labelled):
    """Metrics of an asynchronous endpoint's queue. They know no variant.

    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html

    Args:
        endpoint_name: As for `VariantMetrics`.
        label: As for `VariantMetrics`.
    """

    def __init__(self, endpoint_name: str, *, label: str | None = None) -> None:
        super().__init__({"EndpointName": endpoint_name}, label)

    def backlog(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that wait or are worked on (count; most in the period, default 1 minute)."""
        return self._metric(INVOCATION_NAMESPACE, "ApproximateBacklogSize", "Maximum", "backlog", period)

    def backlog_per_instance(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """The same divided by the instances (average, default 1 minute): what scaling tracks."""
        return self._metric(
            INVOCATION_NAMESPACE,
            "ApproximateBacklogSizePerInstance",
            "Average",
            "backlog per instance",
            period,
        )

    def age_of_oldest_request(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """How long the oldest request has been waiting (seconds; most in the period, default 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "ApproximateAgeOfOldestRequest", "Maximum", "oldest request", period
        )

    def has_backlog_without_capacity(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """1 while requests wait and there is no instance, otherwise 0 (average, default 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "HasBacklogWithoutCapacity", "Average", "backlog without capacity", period
        )


class AsyncVariantMetrics(VariantMetrics):
    """Metrics of a variant of an asynchronous endpoint.

    It has those of instances, and of the invocation metrics only 4xx and 5xx rates and the model's latency:
    no Invocations, InvocationsPerInstance or OverheadLatency.
    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html

    Args: those of `VariantMetrics`.
    """

    def processed(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that are done (count over the period, default 1 minute).

        Counted by their processing times: AWS's pages spell the metric that counts them in several ways.
        """
        return self._metric(INVOCATION_NAMESPACE, "TotalProcessingTime", "SampleCount", "processed", period)

    def processing_time(
        self, *, statistic: str = "p99", period: cdk.Duration | None = None
    ) -> cloudwatch.Metric:
        """From a request's arrival to its notification (milliseconds; default 99th percentile over 1
        minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "TotalProcessingTime", statistic, f"processing time {statistic}", period
        )

    def failed(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that failed for any reason (count, sum, default 1 minute)."""
        return self._count("InvocationFailures", "failed", period)

    def expired(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that waited longer than their time to live (count, sum, default 1 minute)."""
        return self._count("ExpiredRequests", "expired", period)

    def notification_failures(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Notifications that could not be published (count, sum, default 1 minute)."""
        return self._count("NotificationFailures", "notification failures", period)

    def download_failures(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests whose input could not be read from S3 (count, sum, default 1 minute)."""
        return self._count("RequestDownloadFailures", "download failures", period)

    def upload_failures(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Answers that could not be written to S3 (count, sum, default 1 minute)."""
        return self._count("ResponseUploadFailures", "upload failures", period)

    def _count(self, name: str, label: str, period: cdk.Duration | None) -> cloudwatch.Metric:
        return self._metric(INVOCATION_NAMESPACE, name, "Sum", label, period)


class ServerlessMetrics(VariantMetrics):
    """Metrics of a serverless variant.

    It has those of invocations and of memory, and no CPU, disk or InvocationsPerInstance.
    https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-monitoring.html

    Args: those of `VariantMetrics`.
    """

    def setup_time(self, *, statistic: str = "p99", period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Time to start a container, where a request had to wait for one (microseconds; default 99th
        percentile over 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE, "ModelSetupTime", statistic, f"cold start {statistic}", period
        )

    def cold_starts(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests that had to wait for a container (count over the period, default 1 minute)."""
        return self._metric(INVOCATION_NAMESPACE, "ModelSetupTime", "SampleCount", "cold starts", period)

    def concurrency_utilization(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Concurrent requests by the maximum concurrency (0 to 1; most in the period, default 1 minute): at 1
        requests are throttled, and no other metric tells of that."""
        return self._metric(
            INVOCATION_NAMESPACE,
            "ServerlessConcurrentExecutionsUtilization",
            "Maximum",
            "concurrency",
            period,
        )

    def provisioned_concurrency_utilization(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Concurrent requests by the provisioned concurrency (0 to 1; most in the period, default 1
        minute)."""
        return self._metric(
            INVOCATION_NAMESPACE,
            "ServerlessProvisionedConcurrencyUtilization",
            "Maximum",
            "provisioned concurrency",
            period,
        )

    def spillover(self, *, period: cdk.Duration | None = None) -> cloudwatch.Metric:
        """Requests beyond the provisioned concurrency, which may wait for a cold start (count; most in the
        period, default 1 minute)."""
        return self._metric(
            INVOCATION_NAMESPACE,
            "ServerlessProvisionedConcurrencySpilloverInvocations",
            "Maximum",
            "spillover",
            period,
        )
