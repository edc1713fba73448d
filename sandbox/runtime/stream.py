"""InvokeEndpointWithResponseStream: the container's pieces, framed, as they come."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.errors import ServiceError
from sandbox.fleet import Instance
from sandbox.runtime import answers
from sandbox.runtime.containers import display_name, is_direct
from sandbox.runtime.event_stream import payload_part, stream_exception
from sandbox.runtime.invoke import Invoker, Trip, reply_headers
from sandbox.runtime.request import TARGET_CONTAINER, Invocation
from sandbox.traffic import Target

_OCTETS = b"application/octet-stream"
# a captured stream is kept in memory until its end
_MAX_CAPTURED_BYTES = 1024 * 1024


class ResponseStream:
    """One streamed answer.

    Args:
        invoker: Takes the request to an instance.
        request_id: Goes into the head of the answer.
        send: ASGI's send.
    """

    def __init__(self, invoker: Invoker, request_id: bytes, send: Any) -> None:
        self._invoker = invoker
        self._request_id = request_id
        self._send = send
        self.started = False

    async def run(
        self, invocation: Invocation, body: bytes, started: float, time_limit: float, receive: Any
    ) -> None:
        """Answer until the model or the client ends it.

        Args:
            invocation: The request.
            body: Its body.
            started: `perf_counter` at its arrival.
            time_limit: Real seconds for the whole stream.
            receive: ASGI's receive, which tells when the client goes away.

        Raises:
            ServiceError: If it failed before the answer began.
        """
        trip = self._invoker.begin(invocation, body, started, time_limit)
        travel = asyncio.ensure_future(self._invoker.travel(trip, self._relay))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((travel, gone), return_when=asyncio.FIRST_COMPLETED)
            if travel.done():
                await self._finish(travel)
        finally:
            # a client that went away ends the model's work: its connection is closed
            for task in (travel, gone):
                task.cancel()
            await asyncio.gather(travel, gone, return_exceptions=True)

    async def _finish(self, travel: asyncio.Future[None]) -> None:
        try:
            travel.result()
        except ServiceError as error:
            if not self.started:
                raise
            timed_out = isinstance(error.__cause__, TimeoutError)
            code = "ModelInvocationTimeExceeded" if timed_out else "StreamBroken"
            await self._part(stream_exception("ModelStreamError", error.message, code))
        except Exception:
            if self.started:
                await self._part(
                    stream_exception("InternalStreamFailure", "The sandbox failed, see its log.")
                )
                await self._end()
            raise
        await self._end()

    async def _relay(self, trip: Trip, target: Target, instance: Instance) -> None:
        """Pass a container's answer on; an answer that is no success is a ModelError as ever."""
        model = target.variant.fleet.model.request
        container = instance.containers[-1]
        if is_direct(model):
            wanted = trip.invocation.get(TARGET_CONTAINER)
            container = next(each for each in instance.containers if each.hostname == wanted)
        elif len(instance.containers) > 1:
            raise ServiceError(
                "ValidationError",
                f"Endpoint {trip.endpoint.name} is a serial inference pipeline, which cannot stream.",
            )
        trip.container = display_name(model, container.hostname)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        answer = await self._invoker.upstream.post(
            container.port, trip.invocation.container_headers, trip.body, None
        )
        captured = bytearray() if target.capture is not None and target.capture.sampled() else None
        try:
            await answer.head()
            if not 200 <= answer.status < 300:
                trip.status = answer.status
                text = b"".join([chunk async for chunk in answer.chunks()]).decode("utf-8", "replace")
                raise answers.model_error(trip.endpoint, trip.container, answer.status, text)
            await self._start(target, answer.headers)
            async for chunk in answer.chunks():
                if captured is not None and len(captured) < _MAX_CAPTURED_BYTES:
                    captured += chunk
                await self._part(payload_part(chunk))
            trip.status = answer.status
        finally:
            trip.model_seconds = loop.time() - begun
            answer.close()
        if captured is not None:
            content_type = answer.headers.get(b"content-type", _OCTETS)
            self._invoker.observer.capture(target, trip.invocation, trip.body, content_type, bytes(captured))

    async def _start(self, target: Target, headers: dict[bytes, bytes]) -> None:
        self.started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/vnd.amazon.eventstream"),
                    (b"x-amzn-sagemaker-content-type", headers.get(b"content-type", _OCTETS)),
                    (b"x-amzn-requestid", self._request_id),
                    *reply_headers(target, headers),
                ],
            }
        )

    async def _part(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
