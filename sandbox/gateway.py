"""The gateway's door: passes invocations on to the runtime listener, and everything else to ministack."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# requestUri of the runtime's operations (botocore's service model of sagemaker-runtime)
_INVOCATION = re.compile(
    r"^/endpoints/[^/]+/(invocations|async-invocations|invocations-response-stream|invocations-bidirectional-stream)$"
)
_SIGNED_FOR = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/")
# of one connection only (RFC 9110, 7.6.1)
_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"host"}


class Gateway:
    """An ASGI application in front of ministack's.

    Args:
        inner: ministack.
        runtime_url: The runtime listener, for clients that know the gateway only.
        on_ready: Called on the gateway's loop once it is about to accept requests.
        on_stop: Called on the gateway's loop when it accepts none any more.
    """

    def __init__(
        self,
        inner: Application,
        runtime_url: str,
        *,
        on_ready: Callable[[], Awaitable[None]],
        on_stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._inner = inner
        self._runtime_url = runtime_url
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif is_invocation(scope):
            await self._forward(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                # the listener answers within its own limits; no second set of them here
                self._session = aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=None),
                    auto_decompress=False,
                    skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                )
                await self._on_ready()
            elif message["type"] == "lifespan.shutdown.complete":
                await self._on_stop()
                if self._session is not None:
                    await self._session.close()
            await send(message)

        await self._inner(scope, receive, watch)

    async def _forward(self, scope: Message, receive: Receive, send: Send) -> None:
        assert self._session is not None  # noqa: S101 - made before the first request
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        url = self._runtime_url + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name.lower() not in _HOP_BY_HOP
        ]
        try:
            async with self._session.request(
                scope["method"], _as_is(url), headers=headers, data=_body(receive)
            ) as answer:
                await send(
                    {
                        "type": "http.response.start",
                        "status": answer.status,
                        "headers": [
                            (name.lower(), value)
                            for name, value in answer.raw_headers
                            if name.lower() not in _HOP_BY_HOP
                        ],
                    }
                )
                async for part in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except aiohttp.ClientConnectorError:
            await _unavailable(send)


def is_invocation(scope: Message) -> bool:
    """Whether a request is for SageMaker Runtime, and not an S3 upload to a bucket named ``endpoints``."""
    if scope["type"] != "http" or scope["method"] != "POST" or not _INVOCATION.match(scope["path"]):
        return False
    authorization = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
    signed = _SIGNED_FOR.search(authorization.decode("latin-1"))
    return signed is None or signed[1] == "sagemaker"


def _as_is(url: str) -> Any:
    """The URL with its escapes untouched: they are part of what the client has signed and sent."""
    from yarl import URL

    return URL(url, encoded=True)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has gone")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _unavailable(send: Send) -> None:
    body = b'{"__type":"ServiceUnavailable","Message":"The runtime listener does not accept connections."}'
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", b"ServiceUnavailable")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
