"""The gateway's door: which requests are invocations, and how they are passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sandbox.gateway import Gateway, is_invocation

Runtime = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request(path: str, method: str = "POST", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def signed(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=000000000000/20261124/ap-northeast-2/{service}/aws4_request, ..."


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (request("/endpoints/shop/invocations"), True),
        (request("/endpoints/shop/invocations", authorization=signed("sagemaker")), True),
        (request("/endpoints/shop/invocations-response-stream"), True),
        (request("/endpoints/shop/async-invocations"), True),
        # multipart uploads to a bucket named endpoints
        (request("/endpoints/shop/invocations", authorization=signed("s3")), False),
        (request("/endpoints/shop/invocations", "PUT"), False),
        (request("/endpoints/shop/more/invocations"), False),
        (request("/endpoints/shop"), False),
        (request("/"), False),
        ({"type": "websocket", "path": "/endpoints/shop/invocations"}, False),
    ],
)
def test_invocations_are_told_from_everything_else(scope: dict[str, Any], expected: bool) -> None:
    # GIVEN a request
    # WHEN the gateway looks at it
    # THEN it goes to the runtime only when it is for the runtime
    assert is_invocation(scope) is expected


async def nothing() -> None:
    pass


async def exchange(
    scope: dict[str, Any], parts: list[bytes], runtime: Runtime | None
) -> tuple[dict[str, Any], list[bytes]]:
    """Send a request through a gateway to a runtime; the head and the parts of the answer."""
    application = web.Application()
    if runtime is not None:
        application.router.add_route("*", "/{path:.*}", runtime)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    if runtime is None:
        await site.stop()
    gateway = Gateway(lifespan_only, f"http://127.0.0.1:{port}", on_ready=nothing, on_stop=nothing)
    sent: list[dict[str, Any]] = []
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return messages.pop(0)

    running = lifespan(gateway)
    await anext(running)
    try:
        await gateway(scope, receive, send)
    finally:
        await anext(running, None)
        await runner.cleanup()
    return sent[0], [message["body"] for message in sent[1:]]


async def lifespan_only(scope: Any, receive: Any, send: Any) -> None:
    """ministack, as far as these tests go."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def lifespan(gateway: Gateway) -> AsyncIterator[None]:
    """Start a gateway, and stop it at the second step."""
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    started = asyncio.Event()

    async def send(message: Any) -> None:
        started.set()

    task = asyncio.create_task(gateway({"type": "lifespan"}, messages.get, send))
    await messages.put({"type": "lifespan.startup"})
    await started.wait()
    yield
    await messages.put({"type": "lifespan.shutdown"})
    await task


def test_an_invocation_is_passed_on_whole_and_so_is_its_answer() -> None:
    # GIVEN a runtime that repeats what it gets
    seen: dict[str, Any] = {}

    async def runtime(request: web.Request) -> web.StreamResponse:
        seen.update(path=request.raw_path, headers=request.headers, body=await request.read())
        return web.Response(
            status=424,
            body=seen["body"][::-1],
            headers={"X-Amzn-ErrorType": "ModelError", "Content-Encoding": "x"},
        )

    scope = request(
        "/endpoints/a%2Db/invocations",
        host="localhost:4566",
        x_amzn_sagemaker_target_variant="main",
        content_type="text/csv",
        connection="keep-alive",
    )
    scope["query_string"] = b"a=%20"

    # WHEN a request goes through the gateway in parts
    head, parts = asyncio.run(exchange(scope, [b"1,", b"2"], runtime))

    # THEN path, headers and body arrive as they were, and the answer goes back with status and headers
    assert seen["path"] == "/endpoints/a%2Db/invocations?a=%20"
    assert seen["body"] == b"1,2"
    assert seen["headers"]["x-amzn-sagemaker-target-variant"] == "main"
    assert seen["headers"]["content-type"] == "text/csv"
    assert "accept" not in seen["headers"]  # none of its own: Accept means something to a model
    assert head["status"] == 424
    headers = dict(head["headers"])
    assert headers[b"x-amzn-errortype"] == b"ModelError"
    assert headers[b"content-encoding"] == b"x"
    assert b"transfer-encoding" not in headers
    assert b"".join(parts) == b"2,1"


def test_a_streamed_answer_comes_in_parts() -> None:
    # GIVEN a runtime that writes its second part only after the first has gone out
    async def runtime(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for part in (b"one", b"two"):
            await answer.write(part)
            await asyncio.sleep(0.05)
        return answer

    # WHEN it is invoked through the gateway
    head, parts = asyncio.run(
        exchange(request("/endpoints/shop/invocations-response-stream"), [b""], runtime)
    )

    # THEN the parts are not put together
    assert head["status"] == 200
    assert parts == [b"one", b"two", b""]


def test_a_runtime_that_is_not_there_is_an_answer_and_not_a_crash() -> None:
    # GIVEN no runtime
    # WHEN an endpoint is invoked
    head, parts = asyncio.run(exchange(request("/endpoints/shop/invocations"), [b"x"], None))

    # THEN the client can read what is wrong
    assert head["status"] == 503
    assert b"does not accept connections" in b"".join(parts)
