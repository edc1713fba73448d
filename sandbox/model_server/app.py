"""The container contract over HTTP, as a raw ASGI application.

Contract: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from sandbox.model_server.context import Headers
from sandbox.model_server.handlers import Answer, Handlers

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# bodies from here on are not copied
_LARGE_BYTES = 8 * 1024 * 1024

_ALLOWED = {"/ping": "GET", "/invocations": "POST"}


class ModelApp:
    """Answers /ping on the event loop and /invocations on worker threads, so that no model blocks a ping.

    Args:
        handlers: The loaded model.
        workers: Where its functions run.
    """

    def __init__(self, handlers: Handlers, workers: Executor) -> None:
        self._handlers = handlers
        self._workers = workers

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:  # noqa: D102  (ASGI)
        path, method = scope["path"], scope["method"]
        if path == "/invocations" and method == "POST":
            await self._invoke(scope["headers"], receive, send)
        elif path == "/ping" and method in ("GET", "HEAD"):
            await _send(send, 200, [(b"content-length", b"0")], b"")
        elif path in _ALLOWED:
            await _refuse(send, 405, f"{method} {path}: only {_ALLOWED[path]} is allowed")
        else:
            await _refuse(send, 404, f"{path}: a SageMaker container serves GET /ping and POST /invocations")

    async def _invoke(self, headers: Headers, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            return  # the caller left before it had sent everything
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._workers, self._handlers.invoke, body, headers)
        if answer.stream is None:
            length = (b"content-length", str(len(answer.body)).encode())
            await _send(send, answer.status, [*_headers(answer), length], answer.body)
        else:
            await self._stream(answer, answer.stream, receive, send)

    async def _stream(self, answer: Answer, pieces: Iterator[bytes], receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(receive())  # resolves when the caller disconnects
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
            while not gone.done():
                piece = await loop.run_in_executor(self._workers, next, pieces, None)
                if piece is None:
                    await send({"type": "http.response.body", "body": b""})
                    return
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            gone.cancel()
            # an error of the model ends here too: uvicorn logs it and breaks the connection off, so that the
            # caller sees that the answer is not whole
            await loop.run_in_executor(self._workers, pieces.close)  # type: ignore[attr-defined]  # a generator


async def _read(receive: Receive) -> bytes | bytearray | None:
    """The request body, or None when the caller disconnected.

    A large one, which may have 1 GB for an asynchronous endpoint, is kept once and therefore comes as a
    bytearray, as bodies of all sizes do in AWS's model servers.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        if not message.get("more_body") and not body:
            return piece
        body += piece
        if not message.get("more_body"):
            return bytes(body) if len(body) < _LARGE_BYTES else body


def _headers(answer: Answer) -> Headers:
    headers = {"content-type": answer.content_type} | {
        name.lower(): value for name, value in answer.headers.items()
    }
    # a line break in a header's value would start another header
    return [
        (n.encode("latin-1"), " ".join(str(v).splitlines()).encode("latin-1", "replace"))
        for n, v in headers.items()
    ]


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode("utf-8", "replace")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await _send(send, status, headers, body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
