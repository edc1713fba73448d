"""What is done for one request: input from S3, the model, output to S3; and how that can end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from sandbox.async_queue.exchange import Exchange, Lost, ModelAnswer
from sandbox.async_queue.measures import Measures
from sandbox.async_queue.notices import MAX_INCLUDED_BYTES, includes_response
from sandbox.async_queue.objects import ObjectStore, TransferFailed, stopwatch
from sandbox.async_queue.request import AsyncRequest, Ending
from sandbox.fleet import Instance
from sandbox.runtime.upstream import Upstream
from sandbox.store import Params
from sandbox.traffic import Target

# words of notifications seen in public; a status of 0 is an answer that did not come
_FROM_MODEL = (
    "ClientError: Received {side} error ({status}) from model. "
    "See the SageMaker Endpoint logs in your account for more information."
)
_NO_LENGTH = "The response from container {container} did not specify the required Content-Length header"
_TIMED_OUT = (
    "The model did not answer within the {seconds} s of InvocationTimeoutSeconds. Review ModelLatency in "
    "CloudWatch, and raise the timeout (at most 3600) or use a faster instance."
)
_TEXT = "text/plain; charset=utf-8"


class ModelFault(Exception):
    """The model did not answer in time, or not as SageMaker can take it."""


@dataclass(frozen=True)
class Assignment:
    """A request and who works on it.

    Args:
        request: The request.
        target: The variant.
        instance: The instance.
        config: The endpoint's AsyncInferenceConfig.
    """

    request: AsyncRequest
    target: Target
    instance: Instance
    config: Params

    @property
    def variant(self) -> str:
        """Name of the variant."""
        return self.target.variant.name


class Work:
    """Does what there is to do for requests of one endpoint.

    Args:
        folder: Where bodies lie while they are worked on.
        objects: S3.
        upstream: Connections to containers.
        measures: Metrics and logs.
        executor: Where the disk blocks.
    """

    def __init__(
        self, folder: Path, objects: ObjectStore, upstream: Upstream, measures: Measures, executor: Executor
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._upstream = upstream
        self._measures = measures
        self._executor = executor
        self._attempts = itertools.count()

    def body_file(self, number: int) -> Path:
        """Where the body of a request lies that brought it along."""
        return self._folder / f"{number}.body"

    def tidy(self, waiting: Collection[int]) -> None:
        """Remove what a crash has left: files of attempts, and bodies of no request that waits. Blocking."""
        for attempt in self._folder.glob("*.attempt"):
            shutil.rmtree(attempt, ignore_errors=True)
        for body in self._folder.glob("*.body"):
            if body.stem not in map(str, waiting):
                body.unlink(missing_ok=True)

    async def run(self, job: Assignment) -> Ending:
        """Work on a request until it has an ending; output or failure is in S3 then.

        Raises:
            Lost: The model server went away; another one may work on the request.
        """
        async with self._scratch(job.request.number) as scratch:
            try:
                body = await self._input(job, scratch)
                answer = await self._model(job, body, scratch)
                if not answer.has_length:
                    raise ModelFault(_NO_LENGTH.format(container=_name(job, answer)))
                if not 200 <= answer.status < 300:
                    return await self._refused(job, answer)
                return await self._completed(job, answer)
            except (TransferFailed, ModelFault) as error:
                return await self.fail(job.request, job.config, str(error), job.variant, job.instance.id)

    async def fail(
        self,
        request: AsyncRequest,
        config: Params,
        reason: str,
        variant: str,
        instance: str | None = None,
        *,
        body: Path | None = None,
        content_type: str = _TEXT,
    ) -> Ending:
        """End a request as a failure: log, metric, failure object.

        Args:
            request: The request.
            config: The endpoint's AsyncInferenceConfig.
            reason: What is told.
            variant: Name of the variant.
            instance: Id of the instance that worked on it.
            body: The model's answer, which becomes the failure object; the reason does without one.
            content_type: Its Content-Type.
        """
        self._measures.log(request.inference_id, reason, variant, instance)
        self._measures.count("InvocationFailures", variant)
        if request.failure_location is not None:
            source = body if body is not None else reason.encode()
            await self._upload(request, config, source, request.failure_location, content_type, variant)
        response = await self._included(config, body, completed=False) if body is not None else None
        told = content_type if body is not None else None
        return Ending("Failed", time.time(), reason, content_type=told, response=response)

    async def _input(self, job: Assignment, scratch: Path) -> Path:
        request = job.request
        if request.input_location is None:
            return self.body_file(request.number)
        elapsed = stopwatch()
        try:
            await self._objects.download(request.input_location, scratch / "input")
        except TransferFailed:
            self._measures.count("RequestDownloadFailures", job.variant)
            raise
        self._measures.record("RequestDownloadLatency", "Microseconds", round(elapsed()), job.variant)
        return scratch / "input"

    async def _model(self, job: Assignment, body: Path, scratch: Path) -> ModelAnswer:
        exchange = Exchange(self._upstream, self._executor)
        status, counted = 0, True
        try:
            async with asyncio.timeout(job.request.timeout_seconds):
                answer = await exchange.run(job.request, body, scratch, job.instance)
            status = answer.status
        except TimeoutError as error:
            raise ModelFault(_TIMED_OUT.format(seconds=job.request.timeout_seconds)) from error
        except Lost as error:
            counted = error.received
            raise
        except asyncio.CancelledError:
            counted = False
            raise
        finally:
            if counted:
                self._measures.model_answered(job.target, status, exchange.model_seconds)
        return answer

    async def _refused(self, job: Assignment, answer: ModelAnswer) -> Ending:
        request, status = job.request, answer.status
        side = "client" if 400 <= status < 500 else "server"
        text = await asyncio.get_running_loop().run_in_executor(self._executor, _begin, answer.body)
        self._measures.log(
            request.inference_id,
            f'Received {side} error ({status}) from {_name(job, answer)} with message "{text}"',
            job.variant,
            job.instance.id,
        )
        reason = _FROM_MODEL.format(side=side, status=status)
        return await self.fail(
            request,
            job.config,
            reason,
            job.variant,
            job.instance.id,
            body=answer.body,
            content_type=answer.content_type,
        )

    async def _completed(self, job: Assignment, answer: ModelAnswer) -> Ending:
        request = job.request
        elapsed = stopwatch()
        error = await self._upload(
            request, job.config, answer.body, request.output_location, answer.content_type, job.variant
        )
        if error is not None:
            raise error
        self._measures.record("ResponseUploadLatency", "Microseconds", round(elapsed()), job.variant)
        response = await self._included(job.config, answer.body, completed=True)
        return Ending("Completed", time.time(), content_type=answer.content_type, response=response)

    async def _upload(
        self,
        request: AsyncRequest,
        config: Params,
        source: Path | bytes,
        location: str,
        content_type: str,
        variant: str,
    ) -> TransferFailed | None:
        """Write an object; a failure is counted, logged and returned."""
        try:
            kms_key = config["OutputConfig"].get("KmsKeyId")
            await self._objects.upload(source, location, content_type, kms_key)
        except TransferFailed as error:
            self._measures.count("ResponseUploadFailures", variant)
            self._measures.log(request.inference_id, str(error), variant)
            return error
        return None

    async def _included(self, config: Params, body: Path, *, completed: bool) -> bytes | None:
        """The answer, if it is asked for in notifications and fits into one."""
        if not includes_response(config, completed) or body.stat().st_size > MAX_INCLUDED_BYTES:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._executor, body.read_bytes)

    @contextlib.asynccontextmanager
    async def _scratch(self, number: int) -> AsyncIterator[Path]:
        """A folder for the files of one attempt, of its own: the last one's may still be on its way out."""
        folder = self._folder / f"{number}-{next(self._attempts)}.attempt"
        await asyncio.get_running_loop().run_in_executor(self._executor, folder.mkdir)
        try:
            yield folder
        finally:
            # not awaited, as the task may be cancelled
            self._executor.submit(shutil.rmtree, folder, ignore_errors=True)


def _name(job: Assignment, answer: ModelAnswer) -> str:
    containers = job.instance.containers
    return containers[answer.container].hostname if len(containers) > 1 else "primary"


def _begin(body: Path) -> str:
    """The begin of a model's error, for the log."""
    with body.open("rb") as file:
        return file.read(16 * 1024).decode("utf-8", "replace")
