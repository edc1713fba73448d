"""The queue on disk: an append-only file of records, each of which is durable before anybody acts on it.

One line is one record: CRC-32 in eight hexadecimal digits, a space, a JSON object, a line break. A record
belongs to a request, by its number, and says one of three things:

- ``accepted``: the request is in the queue;
- ``ended``: it has its ending, and this is the notice that is still to be sent;
- ``done``: nothing is left to do for it.

What a crash leaves is at most a torn record at the end, which nobody was told of: it is cut off. A damaged
record between good ones is left out, told in the log, and a copy of the file is kept. Why so:
docs/decisions/0009-async-queue.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from sandbox.async_queue.request import AsyncRequest, Notice
from sandbox.store import Params

log = logging.getLogger(__name__)

FILE = "journal.log"
# a file below this is never rewritten; above, when at least three quarters of it are of the past
COMPACT_BYTES = 1024 * 1024
_COMPACT_RATIO = 4
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@dataclass
class Contents:
    """What a journal says.

    Args:
        waiting: Requests without an ending, by number, in order.
        notices: Notices to send, with their requests, by number.
        last: The highest number that was given.
    """

    waiting: dict[int, AsyncRequest] = field(default_factory=dict)
    notices: dict[int, tuple[AsyncRequest, Notice]] = field(default_factory=dict)
    last: int = 0


class Journal:
    """A journal that is open. Use it on one event loop only.

    Args:
        folder: The queue's folder; made when it is not there.
        executor: Where the disk is written; one journal has one write under way.
    """

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder = folder
        self._executor = executor
        self._path = folder / FILE
        self._lines: dict[int, list[bytes]] = {}  # of requests that are not done: what compaction keeps
        self._live_bytes = 0
        self._last = 0
        self._size = 0
        self._descriptor = -1
        self._pending: list[tuple[Params, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def open(self) -> Contents:
        """Read what is there, cut a torn end off, and get ready to write. Blocking.

        Raises:
            OSError: The disk does not allow it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path.with_suffix(".new").unlink(missing_ok=True)  # a compaction that did not end
        data = self._path.read_bytes() if self._path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        records, damaged = [], 0
        for line in whole.splitlines(keepends=True):
            record = _decode(line)
            if record is None:
                damaged += 1
            else:
                records.append((record, line))
        if damaged:
            shutil.copyfile(self._path, self._path.with_suffix(".damaged"))
            log.error("%s: %d damaged records are left out; a copy is kept beside it", self._path, damaged)
        for record, line in records:
            self._apply(record, line)
        self._descriptor = os.open(self._path, _FLAGS, 0o600)
        if len(whole) != len(data):
            log.warning("%s: a torn record of %d bytes is cut off", self._path, len(data) - len(whole))
            os.ftruncate(self._descriptor, len(whole))
        os.fsync(self._descriptor)
        self._sync_folder()
        self._size = len(whole)
        return self._contents()

    async def accepted(self, request: AsyncRequest) -> None:
        """Note a request; it is durable when this returns.

        Raises:
            OSError: The disk did not take it; then it is not in the queue.
        """
        await self._append({"is": "accepted", "number": request.number, "request": request.to_json()})

    async def ended(self, request: AsyncRequest, notice: Notice) -> None:
        """Note the ending of a request; it is durable when this returns.

        Raises:
            OSError: The disk did not take it.
        """
        await self._append({"is": "ended", "number": request.number, "notice": notice.to_json()})

    async def done(self, number: int) -> None:
        """Note that nothing is left to do for a request.

        Raises:
            OSError: The disk did not take it.
        """
        await self._append({"is": "done", "number": number})

    async def close(self) -> None:
        """Write what is under way and close the file."""
        if self._writing is not None:
            await self._writing
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, record: Params) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._pending.append((record, future))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_pending(), name="journal")
        return future

    async def _write_pending(self) -> None:
        """Write batch after batch: all that came during one fsync shares the next one."""
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                lines = [(record, _encode(record)) for record, _ in batch]
                try:
                    await loop.run_in_executor(self._executor, self._write, [line for _, line in lines])
                except Exception as error:
                    _settle((future for _, future in batch), error)
                    continue
                for record, line in lines:
                    self._apply(record, line)
                if self._size > max(COMPACT_BYTES, _COMPACT_RATIO * self._live_bytes):
                    await self._compact()
                _settle((future for _, future in batch), None)
        finally:
            self._writing = None

    def _write(self, lines: list[bytes]) -> None:
        """Append and fsync, all or nothing; on a worker thread."""
        try:
            _write_all(self._descriptor, lines)
        except OSError:
            # half a record must not stand before the next one
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += sum(map(len, lines))

    async def _compact(self) -> None:
        lines = [line for number in sorted(self._lines) for line in self._lines[number]]
        if self._last not in self._lines:  # no number is given twice, although its request is forgotten
            lines.append(_encode({"is": "done", "number": self._last}))
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._rewrite, lines)
        except OSError as error:
            log.warning("%s could not be compacted: %s", self._path, error)

    def _rewrite(self, lines: list[bytes]) -> None:
        """Put a file of these records in the place of the journal; on a worker thread."""
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, _FLAGS, 0o600)
        try:
            _write_all(descriptor, lines)
            fresh.replace(self._path)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = sum(map(len, lines))
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _apply(self, record: Params, line: bytes) -> None:
        number = record["number"]
        self._last = max(self._last, number)
        if record["is"] == "done":
            self._live_bytes -= sum(map(len, self._lines.pop(number, [])))
        elif record["is"] == "accepted" or number in self._lines:
            self._lines.setdefault(number, []).append(line)
            self._live_bytes += len(line)

    def _contents(self) -> Contents:
        contents = Contents(last=self._last)
        for number in sorted(self._lines):
            records = {record["is"]: record for line in self._lines[number] if (record := _decode(line))}
            request = AsyncRequest(**records["accepted"]["request"])
            if "ended" in records:
                contents.notices[number] = (request, Notice(**records["ended"]["notice"]))
            else:
                contents.waiting[number] = request
        return contents


def _encode(record: Params) -> bytes:
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %b\n" % (crc32(text), text)


def _decode(line: bytes) -> Params | None:
    """The record of a line; None when it is damaged."""
    digits, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(digits, 16) != crc32(text):
            return None
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _write_all(descriptor: int, lines: Iterable[bytes]) -> None:
    """Write and fsync."""
    left = memoryview(b"".join(lines))
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _settle(futures: Iterable[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():  # nobody waits any more
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
