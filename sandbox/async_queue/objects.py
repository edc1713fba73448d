"""S3 from the queue's side: inputs come onto the disk piece by piece, outputs go from there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.async_queue import locations
from sandbox.async_queue.locations import S3Location
from sandbox.aws import LocalAws
from sandbox.store import Scope

T = TypeVar("T")
log = logging.getLogger(__name__)

# developer guide, "Asynchronous inference": payloads up to 1 GB
MAX_INPUT_BYTES = 1024**3
PIECE_BYTES = 1024 * 1024
# a request is worth some patience with S3; real seconds, doubled after each attempt
ATTEMPTS = 4
FIRST_PAUSE = 0.2
# what another attempt cannot change
_FINAL = {
    "NoSuchBucket",
    "NoSuchKey",
    "404",
    "AccessDenied",
    "403",
    "PermanentRedirect",
    "301",
    "InvalidObjectState",
}


class TransferFailed(Exception):
    """An object could not be read or written; the text says which and why."""


class ObjectStore:
    """Reads and writes objects of one endpoint.

    Args:
        aws: Where S3 is.
        scope: Account and Region of the endpoint.
        executor: Where boto3 blocks.
    """

    def __init__(self, aws: LocalAws, scope: Scope, executor: Executor) -> None:
        self._aws = aws
        self._scope = scope
        self._executor = executor

    async def download(self, uri: str, target: Path) -> None:
        """Bring an input onto the disk.

        Args:
            uri: InputLocation.
            target: The file to write.

        Raises:
            TransferFailed: It is not there, too large, in another Region, or S3 does not give it.
        """
        location = locations.parse(uri)
        if location is None:
            raise TransferFailed(f"{uri} is not the location of an object in S3.")
        await self._patiently(f"The input {uri} could not be read", lambda: self._get(location, target))

    async def upload(self, source: Path | bytes, uri: str, content_type: str, kms_key: str | None) -> None:
        """Put an output where it was promised.

        Args:
            source: The file, or the bytes themselves.
            uri: Where it goes.
            content_type: Its Content-Type.
            kms_key: OutputConfig.KmsKeyId.

        Raises:
            TransferFailed: S3 does not take it.
        """
        location = locations.parse(uri)
        if location is None:
            raise TransferFailed(f"{uri} is not a location in S3.")
        await self._patiently(
            f"The response could not be written to {uri}",
            lambda: self._put(source, location, content_type, kms_key),
        )

    async def _patiently(self, what: str, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await loop.run_in_executor(self._executor, work)
            except ClientError as error:
                code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
                if code in _FINAL or attempt == ATTEMPTS:
                    raise TransferFailed(f"{what}: {code}: {text}") from error
            except (BotoCoreError, OSError) as error:
                if attempt == ATTEMPTS:
                    raise TransferFailed(f"{what}: {error}") from error
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    def _get(self, location: S3Location, target: Path) -> None:
        client = self._client()
        region = client.head_bucket(Bucket=location.bucket).get("BucketRegion") or self._scope.region
        if region != self._scope.region:
            raise TransferFailed(
                f"The input {location} could not be read: its bucket is in {region}, "
                f"the endpoint in {self._scope.region}."
            )
        answer = client.get_object(Bucket=location.bucket, Key=location.key)
        if answer["ContentLength"] > MAX_INPUT_BYTES:
            answer["Body"].close()
            raise TransferFailed(
                f"The input {location} has {answer['ContentLength']} bytes; "
                f"an asynchronous request may have {MAX_INPUT_BYTES} (1 GB)."
            )
        with target.open("wb") as file:
            for piece in answer["Body"].iter_chunks(PIECE_BYTES):
                file.write(piece)

    def _put(
        self, source: Path | bytes, location: S3Location, content_type: str, kms_key: str | None
    ) -> None:
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        wanted = {"Bucket": location.bucket, "Key": location.key, "ContentType": content_type, **encryption}
        if isinstance(source, bytes):
            self._client().put_object(Body=source, **wanted)
            return
        with source.open("rb") as file:
            self._client().put_object(Body=file, **wanted)

    def _client(self) -> Any:
        return self._aws.client("s3", self._scope)


def stopwatch() -> Callable[[], float]:
    """Gives the microseconds since it was made."""
    begun = time.perf_counter()
    return lambda: (time.perf_counter() - begun) * 1_000_000
