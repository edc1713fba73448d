"""What all patterns with an endpoint tell their clients."""

from __future__ import annotations

from collections.abc import Mapping

from sagemaker_serving.endpoint import ServingEndpoint
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic

from .base import PatternStack, SettingsT


class EndpointStack(PatternStack[SettingsT]):
    """A pattern's stack with one endpoint in it."""

    def publish_endpoint(
        self,
        endpoint: ServingEndpoint,
        *,
        topic: AlarmTopic,
        monitoring: EndpointMonitoring,
        outputs: Mapping[str, str | None],
    ) -> None:
        """Add the outputs that clients of an endpoint read.

        Args:
            endpoint: The endpoint.
            topic: Where its alarms go.
            monitoring: Its alarms and dashboard.
            outputs: The pattern's own outputs; None leaves one out.
        """
        alarms = ",".join(alarm.alarm_name for alarm in endpoint.rollback_alarms)
        self.publish(
            {
                "EndpointName": endpoint.endpoint_name,
                "EndpointConfigName": endpoint.expected_config_name,
                "VariantNames": ",".join(variant.name for variant in endpoint.variants),
                "AlarmTopicArn": topic.topic_arn,
                "RollbackAlarmNames": alarms or None,
                "DashboardName": monitoring.dashboard.dashboard_name,
                **outputs,
            }
        )
