"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from sandbox.control_plane.model_rules import check_model
from sandbox.control_plane.records import Kind, Records
from sandbox.store import Params, Record, Scope, Store, Stores

_KIND = Kind("model", "model", "Model", lambda store: store.models)


class Models(Records):
    """Models: immutable records; whether they run shows at the endpoint."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(_KIND, stores)

    def check(self, params: Params, store: Store, scope: Scope) -> None:  # noqa: D102  (Records)
        check_model(params)

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


def _container(container: Params) -> Params:
    return {"Mode": "SingleModel", "Environment": {}, **container}
