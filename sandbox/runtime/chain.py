"""The containers that answer a request: one, or several in a row, each fed by the one before.

What a container in a row is told: the Content-Type of what it gets, which is the caller's for the first and
that of the answer before for the others; the caller's Accept if it is the last one, as only its answer goes
to the caller (without Accept, containers answer in their default, application/json in AWS's images); all
other modelled headers as the caller sent them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from time import perf_counter

from sandbox.fleet.containers import Container
from sandbox.runtime import answers
from sandbox.runtime.containers import called, display_name
from sandbox.runtime.observe import Observer
from sandbox.runtime.trip import Trip
from sandbox.runtime.upstream import Broken, NotReceived, Unanswered, Upstream
from sandbox.store import Params

OCTETS = b"application/octet-stream"
_CONTENT_TYPE, _ACCEPT = b"content-type:", b"accept:"

Headers = dict[bytes, bytes]


class Chain:
    """Sends requests through containers.

    Args:
        upstream: Connections to them.
        observer: Takes the metrics of each container of several.
        max_payload: Largest answer of a container in bytes, between containers too.
    """

    def __init__(self, upstream: Upstream, observer: Observer, max_payload: int) -> None:
        self._upstream = upstream
        self._observer = observer
        self._max_payload = max_payload

    async def run(self, trip: Trip, model: Params, containers: Sequence[Container]) -> tuple[Headers, bytes]:
        """The answer of the last container, and its headers.

        Args:
            trip: The invocation; learns status, time and name of each container.
            model: The CreateModel request of its variant.
            containers: The containers of its instance.

        Raises:
            ServiceError: ModelError, if a container answered with an error; those behind it are not asked.
            NotReceived: The first container cannot have got the request.
            Broken: A container was lost.
            TooLarge: An answer exceeds the limit.
        """
        stages = called(model, containers, trip.invocation)
        lines, body = await self.until_last(trip, model, stages)
        return await self._ask(trip, model, stages, len(stages) - 1, lines, body)

    async def until_last(self, trip: Trip, model: Params, stages: Sequence[Container]) -> tuple[bytes, bytes]:
        """Header lines and body for the last container, after all before it have done their work.

        Raises:
            ServiceError, NotReceived, Broken, TooLarge: See `run`.
        """
        lines, body = trip.invocation.container_headers, trip.body
        if len(stages) == 1:
            return lines, body
        between = _without(lines, _ACCEPT)
        for position in range(len(stages) - 1):
            headers, body = await self._ask(trip, model, stages, position, between, body)
            content_type = b"content-type: %b\r\n" % headers.get(b"content-type", OCTETS)
            between = _without(between, _CONTENT_TYPE) + content_type
        return _without(lines, _CONTENT_TYPE) + content_type, body

    @contextlib.contextmanager
    def visit(self, trip: Trip, model: Params, stages: Sequence[Container], position: int) -> Iterator[int]:
        """The time in which a container works on a request: its status goes into the trip meanwhile.

        Args:
            trip: The invocation.
            model: The CreateModel request.
            stages: The containers that it goes through.
            position: Which of them.

        Yields:
            The container's port.

        Raises:
            Broken: It cannot have got the request, but those before it have worked on it. That is not
                repeated. Then, and if it goes away without an answer, the instance takes no further
                requests until a ping has shown that it is whole.
        """
        container = stages[position]
        trip.container, trip.status = display_name(model, container.hostname), 0
        begun, before = perf_counter(), trip.model_seconds
        counted = True
        try:
            yield container.port
        except NotReceived as error:
            if position:
                _report(trip)
                raise Broken(str(error)) from error
            counted = False  # it is sent again
            raise
        except Unanswered:
            _report(trip)
            raise
        finally:
            seconds = perf_counter() - begun
            trip.model_seconds += seconds
            if counted and trip.container != "primary" and trip.target is not None:
                self._observer.container_invoked(
                    trip.endpoint.scope,
                    trip.target,
                    container.hostname,
                    seconds=seconds,
                    overhead=max(0.0, begun - trip.started - before),
                    status=trip.status,
                )

    async def _ask(
        self,
        trip: Trip,
        model: Params,
        stages: Sequence[Container],
        position: int,
        lines: bytes,
        body: bytes,
    ) -> tuple[Headers, bytes]:
        with self.visit(trip, model, stages, position) as port:
            limit = trip.max_payload or self._max_payload
            answer = await self._upstream.post(port, lines, body, limit)
            try:
                answered = await answer.body()
                trip.status = answer.status
            finally:
                answer.close()
        if not 200 <= trip.status < 300:
            text = answered.decode("utf-8", "replace")
            raise answers.model_error(trip.endpoint, trip.container, trip.status, text)
        return answer.headers, answered


def _report(trip: Trip) -> None:
    """Have the fleet look at the instance before it gets further requests."""
    if trip.target is not None and trip.instance is not None:
        trip.target.variant.fleet.report_failure(trip.instance)


def _without(lines: bytes, name: bytes) -> bytes:
    """Header lines without one of them; names are in lower case."""
    kept = [line for line in lines.split(b"\r\n") if line and not line.startswith(name)]
    return b"".join(line + b"\r\n" for line in kept)
