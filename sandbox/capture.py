"""Data capture: what went into a model and what came out, as JSON lines in S3."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sandbox.aws import LocalAws
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

FLUSH_RECORDS = 1_000
# what waits for S3 at most; more is dropped and said, because serving must not fail for its capture
MAX_PENDING_BYTES = 64 * 1024 * 1024


class Payload(NamedTuple):
    """One direction of an invocation.

    Args:
        content_type: Content-Type as observed.
        data: The body.
    """

    content_type: str
    data: bytes


class _Event(NamedTuple):
    variant: str
    at: datetime
    event_id: str
    inference_id: str | None
    request: Payload
    response: Payload


class Capture:
    """Captures the successful invocations of an endpoint by its DataCaptureConfig (API_DataCaptureConfig).

    Files are ``{DestinationS3Uri}/{endpoint}/{variant}/yyyy/mm/dd/hh/mm-ss-mmm-<uuid>.jsonl``, in UTC,
    one record per invocation. Content types listed as CSV or JSON are stored as text, everything else
    (and text that is not UTF-8) in base64.

    Args:
        aws: Where S3 is.
        scope: Account and Region of the endpoint.
        endpoint_name: EndpointName.
        config: The DataCaptureConfig.
        interval: Real seconds that a record waits at most before it is written.
        sample: Gives a number in [0, 1) per invocation.
    """

    def __init__(
        self,
        aws: LocalAws,
        scope: Scope,
        endpoint_name: str,
        config: Params,
        *,
        interval: float = 2.0,
        sample: Callable[[], float] = random.random,
    ) -> None:
        self._aws = aws
        self._scope = scope
        self._endpoint_name = endpoint_name
        self._kms_key = config.get("KmsKeyId")
        destination = urlsplit(config["DestinationS3Uri"])
        self._bucket = destination.netloc
        self._prefix = destination.path.strip("/")
        self._share: float = config["InitialSamplingPercentage"] / 100
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self._input = bool(modes & {"Input", "InputAndOutput"})
        self._output = bool(modes & {"Output", "InputAndOutput"})
        header = config.get("CaptureContentTypeHeader") or {}
        self._encodings = {
            **{_media_type(name): "CSV" for name in header.get("CsvContentTypes", [])},
            **{_media_type(name): "JSON" for name in header.get("JsonContentTypes", [])},
        }
        self._interval = interval
        self._sample = sample
        self._events: list[_Event] = []
        self._bytes = 0
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()

    @staticmethod
    def of(aws: LocalAws, scope: Scope, endpoint_name: str, config: Params | None) -> Capture | None:
        """The capture that a configuration asks for; None if it asks for none."""
        if not config or not config.get("EnableCapture", True):
            return None
        return Capture(aws, scope, endpoint_name, config)

    def sampled(self) -> bool:
        """Whether the next invocation is to be captured."""
        return self._sample() < self._share

    def add(self, variant: str, request: Payload, response: Payload, inference_id: str | None) -> None:
        """Note an invocation; returns at once, writing happens on a worker thread.

        Args:
            variant: The variant that answered.
            request: What the client sent.
            response: What the model answered.
            inference_id: The request's InferenceId, if it had one.
        """
        size = len(request.data) + len(response.data)
        if self._bytes + size > MAX_PENDING_BYTES:
            self._dropped += 1
            return
        self._bytes += size
        now = datetime.now(UTC)
        self._events.append(_Event(variant, now, str(uuid.uuid4()), inference_id, request, response))
        if len(self._events) >= FLUSH_RECORDS:
            self._start_flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._start_flush)

    async def close(self) -> None:
        """Write everything that was captured."""
        while self._flushes:
            await asyncio.gather(*self._flushes)
        await self._flush()

    def _start_flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task = asyncio.get_running_loop().create_task(self._flush(), name=f"capture {self._endpoint_name}")
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._writing:
            events, self._events = self._events, []
            if self._dropped:
                log.warning(
                    "data capture of %s: %d records dropped, S3 is too slow",
                    self._endpoint_name,
                    self._dropped,
                )
                self._dropped = 0
            if not events:
                return
            try:
                await asyncio.to_thread(self._write, events)
            except Exception as error:
                log.warning(
                    "data capture of %s: %d records lost: %s", self._endpoint_name, len(events), error
                )
            finally:
                # freed only now, so that what a worker thread holds counts too
                self._bytes -= sum(len(event.request.data) + len(event.response.data) for event in events)

    def _write(self, events: list[_Event]) -> None:
        """Write one file per variant and hour; runs on a worker thread."""
        files: dict[tuple[str, str], list[_Event]] = {}
        for event in events:
            files.setdefault((event.variant, event.at.strftime("%Y/%m/%d/%H")), []).append(event)
        client: Any = self._aws.client("s3", self._scope)
        encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key} if self._kms_key else {}
        )
        for (variant, hour), group in files.items():
            at = group[0].at
            name = f"{at:%M-%S}-{at.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            path = [self._prefix, self._endpoint_name, variant, hour, name]
            client.put_object(
                Bucket=self._bucket,
                Key="/".join(part for part in path if part),
                Body="".join(
                    json.dumps(self._record(event), ensure_ascii=False) + "\n" for event in group
                ).encode(),
                **encryption,
            )

    def _record(self, event: _Event) -> Params:
        data: Params = {}
        if self._input:
            data["endpointInput"] = self._side("INPUT", event.request)
        if self._output:
            data["endpointOutput"] = self._side("OUTPUT", event.response)
        metadata = {"eventId": event.event_id, "inferenceTime": f"{event.at:%Y-%m-%dT%H:%M:%SZ}"}
        if event.inference_id is not None:
            metadata["inferenceId"] = event.inference_id
        return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}

    def _side(self, mode: str, payload: Payload) -> Params:
        encoding = self._encodings.get(_media_type(payload.content_type), "BASE64")
        text = ""
        if encoding != "BASE64":
            try:
                text = payload.data.decode()
            except UnicodeDecodeError:
                encoding = "BASE64"
        if encoding == "BASE64":
            text = base64.b64encode(payload.data).decode()
        return {"observedContentType": payload.content_type, "mode": mode, "data": text, "encoding": encoding}


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
