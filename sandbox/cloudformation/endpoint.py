"""AWS::SageMaker::Endpoint: the resource that takes its time and can fail after it was accepted."""

from __future__ import annotations

from sandbox.cloudformation.api import Api, ResourceFailed
from sandbox.cloudformation.resource import (
    Made,
    change_tags,
    generated_name,
    name_in,
    unless_gone,
    wait_until,
)
from sandbox.store import Params

# what CloudFormation itself waits at most (timeoutInMinutes of the resource schema's handlers)
CREATE_LIMIT = 160 * 60.0
UPDATE_LIMIT = 970 * 60.0
DELETE_LIMIT = 160 * 60.0

_SETTLED = {"InService", "OutOfService", "Failed", "UpdateRollbackFailed"}


class EndpointResource:
    """An endpoint; its physical id is its ARN."""

    type_name = "AWS::SageMaker::Endpoint"
    replaced_by = ("EndpointName",)
    taggable = True

    def create(self, logical_id: str, properties: Params, stack: str, api: Api) -> Made:
        """CreateEndpoint, until InService. One that failed is deleted again: it serves nobody."""
        name = properties.get("EndpointName") or generated_name(stack, logical_id)
        arn = api.sagemaker(
            "CreateEndpoint",
            EndpointName=name,
            EndpointConfigName=properties.get("EndpointConfigName"),
            DeploymentConfig=properties.get("DeploymentConfig"),
            Tags=properties.get("Tags"),
        )["EndpointArn"]
        endpoint = _settled(name, CREATE_LIMIT, api)
        if endpoint is None:
            raise ResourceFailed(f"Endpoint {name} was deleted while it was being created.")
        if endpoint["EndpointStatus"] != "InService":
            self.delete(arn, properties, api)
            raise ResourceFailed(f"Endpoint {name} failed: {_reason(endpoint)}")
        return _made(arn, name)

    def update(self, physical_id: str, old: Params, new: Params, api: Api) -> Made:
        """UpdateEndpoint, until it serves the wanted configuration.

        An endpoint that is already there is left alone: after SageMaker has rolled an update back, the
        stack's own rollback asks for what is already serving.

        Raises:
            ResourceFailed: SageMaker rolled the update back; the endpoint serves the old configuration.
        """
        name = new.get("EndpointName") or name_in(physical_id)
        change_tags(physical_id, old, new, api)
        # an update that scaling has started would make SageMaker refuse ours
        endpoint = _settled(name, UPDATE_LIMIT, api)
        if endpoint is None:
            raise ResourceFailed(f"Endpoint {name} does not exist any more.")
        wanted = new.get("EndpointConfigName")
        if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != wanted:
            _update(name, new, api)
        return _made(physical_id, name)

    def delete(self, physical_id: str, properties: Params, api: Api) -> None:
        """DeleteEndpoint, when nothing else is under way any more, until it is gone."""
        name = properties.get("EndpointName") or name_in(physical_id)
        if _settled(name, UPDATE_LIMIT, api) is None:
            return
        unless_gone(api, lambda: api.sagemaker("DeleteEndpoint", EndpointName=name))
        gone = wait_until(lambda: _describe(name, api) is None or None, limit=DELETE_LIMIT)
        if not gone:
            raise ResourceFailed(f"Endpoint {name} was not deleted within {DELETE_LIMIT / 60:.0f} minutes.")


def _update(name: str, properties: Params, api: Api) -> None:
    wanted = properties.get("EndpointConfigName")
    api.sagemaker(
        "UpdateEndpoint",
        EndpointName=name,
        EndpointConfigName=wanted,
        DeploymentConfig=properties.get("DeploymentConfig"),
        RetainAllVariantProperties=properties.get("RetainAllVariantProperties"),
        ExcludeRetainedVariantProperties=properties.get("ExcludeRetainedVariantProperties"),
        RetainDeploymentConfig=properties.get("RetainDeploymentConfig"),
    )
    endpoint = _settled(name, UPDATE_LIMIT, api)
    if endpoint is None:
        raise ResourceFailed(f"Endpoint {name} was deleted while it was being updated.")
    if endpoint["EndpointStatus"] != "InService":
        raise ResourceFailed(f"The update of endpoint {name} failed: {_reason(endpoint)}")
    if endpoint["EndpointConfigName"] != wanted:
        raise ResourceFailed(
            f"The update of endpoint {name} was rolled back, it serves "
            f"{endpoint['EndpointConfigName']} as before: {_reason(endpoint)}"
        )


def _describe(name: str, api: Api) -> Params | None:
    return unless_gone(api, lambda: api.sagemaker("DescribeEndpoint", EndpointName=name))


def _settled(name: str, limit: float, api: Api) -> Params | None:
    """The endpoint once nothing is under way any more; None when there is none.

    Raises:
        ResourceFailed: Something is still under way after the limit.
    """

    def probe() -> Params | None:
        endpoint = _describe(name, api)
        return {} if endpoint is None else endpoint if endpoint["EndpointStatus"] in _SETTLED else None

    endpoint = wait_until(probe, limit=limit)
    if endpoint is None:
        raise ResourceFailed(f"Endpoint {name} did not stabilize within {limit / 60:.0f} minutes.")
    return endpoint or None


def _reason(endpoint: Params) -> str:
    return str(endpoint.get("FailureReason") or "SageMaker gave no reason.")


def _made(arn: str, name: str) -> Made:
    return Made(arn, {"EndpointName": name, "EndpointArn": arn, "Id": arn})
