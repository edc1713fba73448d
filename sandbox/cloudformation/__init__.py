"""CloudFormation resource types of SageMaker and Application Auto Scaling, in terms of their APIs."""

from sandbox.cloudformation.api import Api, ResourceFailed
from sandbox.cloudformation.endpoint import EndpointResource
from sandbox.cloudformation.plain import PLAIN_RESOURCES
from sandbox.cloudformation.resource import Made, Resource
from sandbox.cloudformation.scaling import ScalableTarget, ScalingPolicy

RESOURCES: tuple[Resource, ...] = (*PLAIN_RESOURCES, EndpointResource(), ScalableTarget(), ScalingPolicy())

__all__ = ["RESOURCES", "Api", "Made", "Resource", "ResourceFailed"]
