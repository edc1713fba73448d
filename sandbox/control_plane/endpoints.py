"""CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint, UpdateEndpointWeightsAndCapacities,
DeleteEndpoint.

Checks what the service checks and hands the work to the deployments, which set the status from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from sandbox.control_plane.deployment_rules import deployment_findings
from sandbox.control_plane.describe import describe_endpoint
from sandbox.control_plane.endpoint_configs import all_variants, find_config, model_names
from sandbox.control_plane.models import find_model
from sandbox.control_plane.resources import (
    answer_page,
    arn_of,
    invalid,
    list_resources,
    not_found,
    now,
    refuse_taken,
    set_tags,
)
from sandbox.control_plane.serverless_rules import becomes_serverless, serverless_update
from sandbox.store import Endpoint, Params, Record, Scope, Store, Stores
from sandbox.validation import raise_findings

_BUSY = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}


class DeploymentService(Protocol):
    """Who carries endpoints out; returns at once and sets the endpoint's status as work proceeds."""

    def create(self, endpoint: Endpoint, config: Record) -> None:
        """Creating, then InService or Failed."""

    def update(
        self,
        endpoint: Endpoint,
        config: Record,
        deployment_config: Params | None,
        *,
        retain_all: bool,
        exclude: frozenset[str],
    ) -> None:
        """Updating, then InService on the new or, rolled back, on the old configuration."""

    def update_weights_and_capacities(self, endpoint: Endpoint, desired: list[Params]) -> None:
        """Updating, then InService."""

    def delete(self, endpoint: Endpoint) -> None:
        """Deleting, then gone from the store."""


class ScalingRegistry(Protocol):
    """What SageMaker asks Application Auto Scaling when an endpoint changes or goes."""

    def scaled_variants(self, endpoint_name: str, scope: Scope) -> set[str]:
        """Names of the endpoint's variants that are scalable targets."""

    def forget_endpoint(self, endpoint_name: str, scope: Scope) -> None:
        """Deregister the scalable targets of an endpoint that is deleted."""


