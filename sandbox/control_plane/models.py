"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from sandbox.control_plane.model_packages import find_package
from sandbox.control_plane.model_rules import check_model, named_containers
from sandbox.control_plane.records import Kind, Records
from sandbox.control_plane.resources import invalid
from sandbox.store import Params, Record, Scope, Store, Stores

# members of a ModelPackageContainerDefinition that a ContainerDefinition has, too
_FROM_PACKAGE = ("Image", "ModelDataUrl", "ModelDataSource")

_KIND = Kind("model", "model", "Model", lambda store: store.models)


class Models(Records):
    """Models: immutable records; whether they run shows at the endpoint."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(_KIND, stores)

    def check(self, params: Params, store: Store, scope: Scope) -> None:  # noqa: D102  (Records)
        check_model(params)
        for where, container in named_containers(params):
            if "ModelPackageName" in container:
                _take_from_package(container, where, store, scope)

    def shown(self, request: Params) -> Params:  # noqa: D102  (Records)
        answer = {
            "EnableNetworkIsolation": False,
            "DeploymentRecommendation": {"RecommendationStatus": "NOT_APPLICABLE"},
            **request,
        }
        if "PrimaryContainer" in answer:
            answer["PrimaryContainer"] = _container(answer["PrimaryContainer"])
        if "Containers" in answer:
            answer["Containers"] = [_container(container) for container in answer["Containers"]]
        return answer


def find_model(store: Store, name: str, scope: Scope) -> Record:
    """A model by its name.

    Raises:
        ServiceError: There is none.
    """
    return _KIND.find(store, name, scope)


def _take_from_package(container: Params, where: str, store: Store, scope: Scope) -> None:
    """Complete a container's definition by what its model package says.

    Raises:
        ServiceError: The package is not there, not approved, or has several containers.
    """
    package = find_package(store, container["ModelPackageName"], scope)
    approval = package.request.get("ModelApprovalStatus", "Approved")
    if approval != "Approved":
        raise invalid(
            f"{where}: the model package {package.arn} has the approval status {approval}; only Approved "
            "versions can be deployed."
        )
    parts = package.request.get("InferenceSpecification", {}).get("Containers", [])
    if len(parts) != 1:
        raise invalid(
            f"{where}: the model package {package.arn} has {len(parts)} containers; the sandbox makes models "
            "of packages with one."
        )
    environment = parts[0].get("Environment", {}) | container.get("Environment", {})
    for name in _FROM_PACKAGE:
        if name in parts[0]:
            container[name] = parts[0][name]
    container["Environment"] = environment


def _container(container: Params) -> Params:
    if "ModelPackageName" in container:  # what came from the package is not shown
        container = {name: value for name, value in container.items() if name not in _FROM_PACKAGE}
    return {"Mode": "SingleModel", "Environment": {}, **container}
