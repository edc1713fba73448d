"""One object through the model: cut, sent, filtered, joined and put together again, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sandbox.fleet import Instance
from sandbox.store import Params
from sandbox.transform_jobs.failures import CLIENT_ERROR, TransformFailed
from sandbox.transform_jobs.model_client import ModelClient
from sandbox.transform_jobs.objects import InputObject, JobObjects
from sandbox.transform_jobs.processing import Processing, RecordError, answers_of
from sandbox.transform_jobs.records import Batch, by_line, unzipped, whole
from sandbox.transform_jobs.settings import TransformSettings

T = TypeVar("T")

_OCTETS = "application/octet-stream"


class Transform:
    """Makes outputs of objects.

    Args:
        request: The request of CreateTransformJob.
        settings: Sizes and numbers.
        objects: Reads and writes objects.
        model: Asks containers.
        executor: Where records are parsed and files are written.
    """

    def __init__(
        self,
        request: Params,
        settings: TransformSettings,
        objects: JobObjects,
        model: ModelClient,
        executor: Executor,
    ) -> None:
        given = request["TransformInput"]
        self._gzip = given.get("CompressionType", "None") == "Gzip"
        self._by_line = given.get("SplitType", "None") == "Line"
        self._one_a_line = request["TransformOutput"].get("AssembleWith", "None") == "Line"
        self._content_type: str = request["TransformOutput"].get("Accept") or _OCTETS
        self._processing = Processing.of(request)
        self._settings = settings
        self._objects = objects
        self._model = model
        self._executor = executor

    async def run(
        self, source: InputObject, instance: Instance, places: asyncio.Semaphore, scratch: Path
    ) -> None:
        """Transform an object and write its output, all of it or nothing.

        Args:
            source: The object.
            instance: Who works on it.
            places: As many as the instance takes requests at a time.
            scratch: A file for the output, which grows on the disk until it is complete.

        Raises:
            TransformFailed: A part of it cannot be transformed; nothing is written to S3.
        """
        try:
            with scratch.open("wb") as file:
                if self._settings.payload_mb == 0 and not self._settings.single and self._processing.is_none:
                    await self._in_chunks(source, instance, places, file)
                else:
                    await self._in_batches(source, instance, places, file)
            await self._objects.write(scratch, source, self._content_type)
        finally:
            scratch.unlink(missing_ok=True)

    async def _in_chunks(
        self, source: InputObject, instance: Instance, places: asyncio.Semaphore, file: BinaryIO
    ) -> None:
        """The object as it is, however large (MaxPayloadInMB 0)."""

        async def write(piece: bytes) -> None:
            await self._in_thread(file.write, piece)

        def restart() -> None:
            file.seek(0)
            file.truncate()

        async with places:
            await self._model.ask_in_chunks(instance, lambda: self._pieces(source), write, restart)

    async def _in_batches(
        self, source: InputObject, instance: Instance, places: asyncio.Semaphore, file: BinaryIO
    ) -> None:
        """The object's records in requests, several at a time; each holds its place until it is written."""
        under_way: deque[asyncio.Task[bytes]] = deque()

        async def write_first() -> None:
            result = await under_way[0]
            under_way.popleft()
            places.release()
            await self._in_thread(file.write, result)

        try:
            async for batch in self._batches(source):
                while under_way and (places.locked() or under_way[0].done()):
                    await write_first()
                await places.acquire()
                under_way.append(asyncio.create_task(self._result(batch, instance)))
            while under_way:
                await write_first()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            for _ in under_way:
                places.release()

    async def _result(self, batch: Batch, instance: Instance) -> bytes:
        """What is written for a request."""
        try:
            body = await self._in_thread(self._body, batch)
            answer = await self._model.ask(instance, body)
            return await self._in_thread(self._assembled, batch, answer)
        except RecordError as error:
            where = batch.where(error.position)
            raise TransformFailed(CLIENT_ERROR, f"{where}{error.reason}") from error
        except TransformFailed as error:
            raise type(error)(error.kind, f"{batch.where(None)}{error.reason}") from error

    def _body(self, batch: Batch) -> bytes:
        return b"\n".join(self._processing.outgoing(batch.records))

    def _assembled(self, batch: Batch, answer: bytes) -> bytes:
        if self._processing.changes_results:
            results = self._processing.results(batch.records, answers_of(answer, len(batch.records)))
            answer = b"\n".join(results)
        return answer + b"\n" if self._one_a_line and not answer.endswith(b"\n") else answer

    def _batches(self, source: InputObject) -> AsyncIterator[Batch]:
        pieces, limit = self._pieces(source), self._settings.record_limit
        if not self._by_line:
            return whole(pieces, limit)
        return by_line(pieces, limit, single=self._settings.single)

    def _pieces(self, source: InputObject) -> AsyncIterator[bytes]:
        pieces = self._objects.pieces(source)
        return unzipped(pieces, self._in_thread) if self._gzip else pieces

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
