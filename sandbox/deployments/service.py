"""What the control plane calls; every call returns at once, a task of the engine's loop does the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime

from sandbox.async_queue import AsyncQueues, TopicRefused
from sandbox.aws import LocalAws
from sandbox.capture import Capture
from sandbox.clock import Clock
from sandbox.deployments.capacity import Capacity, kept_of
from sandbox.deployments.fleets import (
    SHADOW,
    DeploymentFailed,
    make_variants,
    scale_fleets,
    start_fleets,
    stop_fleets,
)
from sandbox.deployments.policy import Policy, supports_guardrails
from sandbox.deployments.transitions import Transitions, internal_reason
from sandbox.deployments.update import Update
from sandbox.events import EventPublisher
from sandbox.fleet import FleetManager
from sandbox.store import Endpoint, Params, Pending, Record, Stores, Variant
from sandbox.traffic import Routes, Side

log = logging.getLogger(__name__)


class Deployments:
    """Creates, updates, scales and deletes what serves behind endpoints.

    The caller checks that the endpoint's status allows the operation; no two run at a time.

    Args:
        stores: Models are looked up and deleted endpoints removed here.
        fleets: Makes fleets.
        aws: CloudWatch for alarms, S3 for data capture.
        clock: The time scale of bakes, waits and timeouts.
        events: Hears of every change.
        queues: Has a queue for each asynchronous endpoint; None where there is none.
    """

    def __init__(
        self,
        stores: Stores,
        fleets: FleetManager,
        aws: LocalAws,
        clock: Clock,
        events: EventPublisher,
        queues: AsyncQueues | None = None,
    ) -> None:
        self._stores = stores
        self._fleets = fleets
        self._aws = aws
        self._clock = clock
        self._events = events
        self._queues = queues
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, endpoint: Endpoint, config: Record) -> None:
        """Start an endpoint: Creating, then InService, or Failed with the reason.

        Args:
            endpoint: The endpoint, in the store already.
            config: Its configuration.

        Raises:
            ServiceError: A model is gone or a limit is reached; nothing was started then.
        """
        endpoint.variants = make_variants(self._stores, self._fleets, endpoint, config, {})
        endpoint.shadow_variants = make_variants(self._stores, self._fleets, endpoint, config, {}, SHADOW)
        self._transitions(endpoint).enter(endpoint, "Creating")
        endpoint.data_capture = config.request.get("DataCaptureConfig")
        endpoint.async_inference = config.request.get("AsyncInferenceConfig")
        self._spawn(endpoint, self._create(endpoint, config))

    def update(
        self,
        endpoint: Endpoint,
        config: Record,
        deployment_config: Params | None,
        *,
        retain_all: bool,
        exclude: frozenset[str],
    ) -> None:
        """Move an endpoint to a configuration: Updating, then InService on the new or the old one.

        Args:
            endpoint: The endpoint.
            config: The new configuration.
            deployment_config: DeploymentConfig; None is all at once.
            retain_all: RetainAllVariantProperties: variants keep weight and instance count by name.
            exclude: ExcludeRetainedVariantProperties: of these, what the configuration decides after all.

        Raises:
            ServiceError: A model is gone or a limit is reached; nothing has changed then.
        """
        assert endpoint.routes is not None  # noqa: S101 - the control plane updates only what serves
        kept = kept_of(endpoint, exclude) if retain_all else {}
        variants = make_variants(self._stores, self._fleets, endpoint, config, kept)
        shadows = make_variants(self._stores, self._fleets, endpoint, config, kept, SHADOW)
        data_capture = config.request.get("DataCaptureConfig")
        if deployment_config is not None:
            endpoint.deployment_config = deployment_config
        endpoint.pending = Pending(config.name, datetime.now(UTC), variants=variants, shadow_variants=shadows)
        transitions = self._transitions(endpoint)
        transitions.enter(endpoint, "Updating")
        update = Update(
            endpoint,
            endpoint.pending,
            endpoint.routes.blue,
            Side(config.name, variants, self._capture(endpoint, data_capture), shadows),
            config,
            Policy.of(deployment_config if transitions.guarded else None),
            transitions,
            self._aws,
            self._clock,
            lambda: self._check_topics(endpoint, config.request.get("AsyncInferenceConfig")),
        )
        self._spawn(endpoint, update.run())

    def update_weights_and_capacities(self, endpoint: Endpoint, desired: list[Params]) -> None:
        """Change weights and instance counts in place: Updating, then InService.

        If a fleet cannot grow, everything stays as it was and the endpoint tells the reason.

        Args:
            endpoint: The endpoint.
            desired: DesiredWeightsAndCapacities of variants that exist.
        """
        before = {name: Capacity.of(variant) for name, variant in endpoint.all_variants.items()}
        for change in desired:
            variant = endpoint.all_variants[change["VariantName"]]
            variant.desired_weight = float(change.get("DesiredWeight", variant.desired_weight))
            variant.desired_instance_count = change.get(
                "DesiredInstanceCount", variant.desired_instance_count
            )
            if variant.desired_serverless is not None:
                size = variant.desired_serverless.updated(change.get("ServerlessUpdateConfig", {}))
                variant.desired_serverless, variant.desired_instance_count = size, size.provisioned
        self._transitions(endpoint).enter(endpoint, "Updating")
        self._spawn(endpoint, self._scale(endpoint, before))

    def delete(self, endpoint: Endpoint) -> None:
        """Stop an endpoint and forget it: Deleting, then gone from the store.

        Requests that are being answered are answered; new ones are refused at once.
        """
        self._transitions(endpoint).enter(endpoint, "Deleting")
        side = endpoint.routes.blue if endpoint.routes is not None else None
        endpoint.routes = None
        self._spawn(endpoint, self._delete(endpoint, side))

    async def stop(self) -> None:
        """End all work and write what was captured; the fleets' manager stops the fleets."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        routes = [endpoint.routes for endpoint in self._stores.endpoints() if endpoint.routes is not None]
        sides = [side for route in routes for side in (route.blue, route.green) if side is not None]
        await asyncio.gather(*(side.capture.close() for side in sides if side.capture is not None))

    def _spawn(self, endpoint: Endpoint, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(
            self._guard(endpoint, work), name=f"deploy {endpoint.name}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, endpoint: Endpoint, work: Coroutine[None, None, None]) -> None:
        """No fault of ours may leave an endpoint in between for ever."""
        try:
            await work
        except Exception as error:
            log.exception("work on endpoint %s failed", endpoint.name)
            status = "Failed" if endpoint.routes is None else "InService"
            self._transitions(endpoint).settle(endpoint, status, internal_reason(error))

    async def _create(self, endpoint: Endpoint, config: Record) -> None:
        variants = endpoint.all_variants
        try:
            await self._check_topics(endpoint, endpoint.async_inference)
            await start_fleets(
                variants, {name: variant.desired_instance_count for name, variant in variants.items()}
            )
            await self._open_queue(endpoint)
        except DeploymentFailed as error:
            endpoint.variants, endpoint.shadow_variants = {}, {}
            self._transitions(endpoint).enter(endpoint, "Failed", str(error))
            return
        capture = self._capture(endpoint, endpoint.data_capture)
        side = Side(config.name, endpoint.variants, capture, endpoint.shadow_variants)
        endpoint.routes = Routes(endpoint.name, side)
        self._transitions(endpoint).enter(endpoint, "InService")

    async def _scale(self, endpoint: Endpoint, before: dict[str, Capacity]) -> None:
        assert endpoint.routes is not None  # noqa: S101 - the control plane updates only what serves
        variants = endpoint.all_variants
        changed = {
            name: variant.desired_instance_count
            for name, variant in variants.items()
            if Capacity.of(variant).amount != before[name].amount
        }
        transitions = self._transitions(endpoint)
        if changed:
            transitions.stage(
                endpoint,
                (variants[name] for name in changed),
                "Updating",
                lambda variant: Capacity.of(variant).change_from(before[variant.name]),
            )
        # told, but no reason to leave requests without instances
        with contextlib.suppress(DeploymentFailed):
            await self._check_topics(endpoint, endpoint.async_inference)
        try:
            await scale_fleets(variants, changed)
        except DeploymentFailed as error:
            transitions.enter(endpoint, "RollingBack")
            await self._unscale(endpoint, before, changed)
            transitions.settle(endpoint, "InService", str(error))
            return
        for variant in variants.values():
            variant.weight = variant.desired_weight
        endpoint.routes = Routes(endpoint.name, endpoint.routes.blue)
        transitions.settle(endpoint, "InService")

    async def _unscale(
        self, endpoint: Endpoint, before: dict[str, Capacity], changed: dict[str, int]
    ) -> None:
        variants = endpoint.all_variants
        for name, capacity in before.items():
            variants[name].desired_weight = capacity.weight
            variants[name].desired_instance_count = capacity.count
            variants[name].desired_serverless = capacity.serverless
        with contextlib.suppress(DeploymentFailed):  # the reason that counts is the first one
            await scale_fleets(variants, {name: before[name].count for name in changed})

    async def _delete(self, endpoint: Endpoint, side: Side | None) -> None:
        if self._queues is not None:
            await self._queues.begin_close(endpoint)
        await stop_fleets(_all_variants(endpoint), drain=True)
        if self._queues is not None:
            await self._queues.end_close(endpoint)
        if side is not None and side.capture is not None:
            await side.capture.close()
        store = self._stores.of(endpoint.scope)
        key = endpoint.name.lower()
        if store.endpoints.get(key) is endpoint:
            del store.endpoints[key]
        store.tags.pop(endpoint.arn, None)
        log.info("endpoint %s is deleted", endpoint.name)

    async def _open_queue(self, endpoint: Endpoint) -> None:
        """Make the queue of an asynchronous endpoint, with what a killed process has left of it.

        Raises:
            DeploymentFailed: The disk does not allow it; the endpoint's fleets are stopped then.
        """
        if self._queues is None or endpoint.async_inference is None:
            return
        try:
            await self._queues.open(endpoint)
        except OSError as error:
            await stop_fleets(endpoint.all_variants.values(), drain=False)
            raise DeploymentFailed(f"The endpoint's queue cannot be kept on disk: {error}.") from error

    async def _check_topics(self, endpoint: Endpoint, config: Params | None) -> None:
        """Send the test notification of an asynchronous endpoint: at creation, updates, changes of capacity.

        Raises:
            DeploymentFailed: A topic does not take it.
        """
        if self._queues is None or config is None:
            return
        try:
            await self._queues.check_topics(endpoint, config)
        except TopicRefused as error:
            log.warning("endpoint %s: %s", endpoint.name, error)
            raise DeploymentFailed(str(error)) from error

    def _transitions(self, endpoint: Endpoint) -> Transitions:
        variants = (variant.production_variant for variant in _all_variants(endpoint))
        return Transitions(self._events, supports_guardrails(variants))

    def _capture(self, endpoint: Endpoint, data_capture: Params | None) -> Capture | None:
        return Capture.of(self._aws, endpoint.scope, endpoint.name, data_capture)


def _all_variants(endpoint: Endpoint) -> list[Variant]:
    pending = endpoint.pending
    coming = [*pending.variants.values(), *pending.shadow_variants.values()] if pending is not None else []
    return [*endpoint.all_variants.values(), *coming]
