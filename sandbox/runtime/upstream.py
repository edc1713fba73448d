"""HTTP to containers over kept connections, told apart by what may have happened to a request.

A library's client says "connection lost"; here it matters whether the container can have read the request.
An invocation is not idempotent, so it is sent again only if it cannot have been handled:

- the connection was refused, or not accepted in time;
- the connection was reset before any byte of an answer. On loopback the kernel answers with a reset when a
  process ends with unread data or data comes after its end; so the container had not read all of it.

A connection that is closed in order, without an answer, may belong to a container that died while it
worked on the request: that request fails. Idle connections are used for one second only, so that no
container closes one at the moment when a request is written to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httptools

# container contract: a container must accept a connection within 250 ms
CONNECT_SECONDS = 0.25
# shorter than the keep-alive of any model server in use (gunicorn's is 2 s)
IDLE_SECONDS = 1.0
# a streamed answer is read ahead of its reader by this much
READ_AHEAD_BYTES = 256 * 1024


class NotReceived(Exception):
    """The container cannot have handled the request; it may be sent again."""


class Broken(Exception):
    """The connection was lost, or the answer was not HTTP, after the request may have been handled."""


class Unanswered(Broken):
    """The connection was closed without a byte of an answer: the container may be gone."""


class TooLarge(Exception):
    """The answer is larger than the limit."""


class Answer:
    """The head of a container's answer, and its body as it comes in.

    Args:
        limit: Largest body in bytes; None for a streamed answer.
    """

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_error",
        "_limit",
        "_waiter",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: _Connection, limit: int | None) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self._connection = connection
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            NotReceived: See the module.
            Broken: See the module.
        """
        while not self.status:
            await self._wait()

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            NotReceived: See the module.
            Broken: See the module.
            TooLarge: It exceeds the limit.
        """
        while not self.complete:
            await self._wait()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as the container sent them."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._buffered -= len(chunk)
                if self._buffered < READ_AHEAD_BYTES:
                    self._connection.resume()
                yield chunk
            if self.complete:
                return
            await self._wait()

    def close(self) -> None:
        """Give the answer up if it is not complete: the connection is closed."""
        if not self.complete:
            self._connection.abort()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if self._error is not None:
                waiter.set_exception(self._error)
            else:
                waiter.set_result(None)

    def started(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The connection has read status and headers."""
        self.status = status
        self.headers = headers
        if self._limit is None:
            self._wake()

    def received(self, chunk: bytes) -> None:
        """The connection has read a piece of the body."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        if self._limit is None:
            self._wake()
            if self._buffered >= READ_AHEAD_BYTES:
                self._connection.pause()
        elif self._buffered > self._limit:
            self.failed(TooLarge(f"the answer is larger than {self._limit} bytes"))
            self._connection.abort()

    def ended(self) -> None:
        """The connection has read all of the body."""
        self.complete = True
        self._wake()

    def failed(self, error: Exception) -> None:
        """The connection cannot go on."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()


