"""Invocations of serverless variants: their limits, and the wait for a container."""

from __future__ import annotations

import asyncio
import math

from sandbox.errors import ServiceError
from sandbox.fleet import Instance
from sandbox.runtime import answers
from sandbox.runtime.trip import Trip
from sandbox.serverless import NoCapacity, NotReady, ServerlessFleet, StartFailed, Throttled
from sandbox.store import Endpoint

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""Largest request and response body (developer guide, "Invoke a serverless endpoint")."""


def refuse_stream(endpoint: Endpoint) -> None:
    """Refuse a streamed answer of a serverless endpoint.

    The service describes streams for real-time endpoints only, and the operation has no
    ModelNotReadyException, which a cold start needs.

    Raises:
        ServiceError: ValidationError.
    """
    if any("ServerlessConfig" in variant.production_variant for variant in endpoint.variants.values()):
        raise ServiceError(
            "ValidationError",
            f"Endpoint {endpoint.name} of account {endpoint.scope.account} is a serverless endpoint "
            "and does not support InvokeEndpointWithResponseStream. Use InvokeEndpoint.",
        )


def check_payload(trip: Trip) -> None:
    """Hold a request to the limit of serverless variants, and its answer too.

    Raises:
        ServiceError: ValidationError, 413.
    """
    trip.max_payload = MAX_PAYLOAD_BYTES
    if len(trip.body) > MAX_PAYLOAD_BYTES:
        raise answers.too_large(MAX_PAYLOAD_BYTES)


async def acquire(trip: Trip, fleet: ServerlessFleet) -> Instance:
    """A container for an invocation, which may have to wait for its start.

    The start has a limit of its own: the time of the invocation begins when the container is there.

    Raises:
        ServiceError: As the service answers when there is none.
        FleetStopped: The variant was replaced meanwhile: see where traffic goes now.
    """
    loop = asyncio.get_running_loop()
    before = loop.time()
    _let_it_take(trip, None)
    try:
        return await fleet.acquire(math.inf)
    except Throttled as error:
        raise answers.throttled(trip.endpoint, error.limit) from error
    except NotReady as error:
        raise answers.not_ready(trip.endpoint, str(error)) from error
    except StartFailed as error:
        raise answers.model_error(trip.endpoint, trip.container, 0, str(error)) from error
    except NoCapacity as error:
        raise ServiceError("ServiceUnavailable", str(error), 503) from error
    finally:
        trip.deadline += loop.time() - before
        _let_it_take(trip, trip.deadline)


def _let_it_take(trip: Trip, until: float | None) -> None:
    if trip.limit is not None:
        trip.limit.reschedule(until)
