"""CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from sandbox.control_plane.config_rules import check_config
from sandbox.control_plane.models import find_model
from sandbox.control_plane.resources import (
    answer_page,
    arn_of,
    list_resources,
    new_record,
    not_found,
    refuse_taken,
)
from sandbox.store import Params, Record, Scope, Store, Stores

KIND = "endpoint configuration"


class EndpointConfigs:
    """Endpoint configurations: immutable records of what an endpoint runs."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateEndpointConfig."""
        store, name = self._stores.of(scope), params["EndpointConfigName"]
        check_config(
            params, {model: find_model(store, model, scope).request for model in model_names(params)}
        )
        arn = arn_of("endpoint-config", name, scope)
        refuse_taken(KIND, arn, store.endpoint_configs.values())
        store.endpoint_configs[name] = new_record(name, arn, params, store)
        return {"EndpointConfigArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeEndpointConfig."""
        record = find_config(self._stores.of(scope), params["EndpointConfigName"], scope)
        return {
            "EnableNetworkIsolation": False,
            **record.request,
            "EndpointConfigArn": record.arn,
            "CreationTime": record.created_at,
        }

    def list(self, params: Params, scope: Scope) -> Params:
        """ListEndpointConfigs."""
        records, token = list_resources(self._stores.of(scope).endpoint_configs.values(), params, "configs")
        summaries = [
            {
                "EndpointConfigName": record.name,
                "EndpointConfigArn": record.arn,
                "CreationTime": record.created_at,
            }
            for record in records
        ]
        return answer_page("EndpointConfigs", summaries, token)

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteEndpointConfig, also of one in use: AWS warns against it and allows it."""
        store = self._stores.of(scope)
        record = find_config(store, params["EndpointConfigName"], scope)
        del store.endpoint_configs[record.name]
        store.tags.pop(record.arn, None)
        return {}


def find_config(store: Store, name: str, scope: Scope) -> Record:
    """An endpoint configuration by its name.

    Raises:
        ServiceError: There is none.
    """
    if name not in store.endpoint_configs:
        raise not_found(KIND, arn_of("endpoint-config", name, scope))
    return store.endpoint_configs[name]


def model_names(config: Params) -> list[str]:
    """Names of the models that a configuration deploys, each once."""
    variants = config["ProductionVariants"] + config.get("ShadowProductionVariants", [])
    return list(dict.fromkeys(variant["ModelName"] for variant in variants if "ModelName" in variant))
