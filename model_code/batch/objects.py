"""Objects in S3: where they are, and reading and writing them piece by piece."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from botocore.exceptions import ClientError
from environment import client
from failures import ObjectChanged

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True)
class Location:
    """A bucket and a key, or a key's beginning."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        """From ``s3://bucket/key``.

        Raises:
            ValueError: It is none.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ValueError(f"{uri!r} is no S3 URI: give s3://bucket/key")
        return cls(bucket, key)

    def __truediv__(self, name: str) -> Location:
        return Location(self.bucket, self.key + name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read_bytes(place: Location, start: int, end: int, etag: str) -> bytes:
    """Bytes of an object that must still be the one that was claimed.

    Args:
        place: The object.
        start: First byte.
        end: Byte after the last one.
        etag: Its ETag.

    Raises:
        ObjectChanged: It is another one, or is gone.
    """
    try:
        answer = client("s3").get_object(
            Bucket=place.bucket, Key=place.key, Range=f"bytes={start}-{end - 1}", IfMatch=etag
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING | {"PreconditionFailed", "412"}:
            raise ObjectChanged(
                f"{place} was replaced or removed while it was read. Leave files alone once they are in the "
                "input folder; start the workflow again, and it takes the new one."
            ) from None
        raise
    return bytes(answer["Body"].read())


def open_object(place: Location) -> Any | None:
    """An object's body, to be read piece by piece; None if there is no such object."""
    try:
        return client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return None
        raise


def read_json(place: Location) -> Any | None:
    """A small JSON document; None if there is no such object."""
    body = open_object(place)
    return None if body is None else json.loads(body.read())


def write_json(place: Location, document: Any) -> None:
    """Write a small JSON document."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=body, ContentType="application/json")


@contextmanager
def written(place: Location, content_type: str) -> Iterator[IO[bytes]]:
    """A file that is uploaded when the block ends well, and only if something is in it.

    It is collected on disk, so that memory does not grow with it and nobody sees half of it.

    Args:
        place: Where it goes.
        content_type: What it is.
    """
    with tempfile.TemporaryFile() as file:
        yield file
        if file.tell():
            file.seek(0)
            client("s3").upload_fileobj(
                file, place.bucket, place.key, ExtraArgs={"ContentType": content_type}
            )
