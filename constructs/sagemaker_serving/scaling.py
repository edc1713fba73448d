"""Application Auto Scaling for a production variant."""

from __future__ import annotations

from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .scaling_policies import AutoScaling


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

    Attributes:
        target: The scalable target.
        variant_name: As given.
        scaling: As given.
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
    ) -> None:
        super().__init__(scope, id_)
        self.variant_name = variant_name
        self.scaling = scaling
        self.target = autoscaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            resource_id=f"endpoint/{endpoint_name}/variant/{variant_name}",
            min_capacity=scaling.min_capacity,
            max_capacity=scaling.max_capacity,
        )
        self.target.node.add_dependency(endpoint)
        for policy in scaling.policies:
            autoscaling.CfnScalingPolicy(
                self,
                policy.metric.value,
                policy_name=f"{endpoint_name}-{variant_name}-{policy.metric.value}",
                policy_type="TargetTrackingScaling",
                scaling_target_id=self.target.ref,
                target_tracking_scaling_policy_configuration=policy.render(
                    endpoint_name=endpoint_name, variant_name=variant_name
                ),
            )
