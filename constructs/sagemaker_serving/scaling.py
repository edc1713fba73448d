"""Application Auto Scaling for a production variant."""

from __future__ import annotations

from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .metrics import PUBLISHING_PERIOD_SECONDS, AsyncMetrics
from .scaling_policies import AutoScaling, TargetTracking, WakeFromZero

_WAKING_MINUTES = 2


class VariantScaling(Construct):
    """A variant as a scalable target, with its policies.

    No role is made: SageMaker's targets use the service-linked role
    ``AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint``.
    https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-sagemaker.html

    Args:
        endpoint: The endpoint; the target exists only as long as it does.
        endpoint_name: Its name.
        variant_name: The variant.
        scaling: Limits and policies.
        serverless: Whether it is the provisioned concurrency that is scaled, and not the instances. Default
            no.

    Attributes:
        target: The scalable target.
        variant_name: As given.
        scaling: As given.
        serverless: As given.
        wake_alarm: What starts the first instance; None unless the variant can have none.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        endpoint: sagemaker.CfnEndpoint,
        endpoint_name: str,
        variant_name: str,
        scaling: AutoScaling,
        serverless: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.variant_name = variant_name
        self.scaling = scaling
        self.serverless = serverless
        self._endpoint_name = endpoint_name
        scaled = "DesiredProvisionedConcurrency" if serverless else "DesiredInstanceCount"
        self.target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension=f"sagemaker:variant:{scaled}",
            resource_id=f"endpoint/{endpoint_name}/variant/{variant_name}",
            min_capacity=scaling.min_capacity,
            max_capacity=scaling.max_capacity,
        )
        self.target.node.add_dependency(endpoint)
        self.wake_alarm: cloudwatch.CfnAlarm | None = None
        for policy in scaling.policies:
            if isinstance(policy, WakeFromZero):
                self.wake_alarm = self._alarm_for(self._step(policy))
            else:
                self._track(policy)

    def _track(self, policy: TargetTracking) -> None:
        autoscaling.CfnScalingPolicy(
            self,
            policy.metric.value,
            policy_name=self._name(policy),
            policy_type="TargetTrackingScaling",
            scaling_target_id=self.target.ref,
            target_tracking_scaling_policy_configuration=policy.render(
                endpoint_name=self._endpoint_name, variant_name=self.variant_name
            ),
        )

    def _step(self, policy: WakeFromZero) -> autoscaling.CfnScalingPolicy:
        return autoscaling.CfnScalingPolicy(
            self,
            policy.metric.value,
            policy_name=self._name(policy),
            policy_type="StepScaling",
            scaling_target_id=self.target.ref,
            step_scaling_policy_configuration=policy.render(),
        )

    def _alarm_for(self, policy: autoscaling.CfnScalingPolicy) -> cloudwatch.CfnAlarm:
        metric = AsyncMetrics(self._endpoint_name).has_backlog_without_capacity()
        return cloudwatch.CfnAlarm(
            self,
            "Wake",
            alarm_description=f"requests wait at {self._endpoint_name}, which has no instance: starts one",
            namespace=metric.namespace,
            metric_name=metric.metric_name,
            dimensions=[
                cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=self._endpoint_name)
            ],
            statistic=metric.statistic,
            period=PUBLISHING_PERIOD_SECONDS,
            evaluation_periods=_WAKING_MINUTES,
            datapoints_to_alarm=_WAKING_MINUTES,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[policy.ref],
        )

    def _name(self, policy: TargetTracking | WakeFromZero) -> str:
        return f"{self._endpoint_name}-{self.variant_name}-{policy.metric.value}"
