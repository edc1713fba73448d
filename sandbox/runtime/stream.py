"""InvokeEndpointWithResponseStream: the container's pieces, framed, as they come."""

from __future__ import annotations

import asyncio
from typing import Any

from sandbox.errors import ServiceError
from sandbox.fleet import Instance
from sandbox.runtime import answers
from sandbox.runtime.chain import OCTETS
from sandbox.runtime.containers import called
from sandbox.runtime.event_stream import payload_part, stream_exception
from sandbox.runtime.invoke import Invoker, reply_headers
from sandbox.runtime.on_demand import refuse_stream
from sandbox.runtime.request import Invocation
from sandbox.runtime.trip import Trip
from sandbox.runtime.upstream import Answer
from sandbox.traffic import Target

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
        refuse_stream(trip.endpoint)
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
        """Pass an answer on as it comes; of containers in a row it is the last one that streams.

        An answer that is no success is a ModelError as ever.
        """
        chain, model = self._invoker.chain, target.variant.fleet.model.request
        stages = called(model, instance.containers, trip.invocation)
        lines, body = await chain.until_last(trip, model, stages)
        with chain.visit(trip, model, stages, len(stages) - 1) as port:
            answer = await self._invoker.upstream.post(port, lines, body, None)
            try:
                captured = await self._pass_on(trip, target, answer)
                trip.status = answer.status
            finally:
                answer.close()
        if captured is not None:
            content_type = answer.headers.get(b"content-type", OCTETS)
            self._invoker.observer.capture(target, trip.invocation, trip.body, content_type, bytes(captured))

    async def _pass_on(self, trip: Trip, target: Target, answer: Answer) -> bytearray | None:
        """Send a container's answer on piece by piece; returns its begin if it is to be captured."""
        captured = bytearray() if target.capture is not None and target.capture.sampled() else None
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
        return captured

    async def _start(self, target: Target, headers: dict[bytes, bytes]) -> None:
        self.started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/vnd.amazon.eventstream"),
                    (b"x-amzn-sagemaker-content-type", headers.get(b"content-type", OCTETS)),
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
