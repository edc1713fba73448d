"""The Lambda Runtime API: where execution environments get their events and leave their answers.

One listener on loopback for all of them; each has a path of its own that nobody else knows, as nobody else's
web page may call it. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from aiohttp import web

from sandbox.functions.calls import MAX_RESPONSE_BYTES
from sandbox.functions.environment import Environment
from sandbox.functions.runtime_client import MEMORY_HEADER

_PREFIX = ["2018-06-01", "runtime"]


class RuntimeApi:
    """The listener.

    Args:
        environments: By their tokens, live.
    """

    def __init__(self, environments: Mapping[str, Environment]) -> None:
        self._environments = environments
        self._runner: web.ServerRunner | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        """Close the listener and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        token, *path = request.path.strip("/").split("/")
        environment = self._environments.get(token)
        if environment is None or path[:2] != _PREFIX:
            return _refusal(403, "InvalidPath", "There is no such execution environment.")
        memory = request.headers.get(MEMORY_HEADER, "")
        if memory.isdecimal():
            environment.peak_memory_kb = int(memory)
        error_type = request.headers.get("Lambda-Runtime-Function-Error-Type", "Unhandled")
        match request.method, path[2:]:
            case "GET", ["invocation", "next"]:
                return await _next(environment)
            case "POST", ["invocation", request_id, "response" | "error" as ending]:
                body = await _body(request)
                if body is None:
                    return _refusal(
                        413,
                        "RequestEntityTooLarge",
                        "Response payload size exceeded maximum allowed payload size "
                        f"({MAX_RESPONSE_BYTES} bytes).",
                    )
                if not environment.answered(request_id, body, error_type if ending == "error" else ""):
                    return _refusal(400, "InvalidRequestID", "No such request is being worked on.")
                return _accepted()
            case "POST", ["init", "error"]:
                environment.failed_to_start(await _body(request) or b"{}", error_type)
                return _accepted()
        return _refusal(404, "InvalidPath", f"There is no {request.method} {'/'.join(path)} here.")


async def _next(environment: Environment) -> web.Response:
    try:
        call, deadline_ms = await environment.next()
    except asyncio.CancelledError:
        # the process has ended; nobody reads this
        return _refusal(410, "Gone", "The execution environment has ended.")
    headers = {
        "Lambda-Runtime-Aws-Request-Id": call.request_id,
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": call.arn,
    }
    if call.trace:
        headers["Lambda-Runtime-Trace-Id"] = call.trace
    return web.Response(body=call.payload, content_type="application/json", headers=headers)


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body; None when it is larger than an answer may be, and then none of it is kept."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size <= MAX_RESPONSE_BYTES:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts) if size <= MAX_RESPONSE_BYTES else None


def _accepted() -> web.Response:
    return web.Response(status=202, text='{"status":"OK"}', content_type="application/json")


def _refusal(status: int, error_type: str, message: str) -> web.Response:
    words = json.dumps({"errorType": error_type, "errorMessage": message})
    return web.Response(status=status, text=words, content_type="application/json")