class Endpoints:
    """Endpoints: who may do what when."""

    def __init__(self, stores: Stores, deployments: DeploymentService) -> None:
        self._stores = stores
        self._deployments = deployments
        self.scaling: ScalingRegistry | None = None

    def create(self, params: Params, scope: Scope) -> Params:
        """CreateEndpoint."""
        store, name = self._stores.of(scope), params["EndpointName"]
        arn = arn_of("endpoint", name, scope)
        refuse_taken("endpoint", arn, store.endpoints.values())
        config = _deployable(store, params["EndpointConfigName"], scope)
        deployment = params.get("DeploymentConfig")
        raise_findings([*deployment_findings(deployment or {}, config.request)])
        set_tags(store, arn, params.get("Tags", []))
        created = now()
        endpoint = Endpoint(
            name=name,
            arn=arn,
            scope=scope,
            config_name=config.name,
            created_at=created,
            modified_at=created,
            deployment_config=deployment,
            data_capture=config.request.get("DataCaptureConfig"),
        )
        store.endpoints[name.lower()] = endpoint
        try:
            self._deployments.create(endpoint, config)
        except Exception:
            del store.endpoints[name.lower()]
            store.tags.pop(arn, None)
            raise
        return {"EndpointArn": arn}

    def describe(self, params: Params, scope: Scope) -> Params:
        """DescribeEndpoint."""
        store = self._stores.of(scope)
        endpoint = _find(store, params["EndpointName"], scope)
        return describe_endpoint(endpoint, store.endpoint_configs.get(endpoint.config_name))

    def list(self, params: Params, scope: Scope) -> Params:
        """ListEndpoints."""
        endpoints = self._stores.of(scope).endpoints.values()
        status = {endpoint.arn: endpoint.status for endpoint in endpoints}
        records, token = list_resources(endpoints, params, "endpoints", status=status)
        summaries = [
            {
                "EndpointName": record.name,
                "EndpointArn": record.arn,
                "CreationTime": record.created_at,
                "LastModifiedTime": record.modified_at,
                "EndpointStatus": status[record.arn],
            }
            for record in records
        ]
        return answer_page("Endpoints", summaries, token)

    def update(self, params: Params, scope: Scope) -> Params:
        """UpdateEndpoint."""
        store = self._stores.of(scope)
        endpoint = _find(store, params["EndpointName"], scope)
        _require_updatable(endpoint)
        config = _deployable(store, params["EndpointConfigName"], scope)
        deployment = params.get("DeploymentConfig")
        if deployment is None and params.get("RetainDeploymentConfig"):
            deployment = endpoint.deployment_config
        retain_all = params.get("RetainAllVariantProperties", False)
        exclude = frozenset(
            item["VariantPropertyType"] for item in params.get("ExcludeRetainedVariantProperties", [])
        )
        findings = [
            *_retention(retain_all, exclude),
            *_kind(endpoint, config),
            *becomes_serverless(endpoint, config),
            *self._scaled(endpoint, config),
        ]
        if deployment:
            variants = endpoint.variants
            keeps_counts = retain_all and "DesiredInstanceCount" not in exclude
            kept = {
                name: variant.desired_instance_count
                for name, variant in variants.items()
                if variant.desired_serverless is None
            }
            findings += deployment_findings(
                deployment, config.request, frozenset(variants), kept if keeps_counts else None
            )
        raise_findings(findings)
        self._change(
            endpoint,
            lambda: self._deployments.update(
                endpoint,
                config,
                deployment,
                retain_all=retain_all,
                exclude=exclude,
            ),
        )
        if deployment:
            endpoint.deployment_config = deployment
        return {"EndpointArn": endpoint.arn}

    def update_weights_and_capacities(self, params: Params, scope: Scope) -> Params:
        """UpdateEndpointWeightsAndCapacities."""
        store = self._stores.of(scope)
        endpoint = _find(store, params["EndpointName"], scope)
        _require_updatable(endpoint)
        desired = params["DesiredWeightsAndCapacities"]
        raise_findings([*_desired(endpoint, desired, endpoint.async_inference is not None)])
        self._change(endpoint, lambda: self._deployments.update_weights_and_capacities(endpoint, desired))
        return {"EndpointArn": endpoint.arn}

    def delete(self, params: Params, scope: Scope) -> Params:
        """DeleteEndpoint; deregisters its scalable targets, as AWS does."""
        store = self._stores.of(scope)
        endpoint = _find(store, params["EndpointName"], scope)
        _require_idle(endpoint)
        if self.scaling:
            self.scaling.forget_endpoint(endpoint.name, scope)
        self._deployments.delete(endpoint)
        store.tags.pop(endpoint.arn, None)
        return {}

    def _change(self, endpoint: Endpoint, start: Callable[[], None]) -> None:
        """Start a change; its failure from before shows no more, unless the change is refused."""
        reason, modified = endpoint.failure_reason, endpoint.modified_at
        endpoint.failure_reason, endpoint.modified_at = None, now()
        try:
            start()
        except Exception:
            endpoint.failure_reason, endpoint.modified_at = reason, modified
            raise

    def _scaled(self, endpoint: Endpoint, config: Record) -> Iterator[str]:
        """Variants under Application Auto Scaling keep their instance type (sagemaker-rules 8.2)."""
        if self.scaling is None:
            return
        new_types = {v["VariantName"]: v.get("InstanceType") for v in all_variants(config.request)}
        scaled = self.scaling.scaled_variants(endpoint.name, endpoint.scope)
        changed = [
            name
            for name, variant in endpoint.all_variants.items()
            if name in scaled and new_types.get(name) != variant.production_variant.get("InstanceType")
        ]
        if changed:
            yield (
                f'The variant(s) "[{", ".join(changed)}]" must be deregistered as scalable targets with '
                "AutoScaling before they can be removed or have their instance type updated."
            )


