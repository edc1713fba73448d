"""Places in S3."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from client.errors import UserError


@dataclass(frozen=True)
class Place:
    """A bucket and a key, or a key's beginning."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Place:
        """From ``s3://bucket/key``.

        Raises:
            UserError: It is no such URI.
        """
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc:
            raise UserError(f"{uri!r} is no place in S3", "Expected s3://bucket/key.")
        return cls(parts.netloc, uri.removeprefix(f"s3://{parts.netloc}").lstrip("/"))

    def __truediv__(self, name: str) -> Place:
        return Place(self.bucket, self.key + name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
