"""CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from sandbox.control_plane.config_rules import check_config
from sandbox.control_plane.models import find_model
from sandbox.control_plane.records import Kind, Records
from sandbox.store import Params, Record, Scope, Store, Stores

_KIND = Kind(
    "endpoint configuration", "endpoint-config", "EndpointConfig", lambda store: store.endpoint_configs
)


class EndpointConfigs(Records):
    """Endpoint configurations: immutable records of what an endpoint runs.

    One in use may be deleted: AWS warns against it and allows it.
    """

    def __init__(self, stores: Stores) -> None:
        super().__init__(_KIND, stores)

    def check(self, params: Params, store: Store, scope: Scope) -> None:  # noqa: D102  (Records)
        models = {name: find_model(store, name, scope).request for name in model_names(params)}
        check_config(params, models, scope)

    def shown(self, request: Params) -> Params:  # noqa: D102  (Records)
        return {"EnableNetworkIsolation": False, **request}


def find_config(store: Store, name: str, scope: Scope) -> Record:
    """An endpoint configuration by its name.

    Raises:
        ServiceError: There is none.
    """
    return _KIND.find(store, name, scope)


def model_names(config: Params) -> list[str]:
    """Names of the models that a configuration deploys, each once."""
    return list(
        dict.fromkeys(variant["ModelName"] for variant in all_variants(config) if "ModelName" in variant)
    )


def all_variants(config: Params) -> list[Params]:
    """The production and the shadow variants of a request of CreateEndpointConfig."""
    return [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
