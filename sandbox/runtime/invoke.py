"""An invocation's way: endpoint, variant, instance, containers, and back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from sandbox.errors import ServiceError
from sandbox.fleet import Instance
from sandbox.fleet.containers import Container
from sandbox.runtime import answers
from sandbox.runtime.answers import Reply
from sandbox.runtime.containers import check_targets, display_name, is_direct
from sandbox.runtime.observe import Observer
from sandbox.runtime.request import CUSTOM_ATTRIBUTES, TARGET_CONTAINER, TARGET_VARIANT, Invocation
from sandbox.runtime.upstream import Broken, NotReceived, TooLarge, Upstream
from sandbox.store import Endpoint, Stores
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

_SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})
_OCTETS = b"application/octet-stream"
_NEW_SESSION, _CLOSED_SESSION = b"x-amzn-sagemaker-new-session-id", b"x-amzn-sagemaker-closed-session-id"
_PASSED_BACK = (CUSTOM_ATTRIBUTES, _NEW_SESSION, _CLOSED_SESSION)


@dataclass(slots=True)
class Trip:
    """One invocation under way.

    Args:
        endpoint: The endpoint.
        invocation: The request.
        body: Its body.
        started: `perf_counter` at its arrival.
        deadline: Loop time at which it fails.
        target: The variant it was sent to last.
        instance: The instance it was sent to last.
        model_seconds: Time in containers so far.
        status: Status of the model; 0 without an answer.
        container: Name of the last container, for messages.
    """

    endpoint: Endpoint
    invocation: Invocation
    body: bytes
    started: float
    deadline: float
    target: Target | None = None
    instance: Instance | None = None
    model_seconds: float = 0.0
    status: int = 0
    container: str = "primary"


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

    def begin(self, invocation: Invocation, body: bytes, started: float, time_limit: float) -> Trip:
        """Find the endpoint.

        Raises:
            ServiceError: ValidationError, if it is unknown or not in service.
        """
        endpoint = self._stores.of(invocation.scope).endpoints.get(invocation.endpoint_name.lower())
        # unique without regard to case, but matched exactly
        if endpoint is None or endpoint.name != invocation.endpoint_name:
            raise answers.not_found(invocation.endpoint_name, invocation.scope.account)
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
            async with asyncio.timeout_at(trip.deadline):
                result = await self._until_received(trip, visit)
        except ServiceError as error:
            self._note_failure(trip, error)
            raise
        except TimeoutError as error:
            raise self._timed_out(trip) from error
        except (Broken, TooLarge) as error:
            text = (
                answers.TOO_LARGE.format(limit=self._max_payload)
                if isinstance(error, TooLarge)
                else answers.LOST
            )
            failure = answers.model_error(trip.endpoint, trip.container, 0, text)
            self._note_failure(trip, failure)
            raise failure from error
        self._note(trip)
        return result

    async def _until_received(self, trip: Trip, visit: Callable[[Trip, Target, Instance], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        while True:
            routes = trip.endpoint.routes
            if routes is None or trip.endpoint.status not in _SERVING:
                raise answers.not_serving(trip.endpoint)
            trip.instance = None
            trip.target = target = routes.choose(self._chance, trip.invocation.get(TARGET_VARIANT))
            fleet = target.variant.fleet
            check_targets(fleet.model.request, trip.invocation)
            try:
                instance = await fleet.acquire(loop.time() + ACQUIRE_SECONDS)
            except TimeoutError:
                # none in service, or the fleet was stopped: see where traffic goes now, until the deadline
                await asyncio.sleep(RETRY_SECONDS)
                continue
            trip.instance = instance
            try:
                return await visit(trip, target, instance)
            except NotReceived:
                trip.model_seconds = 0.0
                fleet.report_failure(instance)
            finally:
                fleet.release(instance)
            trip.instance = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _through_containers(self, trip: Trip, target: Target, instance: Instance) -> Reply:
        """The one container, the named one, or all of them in a row, each fed by the one before."""
        invocation, body = trip.invocation, trip.body
        model = target.variant.fleet.model.request
        containers = instance.containers
        if is_direct(model):
            wanted = invocation.get(TARGET_CONTAINER)
            containers = [container for container in containers if container.hostname == wanted]
        headers: dict[bytes, bytes] = {}
        lines = invocation.container_headers
        for position, container in enumerate(containers):
            trip.container = display_name(model, container.hostname)
            if position:
                # the next container is told what the one before made (Accept goes to all of them)
                lines = _with_content_type(lines, headers.get(b"content-type", _OCTETS))
            try:
                headers, body = await self._ask(trip, container, lines, body)
            except NotReceived as error:
                if position:  # the containers before have worked on it: not to be repeated
                    raise Broken(str(error)) from error
                raise
            if not 200 <= trip.status < 300:
                raise answers.model_error(
                    trip.endpoint, trip.container, trip.status, body.decode("utf-8", "replace")
                )
        content_type = headers.get(b"content-type", _OCTETS)
        if target.capture is not None and target.capture.sampled():
            self.observer.capture(target, invocation, trip.body, content_type, body)
        return Reply(200, [(b"content-type", content_type), *reply_headers(target, headers)], body)

    async def _ask(
        self, trip: Trip, container: Container, lines: bytes, body: bytes
    ) -> tuple[dict[bytes, bytes], bytes]:
        begun = perf_counter()
        trip.status = 0
        try:
            answer = await self.upstream.post(container.port, lines, body, self._max_payload)
            try:
                received = await answer.body()
                trip.status = answer.status
            finally:
                answer.close()
        finally:
            seconds = perf_counter() - begun
            trip.model_seconds += seconds
            if trip.container != "primary" and trip.target is not None:
                self.observer.container_invoked(
                    trip.endpoint.scope,
                    trip.target,
                    container.hostname,
                    seconds=seconds,
                    overhead=max(0.0, begun - trip.started),
                    status=trip.status,
                )
        return answer.headers, received

    def _timed_out(self, trip: Trip) -> ServiceError:
        if trip.instance is None and trip.target is not None:
            error = answers.no_instance(trip.endpoint, trip.target.variant.name)
        else:
            text = answers.TIMED_OUT.format(
                container="model" if trip.container == "primary" else trip.container
            )
            error = answers.model_error(trip.endpoint, "model", 0, text)
        trip.status = 0
        self._note_failure(trip, error)
        return error

    def _note_failure(self, trip: Trip, error: ServiceError) -> None:
        # a request that was refused before it reached a model is the client's affair
        if trip.target is not None and error.code != "ValidationError":
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


def reply_headers(target: Target, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The response headers that tell who answered, and what the container has to say itself."""
    passed = [(name, headers[name]) for name in _PASSED_BACK if name in headers]
    return [(b"x-amzn-invoked-production-variant", target.variant.name.encode()), *passed]


def _with_content_type(lines: bytes, content_type: bytes) -> bytes:
    kept = [line for line in lines.split(b"\r\n") if line and not line.startswith(b"content-type:")]
    return b"".join(line + b"\r\n" for line in (*kept, b"content-type: " + content_type))
