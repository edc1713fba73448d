"""An invocation's way: endpoint, variant, instance, containers, and back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sandbox.errors import ServiceError
from sandbox.fleet import Fleet, FleetStopped, Instance
from sandbox.runtime import answers, on_demand
from sandbox.runtime.answers import Reply
from sandbox.runtime.chain import OCTETS, Chain
from sandbox.runtime.containers import check_targets
from sandbox.runtime.observe import Observer
from sandbox.runtime.request import CUSTOM_ATTRIBUTES, TARGET_VARIANT, Invocation
from sandbox.runtime.shadow import ShadowTraffic
from sandbox.runtime.trip import Trip
from sandbox.runtime.upstream import Broken, NotReceived, TooLarge, Upstream
from sandbox.serverless import ServerlessFleet
from sandbox.store import Stores
from sandbox.traffic import Target

T = TypeVar("T")

# InvokeEndpoint: 60 s; InvokeEndpointWithResponseStream: 8 minutes. Real seconds at every time scale:
# the model's own work does not run faster.
INVOCATION_SECONDS = 60.0
STREAM_SECONDS = 480.0
# how long to wait for an instance before looking again where traffic goes now
ACQUIRE_SECONDS = 0.25
# between two attempts when a container refuses connections
RETRY_SECONDS = 0.02

# a request that was refused before it could reach a model is the client's affair
_REFUSED = ("ValidationError", "ThrottlingException")

_NEW_SESSION, _CLOSED_SESSION = b"x-amzn-sagemaker-new-session-id", b"x-amzn-sagemaker-closed-session-id"
_PASSED_BACK = (CUSTOM_ATTRIBUTES, _NEW_SESSION, _CLOSED_SESSION)


class Invoker:
    """Invokes endpoints.

    Args:
        stores: Where the endpoints are.
        observer: Metrics, logs and capture.
        upstream: Connections to containers.
        max_payload: Largest response in bytes.
        chance: Gives a number in [0, 1), for weights.
        time_limit: Real seconds that an invocation may take.
    """

    def __init__(
        self,
        stores: Stores,
        observer: Observer,
        upstream: Upstream,
        max_payload: int,
        *,
        chance: Callable[[], float] = random.random,
        time_limit: float = INVOCATION_SECONDS,
    ) -> None:
        self._stores = stores
        self._max_payload = max_payload
        self._chance = chance
        self._time_limit = time_limit
        self.observer = observer
        self.upstream = upstream
        self.chain = Chain(upstream, observer, max_payload)
        self.shadows = ShadowTraffic(self._send_copy, observer, chance=chance)

    def begin(self, invocation: Invocation, body: bytes, started: float, time_limit: float) -> Trip:
        """Find the endpoint.

        Raises:
            ServiceError: ValidationError, if it is unknown, not in service, or asynchronous.
        """
        endpoint = self._stores.of(invocation.scope).endpoints.get(invocation.endpoint_name.lower())
        # unique without regard to case, but matched exactly
        if endpoint is None or endpoint.name != invocation.endpoint_name:
            raise answers.not_found(invocation.endpoint_name, invocation.scope.account)
        if endpoint.async_inference is not None:
            raise answers.only_asynchronous(endpoint)
        return Trip(endpoint, invocation, body, started, asyncio.get_running_loop().time() + time_limit)

    async def invoke(self, invocation: Invocation, body: bytes, started: float) -> Reply:
        """Answer InvokeEndpoint.

        Args:
            invocation: The request.
            body: Its body.
            started: `perf_counter` at its arrival.

        Raises:
            ServiceError: As the service answers.
        """
        trip = self.begin(invocation, body, started, self._time_limit)
        return await self.travel(trip, self._through_containers)

    async def travel(self, trip: Trip, visit: Callable[[Trip, Target, Instance], Awaitable[T]]) -> T:
        """Take a request to an instance (to another one if it cannot have been handled), record the outcome.

        Args:
            trip: The invocation.
            visit: Does the work on an instance; raises NotReceived if the instance never had the request.

        Raises:
            ServiceError: As the service answers.
        """
        try:
            async with asyncio.timeout_at(trip.deadline) as trip.limit:
                result = await self._until_received(trip, visit)
        except ServiceError as error:
            self._note_failure(trip, error)
            raise
        except TimeoutError as error:
            raise self._timed_out(trip) from error
        except (Broken, TooLarge) as error:
            text = (
                answers.TOO_LARGE.format(limit=trip.max_payload or self._max_payload)
                if isinstance(error, TooLarge)
                else answers.LOST
            )
            failure = answers.model_error(trip.endpoint, trip.container, 0, text)
            self._note_failure(trip, failure)
            raise failure from error
        self._note(trip)
        return result

    async def _until_received(self, trip: Trip, visit: Callable[[Trip, Target, Instance], Awaitable[T]]) -> T:
        while True:
            trip.instance = None
            trip.target = target = trip.copy_for or self._choose(trip)
            fleet = target.variant.fleet
            check_targets(fleet.model.request, trip.invocation)
            if target.shadows and not trip.copied:
                trip.copied = True
                self.shadows.copy(trip, target.shadows)
            try:
                instance = await _acquire(trip, fleet)
            except TimeoutError as error:
                if trip.copy_for is not None and isinstance(error, FleetStopped):
                    raise answers.not_serving(trip.endpoint) from error
                # none in service, or the fleet was stopped: see where traffic goes now, until the deadline
                await asyncio.sleep(RETRY_SECONDS)
                continue
            trip.instance = instance
            try:
                return await visit(trip, target, instance)
            except NotReceived:
                trip.model_seconds = 0.0
                fleet.report_failure(instance)
            except asyncio.CancelledError:
                if isinstance(fleet, ServerlessFleet):
                    fleet.abandon(instance)
                raise
            finally:
                fleet.release(instance)
            trip.instance = None
            await asyncio.sleep(RETRY_SECONDS)

    def _choose(self, trip: Trip) -> Target:
        routes = trip.endpoint.routes
        if routes is None or trip.endpoint.status not in answers.SERVING:
            raise answers.not_serving(trip.endpoint)
        return routes.choose(self._chance, trip.invocation.get(TARGET_VARIANT))

    async def _send_copy(self, trip: Trip) -> None:
        await self.travel(trip, self._through_containers)

    async def _through_containers(self, trip: Trip, target: Target, instance: Instance) -> Reply:
        headers, body = await self.chain.run(trip, target.variant.fleet.model.request, instance.containers)
        content_type = headers.get(b"content-type", OCTETS)
        if target.capture is not None and target.capture.sampled():
            self.observer.capture(target, trip.invocation, trip.body, content_type, body)
        return Reply(200, [(b"content-type", content_type), *reply_headers(target, headers)], body)

    def _timed_out(self, trip: Trip) -> ServiceError:
        if trip.instance is None and trip.target is not None:
            error = answers.no_instance(trip.endpoint, trip.target.variant.name)
        else:
            container = "model" if trip.container == "primary" else trip.container
            text = answers.TIMED_OUT.format(container=container)
            error = answers.model_error(trip.endpoint, container, 0, text)
        trip.status = 0
        self._note_failure(trip, error)
        return error

    def _note_failure(self, trip: Trip, error: ServiceError) -> None:
        if trip.target is not None and error.code not in _REFUSED:
            self._note(trip)
            self.observer.failed(trip.endpoint, trip.target, trip.instance, error)

    def _note(self, trip: Trip) -> None:
        if trip.target is not None:
            self.observer.invoked(
                trip.endpoint.scope,
                trip.target,
                started=trip.started,
                model_seconds=trip.model_seconds,
                status=trip.status,
            )


async def _acquire(trip: Trip, fleet: Fleet) -> Instance:
    if isinstance(fleet, ServerlessFleet):
        on_demand.check_payload(trip)
        return await on_demand.acquire(trip, fleet)
    return await fleet.acquire(asyncio.get_running_loop().time() + ACQUIRE_SECONDS)


def reply_headers(target: Target, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The response headers that tell who answered, and what the container has to say itself."""
    passed = [(name, headers[name]) for name in _PASSED_BACK if name in headers]
    return [(b"x-amzn-invoked-production-variant", target.variant.name.encode()), *passed]
