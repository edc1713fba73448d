"""The listener of SageMaker Runtime: HTTP on loopback, on the engine's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

import uvicorn

from sandbox.aws import LocalAws
from sandbox.errors import ServiceError
from sandbox.logs import LogPublisher
from sandbox.metrics import MetricPublisher
from sandbox.runtime import request
from sandbox.runtime.answers import Reply, error_reply, too_large
from sandbox.runtime.async_intake import MAX_BODY_BYTES, AsyncIntake
from sandbox.runtime.invoke import INVOCATION_SECONDS, STREAM_SECONDS, Invoker
from sandbox.runtime.observe import Observer
from sandbox.runtime.stream import ResponseStream
from sandbox.runtime.upstream import Upstream
from sandbox.store import Stores

if TYPE_CHECKING:
    from sandbox.async_queue import AsyncQueues
    from sandbox.engine import EngineSettings

log = logging.getLogger(__name__)

HOST = "127.0.0.1"


class RuntimeListener:
    """Serves the invocations of SageMaker Runtime on ``127.0.0.1:{settings.runtime_port}``.

    Args:
        settings: The port and the payload limit.
        stores: Where the endpoints are.
        metrics: To CloudWatch.
        logs: To CloudWatch Logs.
        aws: The AWS underneath.
        queues: Takes asynchronous requests; None where no endpoint is asynchronous.
        chance: Gives a number in [0, 1), for weights.
        invocation_seconds: Time limit of InvokeEndpoint, real seconds.
        stream_seconds: Time limit of InvokeEndpointWithResponseStream, real seconds.
    """

    def __init__(
        self,
        settings: EngineSettings,
        stores: Stores,
        metrics: MetricPublisher,
        logs: LogPublisher,
        aws: LocalAws,
        *,
        queues: AsyncQueues | None = None,
        chance: Callable[[], float] = random.random,
        invocation_seconds: float = INVOCATION_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
    ) -> None:
        self._settings = settings
        self._stream_seconds = stream_seconds
        self._upstream = Upstream()
        self._intake = AsyncIntake(stores, queues)
        self._invoker = Invoker(
            stores,
            Observer(metrics, logs),
            self._upstream,
            settings.max_payload_bytes,
            chance=chance,
            time_limit=invocation_seconds,
        )
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections.

        Raises:
            OSError: The port is taken.
        """
        listening = _bind(self._settings.runtime_port)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            http="httptools",
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # boto3 keeps connections; one that idles for long costs nothing here
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="runtime listener")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise OSError(f"the runtime listener on port {self._settings.runtime_port} ended at once")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what is being answered (5 s at most), then close."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = None
        await self._invoker.shadows.stop()
        self._upstream.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        started = perf_counter()
        request_id = str(uuid.uuid4()).encode()
        try:
            reply = await self._answer(scope, receive, send, started, request_id)
        except ServiceError as error:
            reply = error_reply(error)
        except Exception:
            log.exception("an invocation failed: %s", scope.get("path"))
            reply = error_reply(ServiceError("InternalFailure", "The sandbox failed, see its log.", 500))
        if reply is None:
            return  # streamed
        headers = [
            *reply.headers,
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-amzn-requestid", request_id),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(
        self, scope: Any, receive: Any, send: Any, started: float, request_id: bytes
    ) -> Reply | None:
        found = request.match_path(scope["path"])
        if found is None or scope["method"] != "POST":
            raise ServiceError(
                "UnknownOperationException", f"There is no operation {scope['method']} {scope['path']}.", 404
            )
        endpoint_name, operation = found
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if operation == request.ASYNC:
            return await self._accept(endpoint_name, headers, receive)
        invocation = request.read(endpoint_name, operation, headers)
        body = await self._body(headers, receive)
        if operation == request.INVOKE:
            return await self._invoker.invoke(invocation, body, started)
        stream = ResponseStream(self._invoker, request_id, send)
        try:
            await stream.run(invocation, body, started, self._stream_seconds, receive)
        except Exception:
            if not stream.started:
                raise
            log.exception("a streamed invocation of %s failed", endpoint_name)
        return None

    async def _accept(self, endpoint_name: str, headers: dict[bytes, bytes], receive: Any) -> Reply:
        body = await _up_to(MAX_BODY_BYTES, receive)
        return await self._intake.accept(endpoint_name, headers, body)

    async def _body(self, headers: dict[bytes, bytes], receive: Any) -> bytes:
        """The request's body, refused as soon as it is known to be too large."""
        self._check_size(int(headers.get(b"content-length", b"0")))
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServiceError("ValidationError", "The client went away before it had sent its request.")
            part: bytes = message.get("body", b"")
            more: bool = message.get("more_body", False)
            if not more and not parts:
                self._check_size(len(part))
                return part
            parts.append(part)
            size += len(part)
            self._check_size(size)
            if not more:
                return b"".join(parts)

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_payload_bytes
        if size > limit:
            raise too_large(limit)


async def _up_to(limit: int, receive: Any) -> bytes:
    """The request's body; of one that is larger only as much as tells that it is."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServiceError("ValidationError", "The client went away before it had sent its request.")
        if len(body) <= limit:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


class _Server(uvicorn.Server):
    """uvicorn beside other work: signals are the process's affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
    except OSError:
        listening.close()
        raise
    return listening
