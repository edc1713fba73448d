"""The operations of the `sagemaker` API that the sandbox has, by name."""

from __future__ import annotations

import inspect

from sandbox.aws import LocalAws
from sandbox.control_plane.endpoint_configs import EndpointConfigs
from sandbox.control_plane.endpoints import DeploymentService, Endpoints, ScalingRegistry
from sandbox.control_plane.models import Models
from sandbox.control_plane.pipelines import Pipelines
from sandbox.control_plane.registry import ModelPackageGroups
from sandbox.control_plane.resources import Operation
from sandbox.control_plane.tags import Tags
from sandbox.control_plane.transform_jobs import TransformJobApi, TransformService
from sandbox.store import Params, Scope, Stores
from sandbox.validation import ApiModel


class ControlPlane:
    """The `sagemaker` API. Call it on the engine's loop only.

    Args:
        stores: Where the records are.
        deployments: Who starts, changes and stops endpoints.
        aws: The AWS underneath, for pipeline definitions in S3.
        transform_jobs: Who runs transform jobs.
    """

    def __init__(
        self,
        stores: Stores,
        deployments: DeploymentService,
        aws: LocalAws,
        transform_jobs: TransformService,
    ) -> None:
        models, configs, tags = Models(stores), EndpointConfigs(stores), Tags(stores)
        groups, pipelines = ModelPackageGroups(stores), Pipelines(stores, aws)
        transforms = TransformJobApi(stores, transform_jobs)
        self._endpoints = endpoints = Endpoints(stores, deployments)
        self.operations: dict[str, Operation] = {
            "CreateModel": models.create,
            "DescribeModel": models.describe,
            "ListModels": models.list,
            "DeleteModel": models.delete,
            "CreateEndpointConfig": configs.create,
            "DescribeEndpointConfig": configs.describe,
            "ListEndpointConfigs": configs.list,
            "DeleteEndpointConfig": configs.delete,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "ListEndpoints": endpoints.list,
            "UpdateEndpoint": endpoints.update,
            "UpdateEndpointWeightsAndCapacities": endpoints.update_weights_and_capacities,
            "DeleteEndpoint": endpoints.delete,
            "AddTags": tags.add,
            "ListTags": tags.list,
            "DeleteTags": tags.delete,
            "CreateModelPackageGroup": groups.create,
            "DescribeModelPackageGroup": groups.describe,
            "ListModelPackageGroups": groups.list,
            "DeleteModelPackageGroup": groups.delete,
            "PutModelPackageGroupPolicy": groups.put_policy,
            "GetModelPackageGroupPolicy": groups.get_policy,
            "DeleteModelPackageGroupPolicy": groups.delete_policy,
            "CreatePipeline": pipelines.create,
            "UpdatePipeline": pipelines.update,
            "DescribePipeline": pipelines.describe,
            "ListPipelines": pipelines.list,
            "DeletePipeline": pipelines.delete,
            "CreateTransformJob": transforms.create,
            "DescribeTransformJob": transforms.describe,
            "ListTransformJobs": transforms.list,
            "StopTransformJob": transforms.stop,
        }
        self._model = ApiModel("sagemaker", self.operations)

    async def call(self, operation: str, params: Params, scope: Scope) -> Params:
        """Run an operation.

        Args:
            operation: Its name in the API, for example ``CreateEndpoint``.
            params: The request, in the API's own words; timestamps as epoch seconds or datetimes.
            scope: Account and Region of the caller.

        Raises:
            ServiceError: As the API would answer.
        """
        self._model.require(operation)
        answer = self.operations[operation](self._model.validate(operation, params), scope)
        return await answer if inspect.isawaitable(answer) else answer

    def add_operations(self, operations: dict[str, Operation]) -> None:
        """Have further operations; those of a name that is there already are replaced."""
        self.operations |= operations
        self._model = ApiModel("sagemaker", self.operations)

    def watch_scaling(self, registry: ScalingRegistry) -> None:
        """Ask a registry of scalable targets before endpoints change, and tell it when they go."""
        self._endpoints.scaling = registry