class _Connection(asyncio.Protocol):
    """One connection to a container; carries one request at a time."""

    def __init__(self, idle: deque[_Connection]) -> None:
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._headers: dict[bytes, bytes] = {}
        self._interim = False
        self._any_byte = False
        self._paused = False
        self._sending = False  # the body of a request is not all written yet
        self._writable = asyncio.Event()
        self._writable.set()
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, limit: int | None) -> Answer:
        if self._transport is None:
            raise NotReceived("the connection was closed at once")
        self._answer = answer = Answer(self, limit)
        self._any_byte = False
        # one write: one segment for a small request
        self._transport.write(head + body if len(body) < READ_AHEAD_BYTES else head)
        if len(body) >= READ_AHEAD_BYTES:
            self._transport.write(body)
        return answer

    def begin(self, head: bytes) -> Answer:
        """Send the head of a request whose body follows by `feed`, and end with `finish`."""
        self._sending = True
        return self.send(head, b"", None)

    async def feed(self, piece: bytes) -> bool:
        """Send a piece of the body as soon as there is room; False when no more of it is wanted."""
        await self._writable.wait()
        if self._answer is None or not self.usable:
            return False
        assert self._transport is not None  # noqa: S101 - it is usable
        self._transport.write(piece)
        return True

    def finish(self) -> None:
        """All of the body is written."""
        self._sending = False

    def abort(self) -> None:
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # an answer that nobody asked for
            return
        self._any_byte = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._answer is not None:
                self._answer.failed(Broken(f"the answer is not valid HTTP: {error}"))
            self.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        answer, self._answer = self._answer, None
        if answer is None:
            with contextlib.suppress(ValueError):
                self._idle.remove(self)
            return
        if self._ends_with_connection(answer):
            answer.ended()
        elif not self._any_byte and isinstance(exc, ConnectionResetError | BrokenPipeError):
            answer.failed(NotReceived("the connection was reset before the request was read"))
        elif not self._any_byte:
            answer.failed(Unanswered("the connection was closed before the answer began"))
        else:
            answer.failed(Broken("the connection was closed before the answer was complete"))

    # httptools

    def on_message_begin(self) -> None:
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = status < 200  # 100 Continue and the like precede the answer
        if not self._interim and self._answer is not None:
            self._answer.started(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if self._answer is not None:
            self._answer.received(body)

    def on_message_complete(self) -> None:
        if self._interim or self._answer is None:
            return
        answer, self._answer = self._answer, None
        self.resume()
        transport = self._transport
        if transport is None:
            pass
        elif (
            self._parser.should_keep_alive()
            and transport.get_write_buffer_size() == 0
            and not self._sending  # answered before it had all of the request
        ):
            self.idle_since = asyncio.get_running_loop().time()
            self._idle.append(self)
        else:
            transport.close()
        answer.ended()

    def _ends_with_connection(self, answer: Answer) -> bool:
        """Whether the end of the connection is the end of the body (RFC 9112, 6.3)."""
        return bool(
            answer.status
            and b"content-length" not in answer.headers
            and b"chunked" not in answer.headers.get(b"transfer-encoding", b"")
        )


class Upstream:
    """Sends requests to containers on loopback; connections are kept per port."""

    def __init__(self) -> None:
        self._idle: dict[int, deque[_Connection]] = {}

    async def post(self, port: int, headers: bytes, body: bytes, limit: int | None) -> Answer:
        """Send ``POST /invocations`` and return the answer to wait for.

        Args:
            port: The container's port on 127.0.0.1.
            headers: Header lines, each ended by CR LF, without Host and Content-Length.
            body: The request's body.
            limit: See `Answer`.

        Raises:
            NotReceived: No connection could be made.
        """
        connection = self._take(port) or await self._connect(port)
        return connection.send(_head(port, headers, len(body)), body, limit)

    async def post_pieces(
        self, port: int, headers: bytes, length: int | None, pieces: AsyncIterator[bytes]
    ) -> Answer:
        """Send ``POST /invocations`` with a body that is read as it is sent; the answer is streamed.

        Returns when the container has been sent all of it, or wants no more: it has answered early, or is
        gone. The answer tells which.

        Args:
            port: See `post`.
            headers: See `post`.
            length: Bytes of the body; None sends it in chunks (RFC 9112, 7.1), whatever its length.
            pieces: Gives them.

        Raises:
            NotReceived: No connection could be made.
        """
        connection = self._take(port) or await self._connect(port)
        answer = connection.begin(_head(port, headers, length))
        try:
            async for piece in _chunked(pieces) if length is None else pieces:
                if not await connection.feed(piece):
                    return answer
        except BaseException:
            connection.abort()
            raise
        connection.finish()
        return answer

    def close(self) -> None:
        """Close all idle connections."""
        for connections in self._idle.values():
            while connections:
                connections.pop().abort()
        self._idle.clear()

    def _take(self, port: int) -> _Connection | None:
        connections = self._idle.get(port)
        if not connections:
            return None
        oldest_allowed = asyncio.get_running_loop().time() - IDLE_SECONDS
        while connections:
            # the one used last, so that surplus ones grow old
            connection = connections.pop()
            if connection.usable and connection.idle_since > oldest_allowed:
                return connection
            connection.abort()
        return None

    async def _connect(self, port: int) -> _Connection:
        idle = self._idle.setdefault(port, deque())
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(lambda: _Connection(idle), "127.0.0.1", port)
        except (OSError, TimeoutError) as error:
            raise NotReceived(f"no connection: {error}") from error
        return connection


async def _chunked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if piece:  # an empty chunk would be the end
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _head(port: int, headers: bytes, length: int | None) -> bytes:
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    return b"POST /invocations HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n%b\r\n%b\r\n" % (port, framing, headers)
