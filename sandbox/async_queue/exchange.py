"""One request and the containers of an instance: body from the disk, answer onto the disk, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from sandbox.async_queue.objects import PIECE_BYTES
from sandbox.async_queue.request import AsyncRequest
from sandbox.fleet import Instance
from sandbox.runtime.upstream import Broken, NotReceived, Upstream

T = TypeVar("T")

_OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class ModelAnswer:
    """What the last container answered, or the first one that refused.

    Args:
        status: HTTP status.
        content_type: Content-Type.
        body: The file with the body.
        has_length: Whether the container told the length, without which SageMaker takes no answer.
        container: Position of the container.
    """

    status: int
    content_type: str
    body: Path
    has_length: bool
    container: int


class Lost(Exception):
    """The model server went away while it had the request, or before it had all of it.

    Args:
        received: Whether it may have worked on it.
    """

    def __init__(self, *, received: bool) -> None:
        super().__init__("the model server went away")
        self.received = received


class Exchange:
    """Sends a request through the containers of an instance.

    Args:
        upstream: Connections to containers.
        executor: Where the disk blocks.
    """

    def __init__(self, upstream: Upstream, executor: Executor) -> None:
        self._upstream = upstream
        self._executor = executor
        self.model_seconds = 0.0

    async def run(self, request: AsyncRequest, body: Path, scratch: Path, instance: Instance) -> ModelAnswer:
        """The answer; each container of several gets what the one before has answered.

        Args:
            request: The request.
            body: The file with its body.
            scratch: A folder for answers.
            instance: Who works on it.

        Raises:
            Lost: The model server went away.
        """
        content_type = request.content_type
        last = len(instance.containers) - 1
        for position, container in enumerate(instance.containers):
            accept = request.accept if position == last else None
            lines = _lines(request, content_type, accept)
            answer = await self._ask(container.port, lines, body, scratch / f"answer-{position}")
            if not 200 <= answer[0] < 300 or position == last:
                break
            body, content_type = answer[2], answer[1]
        return ModelAnswer(*answer, position)

    async def _ask(self, port: int, lines: bytes, body: Path, target: Path) -> tuple[int, str, Path, bool]:
        begun = perf_counter()
        try:
            length = body.stat().st_size
            answer = await self._upstream.post_pieces(port, lines, length, self._pieces(body))
            try:
                await answer.head()
                await self._write(answer.chunks(), target)
            finally:
                answer.close()
        except NotReceived as error:
            raise Lost(received=False) from error
        except Broken as error:
            raise Lost(received=True) from error
        finally:
            self.model_seconds += perf_counter() - begun
        content_type = answer.headers.get(b"content-type", _OCTETS.encode()).decode("latin-1")
        return answer.status, content_type, target, b"content-length" in answer.headers

    async def _pieces(self, body: Path) -> AsyncIterator[bytes]:
        with body.open("rb") as file:
            while piece := await self._in_thread(file.read, PIECE_BYTES):
                yield piece

    async def _write(self, chunks: AsyncIterator[bytes], target: Path) -> None:
        with target.open("wb") as file:
            held = bytearray()
            async for chunk in chunks:
                held += chunk
                if len(held) >= PIECE_BYTES:
                    await self._in_thread(file.write, bytes(held))
                    held.clear()
            await self._in_thread(file.write, bytes(held))
            await self._in_thread(file.flush)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _lines(request: AsyncRequest, content_type: str | None, accept: str | None) -> bytes:
    """The header lines that a container gets."""
    headers = {
        "content-type": content_type,
        "accept": accept,
        "x-amzn-sagemaker-custom-attributes": request.custom_attributes,
        "x-amzn-sagemaker-inference-id": request.inference_id,
    }
    return b"".join(
        f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items() if value is not None
    )