def _find(store: Store, name: str, scope: Scope) -> Endpoint:
    if name.lower() not in store.endpoints:
        raise not_found("endpoint", arn_of("endpoint", name, scope))
    return store.endpoints[name.lower()]


def _require_idle(endpoint: Endpoint) -> None:
    if endpoint.status in _BUSY:
        raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _require_updatable(endpoint: Endpoint) -> None:
    _require_idle(endpoint)
    if endpoint.status == "Failed":
        raise invalid(
            f'Cannot update endpoint "{endpoint.arn}" in status Failed. '
            "Delete the endpoint and create it again."
        )


def _deployable(store: Store, config_name: str, scope: Scope) -> Record:
    """The configuration, if its models are there and the sandbox runs what it asks for.

    Raises:
        ServiceError: Otherwise.
    """
    config = find_config(store, config_name, scope)
    for name in model_names(config.request):
        find_model(store, name, scope)
    request = config.request
    variants = all_variants(request)
    asked = {
        "data capture of an asynchronous endpoint": (
            "AsyncInferenceConfig" in request
            and request.get("DataCaptureConfig", {"EnableCapture": False}).get("EnableCapture", True)
        ),
        "online explanations (ExplainerConfig)": "ExplainerConfig" in request,
        "inference components (variants without ModelName)": any("ModelName" not in v for v in variants),
        "instance pools": any("InstancePools" in variant for variant in variants),
    }
    missing = [what for what, is_asked in asked.items() if is_asked]
    if missing:
        raise invalid(
            f'The endpoint configuration "{config.name}" asks for {", ".join(missing)}, '
            "which the sandbox does not run yet. On AWS it would be deployed."
        )
    return config


def _retention(retain_all: bool, exclude: frozenset[str]) -> Iterator[str]:
    if exclude and not retain_all:
        yield "ExcludeRetainedVariantProperties needs RetainAllVariantProperties true"
    if "DataCaptureConfig" in exclude:
        yield "ExcludeRetainedVariantProperties does not support DataCaptureConfig"


def _kind(endpoint: Endpoint, config: Record) -> Iterator[str]:
    is_async, will_be = endpoint.async_inference is not None, "AsyncInferenceConfig" in config.request
    if is_async != will_be:
        words = {True: "asynchronous", False: "real-time"}
        yield (
            f"the endpoint is {words[is_async]} and the configuration {words[will_be]}: its callers use "
            "other operations. Create another endpoint"
        )


def _desired(endpoint: Endpoint, desired: list[Params], may_be_zero: bool) -> Iterator[str]:
    names = [item["VariantName"] for item in desired]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        yield f"every variant may come once in DesiredWeightsAndCapacities; repeated: {', '.join(repeated)}"
    # "weight of one or more variants [...], or capacity of one variant"
    sized = sorted({item["VariantName"] for item in desired if "DesiredInstanceCount" in item})
    if len(sized) > 1:
        yield (
            "DesiredInstanceCount may be given for one variant per call (weights for any number of them); "
            f"it is given for {', '.join(sized)}"
        )
    weights = {name: variant.desired_weight for name, variant in endpoint.variants.items()}
    for number, item in enumerate(desired, start=1):
        name, place = item["VariantName"], f"desiredWeightsAndCapacities.{number}.member"
        if name not in endpoint.all_variants:
            known = ", ".join(sorted(endpoint.all_variants))
            yield f'{place}: the endpoint has no variant "{name}"; it has {known}'
            continue
        if item.keys() == {"VariantName"}:
            yield f"{place}: DesiredWeight, DesiredInstanceCount or ServerlessUpdateConfig is missing"
        yield from (f"{place}: {finding}" for finding in serverless_update(endpoint, item))
        if item.get("DesiredInstanceCount") == 0 and not may_be_zero:
            yield f"{place}: DesiredInstanceCount must be at least 1 for a real-time endpoint"
        if name in weights:  # a shadow's weight is a share of the production variant's
            weights[name] = item.get("DesiredWeight", weights[name])
    if weights and not sum(weights.values()):
        yield "the weight of at least one variant must be greater than 0"
