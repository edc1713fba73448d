"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from sandbox.control_plane.model_rules import check_model
from sandbox.control_plane.resources import (
    answer_page,
    arn_of,
    list_resources,
    new_record,
    not_found,
    refuse_taken,
)
from sandbox.store import Params, Record, Scope, Store, Stores


class Models:
    """Models: immutable records; whether they run shows at the endpoint."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateModel."""
        check_model(params)
        store, name = self._stores.of(scope), params["ModelName"]
        arn = arn_of("model", name, scope)
        refuse_taken("model", arn, store.models.values())
        store.models[name] = new_record(name, arn, params, store)
        return {"ModelArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeModel."""
        record = find_model(self._stores.of(scope), params["ModelName"], scope)
        answer = dict(record.request)
        if "PrimaryContainer" in answer:
            answer["PrimaryContainer"] = _container(answer["PrimaryContainer"])
        if "Containers" in answer:
            answer["Containers"] = [_container(container) for container in answer["Containers"]]
        return {
            "EnableNetworkIsolation": False,
            "DeploymentRecommendation": {"RecommendationStatus": "NOT_APPLICABLE"},
            **answer,
            "ModelArn": record.arn,
            "CreationTime": record.created_at,
        }

    def list(self, params: Params, scope: Scope) -> Params:
        """ListModels."""
        records, token = list_resources(self._stores.of(scope).models.values(), params, "models")
        summaries = [
            {"ModelName": record.name, "ModelArn": record.arn, "CreationTime": record.created_at}
            for record in records
        ]
        return answer_page("Models", summaries, token)

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteModel; endpoints that run it go on, as on AWS."""
        store = self._stores.of(scope)
        record = find_model(store, params["ModelName"], scope)
        del store.models[record.name]
        store.tags.pop(record.arn, None)
        return {}


def find_model(store: Store, name: str, scope: Scope) -> Record:
    """A model by its name.

    Raises:
        ServiceError: There is none.
    """
    if name not in store.models:
        raise not_found("model", arn_of("model", name, scope))
    return store.models[name]


def _container(container: Params) -> Params:
    return {"Mode": "SingleModel", "Environment": {}, **container}
