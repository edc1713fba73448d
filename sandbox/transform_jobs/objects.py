"""S3 from a job's side: which objects it has, their bytes piece by piece, and where outputs go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.store import Params, Scope
from sandbox.transform_jobs.failures import CLIENT_ERROR, TransformFailed
from sandbox.transform_jobs.records import MB, PIECE_BYTES

T = TypeVar("T")

# larger outputs are uploaded in parts, so that no request holds one whole
_TRANSFER = TransferConfig(multipart_threshold=16 * MB, multipart_chunksize=8 * MB, use_threads=False)
_MANIFEST_BYTES = 100 * MB


class InputObject(NamedTuple):
    """An object to transform.

    Args:
        bucket: Its bucket.
        key: Its key.
        name: Its key relative to the input's prefix, which names its output.
    """

    bucket: str
    key: str
    name: str

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def log_name(self) -> str:
        """How the data log calls it."""
        return f"{self.bucket}/{self.key}"


class JobObjects:
    """The objects of one job.

    Args:
        aws: Where S3 is.
        scope: Account and Region of the job.
        executor: Where boto3 blocks.
        request: The request of CreateTransformJob.
    """

    def __init__(self, aws: LocalAws, scope: Scope, executor: Executor, request: Params) -> None:
        self._aws = aws
        self._scope = scope
        self._executor = executor
        self._source = request["TransformInput"]["DataSource"]["S3DataSource"]
        self._output = request["TransformOutput"]

    async def inputs(self) -> list[InputObject]:
        """The objects of the input in order of their keys, each once; empty keys of folders are left out.

        Raises:
            TransformFailed: There are none, or they cannot be listed.
        """
        uri = self._source["S3Uri"]
        listed = self._listed if self._source["S3DataType"] == "S3Prefix" else self._manifest
        found = await self._do(f"The input {uri} could not be read", lambda: listed(uri))
        objects = sorted({each for each in found if not each.key.endswith("/")})
        if not objects:
            raise TransformFailed(
                CLIENT_ERROR,
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
                f"the bucket exists in the selected region ({self._scope.region}), that objects exist under "
                "that S3 prefix, and that the role has s3:ListBucket permissions on the bucket.",
            )
        return objects

    async def pieces(self, source: InputObject) -> AsyncIterator[bytes]:
        """The bytes of an object, read in ranges; the object may not change meanwhile.

        Raises:
            TransformFailed: It cannot be read.
        """
        at, etag = 0, ""
        while True:
            read = partial(self._range, source, at, etag)
            data, etag, size = await self._do("the object could not be read", read)
            if data:
                yield data
            at += len(data)
            if at >= size:
                return

    async def write(self, file: Path, source: InputObject, content_type: str) -> None:
        """Put the output of an object where it belongs.

        Raises:
            TransformFailed: S3 does not take it.
        """
        bucket, prefix = _split(self._output["S3OutputPath"])
        key = f"{prefix.rstrip('/')}/{source.name}.out".lstrip("/")
        extra = {"ContentType": content_type}
        if kms_key := self._output.get("KmsKeyId"):
            extra |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}

        def upload() -> None:
            with file.open("rb") as body:
                self._client().upload_fileobj(body, bucket, key, ExtraArgs=extra, Config=_TRANSFER)

        await self._do(f"the output could not be written to s3://{bucket}/{key}", upload)

    def _listed(self, uri: str) -> list[InputObject]:
        bucket, prefix = _split(uri)
        folder = prefix[: prefix.rfind("/") + 1]  # names are relative to it: data/part also means data/part-1
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [
            InputObject(bucket, found["Key"], found["Key"][len(folder) :])
            for page in pages
            for found in page.get("Contents", [])
        ]

    def _manifest(self, uri: str) -> list[InputObject]:
        bucket, key = _split(uri)
        answer = self._client().get_object(Bucket=bucket, Key=key)
        try:
            entries = json.loads(answer["Body"].read(_MANIFEST_BYTES))
        except (ValueError, RecursionError) as error:
            raise TransformFailed(CLIENT_ERROR, f"The manifest {uri} is not valid JSON: {error}.") from error
        return manifest_objects(entries, uri)

    def _range(self, source: InputObject, start: int, etag: str) -> tuple[bytes, str, int]:
        """Bytes from a position on, the object's ETag and its size."""
        wanted = {"IfMatch": etag} if etag else {}
        try:
            answer = self._client().get_object(
                Bucket=source.bucket,
                Key=source.key,
                Range=f"bytes={start}-{start + PIECE_BYTES - 1}",
                **wanted,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in {"InvalidRange", "416"}:  # an empty object has no ranges
                return b"", etag, start
            raise
        data: bytes = answer["Body"].read()
        size = int(answer["ContentRange"].rpartition("/")[2])
        if not data and size > start:
            raise OSError("S3 gave less than it has")
        return data, answer["ETag"], size

    async def _do(self, what: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            raise TransformFailed(CLIENT_ERROR, f"{what}: {code}: {text}") from error
        except (BotoCoreError, OSError) as error:
            raise TransformFailed(CLIENT_ERROR, f"{what}: {error}") from error
        # boto3's transfers wrap what S3 answers into an exception of their own
        except Exception as error:
            if isinstance(error, TransformFailed):
                raise
            raise TransformFailed(CLIENT_ERROR, f"{what}: {error}") from error

    def _client(self) -> Any:
        return self._aws.client("s3", self._scope)


def manifest_objects(entries: Any, uri: str) -> list[InputObject]:
    """The objects that a manifest names.

    Args:
        entries: Its JSON: first ``{"prefix": "s3://..."}``, then keys relative to that.
        uri: Where it is, for messages.

    Raises:
        TransformFailed: It is not of that form.
    """
    head, keys = (entries[0], entries[1:]) if isinstance(entries, list) and entries else (None, [])
    prefix = head.get("prefix") if isinstance(head, dict) else None
    if not isinstance(prefix, str) or not prefix.startswith("s3://"):
        raise TransformFailed(
            CLIENT_ERROR,
            f'The manifest {uri} must be a JSON list that begins with {{"prefix": "s3://bucket/..."}}, '
            "followed by keys relative to that prefix.",
        )
    wrong = [position for position, key in enumerate(keys, 1) if not isinstance(key, str) or not key]
    if wrong:
        raise TransformFailed(
            CLIENT_ERROR, f"The manifest {uri} has entries that are no keys at {', '.join(map(str, wrong))}."
        )
    bucket, folder = _split(prefix)
    return [InputObject(bucket, folder + key, key.lstrip("/")) for key in keys]


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
