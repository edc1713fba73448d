"""Variants and their fleets: made from a configuration, started together, stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sandbox.errors import ServiceError
from sandbox.fleet import FleetFailed, FleetManager
from sandbox.serverless import ServerlessFleet, ServerlessSize
from sandbox.store import Endpoint, Params, Record, Stores, Variant

log = logging.getLogger(__name__)

# the lists of variants of an endpoint configuration
PRODUCTION = "ProductionVariants"
SHADOW = "ShadowProductionVariants"


class DeploymentFailed(Exception):
    """An update or a creation cannot go on; the text is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Kept:
    """What RetainAllVariantProperties keeps of a variant; None where the configuration decides.

    Args:
        weight: DesiredWeight.
        count: DesiredInstanceCount.
        provisioned: The provisioned concurrency of a serverless variant, which is its capacity.
    """

    weight: float | None = None
    count: int | None = None
    provisioned: int | None = None


def make_variants(
    stores: Stores,
    manager: FleetManager,
    endpoint: Endpoint,
    config: Record,
    kept: Mapping[str, Kept],
    member: str = PRODUCTION,
) -> dict[str, Variant]:
    """The variants of a configuration, each with a fleet that is not started yet.

    Args:
        stores: Where the models are.
        manager: Makes the fleets.
        endpoint: The endpoint.
        config: The endpoint configuration.
        kept: By variant name, what overrides the configuration.
        member: Which of the configuration's lists: `PRODUCTION` or `SHADOW`.

    Raises:
        ServiceError: A model is gone, a limit is reached, or the variant is of a kind that is not served.
    """
    models = stores.of(endpoint.scope).models
    variants: dict[str, Variant] = {}
    for params in config.request.get(member, []):
        name = params["VariantName"]
        model = models.get(params.get("ModelName", ""))
        if model is None:
            arn = endpoint.scope.arn(f"model/{params.get('ModelName', '').lower()}")
            raise ServiceError("ValidationException", f'Could not find model "{arn}".')
        keep = kept.get(name, Kept())
        weight = keep.weight if keep.weight is not None else float(params.get("InitialVariantWeight", 1.0))
        if "ServerlessConfig" in params:
            variants[name] = _serverless(manager, endpoint, params, model, weight, keep)
            continue
        count = keep.count if keep.count is not None else params["InitialInstanceCount"]
        fleet = manager.create(endpoint.name, params, model, endpoint.scope)
        fleet.asynchronous = "AsyncInferenceConfig" in config.request
        variants[name] = Variant(name, weight, weight, count, fleet, params)
    return variants


def _serverless(
    manager: FleetManager, endpoint: Endpoint, params: Params, model: Record, weight: float, keep: Kept
) -> Variant:
    size = ServerlessSize.of(params["ServerlessConfig"])
    if keep.provisioned is not None:
        size = replace(size, provisioned=min(keep.provisioned, size.max_concurrency))
    make = partial(ServerlessFleet, metrics=manager.metrics)
    fleet = manager.create(
        endpoint.name, params | {"ServerlessConfig": size.config}, model, endpoint.scope, make
    )
    return Variant(
        params["VariantName"], weight, weight, size.provisioned, fleet, params, desired_serverless=size
    )


async def start_fleets(variants: Mapping[str, Variant], counts: Mapping[str, int]) -> None:
    """Start fleets with the given numbers of instances, all at the same time.

    Args:
        variants: The variants, by name.
        counts: Instances by variant name.

    Raises:
        DeploymentFailed: One did not start; none is left running.
    """
    try:
        await _together(variants[name].fleet.start(count) for name, count in counts.items())
    except BaseException:
        await stop_fleets(variants.values(), drain=False)
        raise


async def scale_fleets(variants: Mapping[str, Variant], counts: Mapping[str, int]) -> None:
    """Bring running fleets to the given numbers of instances, all at the same time.

    Args:
        variants: The variants, by name.
        counts: Instances by variant name.

    Raises:
        DeploymentFailed: One could not grow.
    """
    await _together(_resize(variants[name], count) for name, count in counts.items())


async def _resize(variant: Variant, count: int) -> None:
    if isinstance(variant.fleet, ServerlessFleet) and variant.desired_serverless is not None:
        await variant.fleet.resize(variant.desired_serverless)
    else:
        await variant.fleet.scale_to(count)


async def stop_fleets(variants: Iterable[Variant], *, drain: bool) -> None:
    """Stop every variant's fleet; a fleet that resists is logged, as there is nobody to tell."""
    results = await asyncio.gather(
        *(variant.fleet.stop(drain=drain) for variant in variants), return_exceptions=True
    )
    for result in results:
        if isinstance(result, Exception):
            log.error("a fleet did not stop cleanly", exc_info=result)


async def _together(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Run works side by side; the first failure ends the others and is raised with its reason."""
    tasks = [asyncio.ensure_future(work) for work in works]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    except (FleetFailed, ServiceError) as error:
        raise DeploymentFailed(str(error)) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
