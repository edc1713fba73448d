"""What ministack's handlers are not told of an HTTP request, and what they do not get into its answer."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

Application = Callable[..., Awaitable[None]]


@dataclass
class Notes:
    """Of one request; seen by all that works on it, on whichever thread.

    Args:
        target: Its path and query as they were sent, and signed.
        wants_log: It is a call of a function that wants the end of its log.
        call_id: Id of the call that it made; its answer's request id.
    """

    target: str = ""
    wants_log: bool = False
    call_id: str = ""


_NOTES: ContextVar[Notes | None] = ContextVar("request_notes", default=None)


def notes() -> Notes:
    """Those of the request that is being worked on; empty ones outside of any."""
    return _NOTES.get() or Notes()


def forget() -> None:
    """Keep no notes any more: what is done from here on is not part of the request."""
    _NOTES.set(None)


def noting(application: Application) -> Application:
    """An ASGI application that keeps notes of each request."""

    @functools.wraps(application)
    async def keep(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = scope.get("query_string", b"").decode("latin-1")
        # some servers give the query along with the path
        kept = Notes(f"{path.partition('?')[0]}?{query}" if query else path)

        async def send_with_id(message: Any) -> None:
            if kept.call_id and message["type"] == "http.response.start":
                name = b"x-amzn-requestid"
                others = [header for header in message["headers"] if header[0].lower() != name]
                message = message | {"headers": [*others, (name, kept.call_id.encode())]}
            await send(message)

        reset = _NOTES.set(kept)
        try:
            await application(scope, receive, send_with_id)
        finally:
            _NOTES.reset(reset)

    return keep
