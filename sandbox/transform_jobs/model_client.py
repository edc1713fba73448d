"""Requests to the containers of an instance, with the time limit and the retries of ModelClientConfig."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from sandbox.clock import Clock
from sandbox.fleet import Instance
from sandbox.runtime.upstream import Answer, Broken, NotReceived, TooLarge, Upstream
from sandbox.store import Params
from sandbox.transform_jobs.failures import ALGORITHM_ERROR, CLIENT_ERROR, InstanceLost, TransformFailed
from sandbox.transform_jobs.records import MB

T = TypeVar("T")

# API_ModelClientConfig
DEFAULT_TIMEOUT = 600
DEFAULT_RETRIES = 3
# models do not run faster with the clock: a longer limit never becomes shorter than this, real seconds
SHORTEST_SCALED_TIMEOUT = 30.0
_FIRST_PAUSE = 1.0  # AWS seconds, doubled after each attempt
_END_PATIENCE = 0.5  # real seconds in which the end of a process is noticed
MAX_ANSWER_BYTES = 256 * MB
_SHOWN_CHARACTERS = 300
_OCTETS = "application/octet-stream"

Body = Callable[[], AsyncIterator[bytes]]
"""Gives the bytes of a body from its beginning."""
Write = Callable[[bytes], Awaitable[None]]


class _Refused(Exception):
    """A container answered with an error status."""

    def __init__(self, container: str, status: int, text: str) -> None:
        super().__init__(text)
        self.container, self.status, self.text = container, status, text


class ModelClient:
    """Asks the containers of instances, one after the other.

    Args:
        upstream: Connections.
        request: The request of CreateTransformJob.
        clock: Makes waiting shorter on request.
    """

    def __init__(self, upstream: Upstream, request: Params, clock: Clock) -> None:
        config = request.get("ModelClientConfig", {})
        seconds = config.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT)
        self._asked_timeout: int = seconds
        self.timeout = min(float(seconds), max(SHORTEST_SCALED_TIMEOUT, clock.real(seconds)))
        self.retries: int = config.get("InvocationsMaxRetries", DEFAULT_RETRIES)
        self._upstream = upstream
        self._clock = clock
        self._content_type = request["TransformInput"].get("ContentType")
        self._accept = request["TransformOutput"].get("Accept")

    async def ask(self, instance: Instance, body: bytes) -> bytes:
        """The model's answer to a request.

        Raises:
            TransformFailed: It gave none after all retries, or refused the request.
            InstanceLost: Its server has ended.
        """
        return await self._patiently(instance, lambda: self._ask(instance, body))

    async def ask_in_chunks(
        self, instance: Instance, body: Body, write: Write, restart: Callable[[], None]
    ) -> None:
        """Send a body of any length in chunks and write the answer as it comes.

        Args:
            instance: Who is asked.
            body: The body.
            write: Takes the pieces of the answer.
            restart: Called before each attempt, to forget what was written.

        Raises:
            TransformFailed, InstanceLost: See `ask`.
        """

        async def attempt() -> None:
            restart()
            await self._stream(instance, body, write)

        await self._patiently(instance, attempt)

    async def _patiently(self, instance: Instance, attempt: Callable[[], Awaitable[T]]) -> T:
        pause = self._clock.real(_FIRST_PAUSE)
        for number in range(self.retries + 1):
            try:
                async with asyncio.timeout(self.timeout):
                    return await attempt()
            except _Refused as error:
                failure = _refusal(error)
                if 400 <= error.status < 500:  # another attempt cannot change it
                    raise failure from error
            except TimeoutError:
                failure = TransformFailed(
                    ALGORITHM_ERROR,
                    f"the model did not answer within InvocationsTimeoutInSeconds ({self._asked_timeout}).",
                )
            except (NotReceived, Broken) as error:
                await _check_alive(instance)
                failure = TransformFailed(
                    ALGORITHM_ERROR, f"the connection to the model server was lost: {error}."
                )
            except TooLarge as error:
                raise TransformFailed(ALGORITHM_ERROR, f"{error}. Send fewer records at a time.") from error
            if number < self.retries:
                await asyncio.sleep(pause)
                pause *= 2
        raise TransformFailed(failure.kind, f"{failure.reason.rstrip('.')}, {_attempts(self.retries + 1)}.")

    async def _ask(self, instance: Instance, body: bytes) -> bytes:
        content_type = self._content_type
        last = len(instance.containers) - 1
        for position, container in enumerate(instance.containers):
            lines = _lines(content_type, self._accept if position == last else None)
            answer = await self._upstream.post(container.port, lines, body, MAX_ANSWER_BYTES)
            try:
                body = await answer.body()
            finally:
                answer.close()
            if not 200 <= answer.status < 300:
                raise _Refused(container.hostname, answer.status, body.decode("utf-8", "replace"))
            content_type = answer.headers.get(b"content-type", _OCTETS.encode()).decode("latin-1")
        return body

    async def _stream(self, instance: Instance, body: Body, write: Write) -> None:
        content_type, pieces = self._content_type, body()
        last = len(instance.containers) - 1
        answers: list[Answer] = []
        try:
            for position, container in enumerate(instance.containers):
                lines = _lines(content_type, self._accept if position == last else None)
                answer = await self._upstream.post_pieces(container.port, lines, None, pieces)
                answers.append(answer)
                await answer.head()
                if not 200 <= answer.status < 300:
                    text = b"".join([chunk async for chunk in answer.chunks()])
                    raise _Refused(container.hostname, answer.status, text.decode("utf-8", "replace"))
                content_type = answer.headers.get(b"content-type", _OCTETS.encode()).decode("latin-1")
                pieces = answer.chunks()
            async for piece in pieces:
                await write(piece)
        finally:
            for answer in answers:
                answer.close()


async def _check_alive(instance: Instance) -> None:
    """Tell a server that has ended from one that has only closed a connection.

    Raises:
        InstanceLost: It has ended.
    """
    ends = [asyncio.ensure_future(container.exited.wait()) for container in instance.containers]
    try:
        await asyncio.wait(ends, timeout=_END_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    for container in instance.dead():
        raise InstanceLost(
            ALGORITHM_ERROR,
            f"instance {instance.id}, container {container.hostname}: {await container.why_it_ended()}",
        )


def _refusal(error: _Refused) -> TransformFailed:
    kind = CLIENT_ERROR if 400 <= error.status < 500 else ALGORITHM_ERROR
    text = " ".join(error.text.split())
    text = f"{text[:_SHOWN_CHARACTERS]}..." if len(text) > _SHOWN_CHARACTERS else text
    return TransformFailed(kind, f"the {error.container} container answered {error.status}: {text}")


def _attempts(count: int) -> str:
    return "in 1 attempt" if count == 1 else f"in {count} attempts"


def _lines(content_type: str | None, accept: str | None) -> bytes:
    """The header lines that a container gets."""
    headers = {"content-type": content_type, "accept": accept}
    return b"".join(
        f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items() if value is not None
    )
