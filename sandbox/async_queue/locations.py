"""Where inputs come from and where outputs go: S3 locations, as SageMaker writes and reads them."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from sandbox.store import Params

# bucket.s3.region.amazonaws.com, bucket.s3-region..., or without the bucket, which then leads the path
_S3_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
# what S3OutputPathExtension may contain (botocore) needs no escape in a key; anything else of an ID does
_UNSAFE = re.compile(r"[^a-zA-Z0-9!_.*'()-]")


class S3Location(NamedTuple):
    """An object in S3."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(uri: str) -> S3Location | None:
    """The object that a URI means, written ``s3://`` or ``https://``; None if it means none.

    Args:
        uri: For example ``s3://bucket/input/clip.mp4``.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
    else:
        parts = urlsplit(uri)
        host = _S3_HOST.fullmatch(parts.netloc)
        if host is None:
            return None
        path = unquote(parts.path.removeprefix("/"))
        bucket, _, key = (host["bucket"], "/", path) if host["bucket"] else path.partition("/")
    return S3Location(bucket, key) if bucket and key else None


def output_location(
    config: Params, inference_id: str, *, extension: str | None = None, filename: str | None = None
) -> str:
    """Where the output of a request goes: ``<S3OutputPath>/<extension>/<file name, or ID and .out>``.

    Args:
        config: The endpoint's AsyncInferenceConfig.
        inference_id: InferenceId.
        extension: S3OutputPathExtension.
        filename: Filename.
    """
    parts = [config["OutputConfig"]["S3OutputPath"].rstrip("/")]
    if extension:
        parts.append(extension.strip("/"))
    parts.append(filename or f"{_safe(inference_id)}.out")
    return "/".join(parts)


def failure_location(config: Params, inference_id: str) -> str | None:
    """Where a failure of a request goes, None if the endpoint has no S3FailurePath."""
    path = config["OutputConfig"].get("S3FailurePath")
    return f"{path.rstrip('/')}/{_safe(inference_id)}-error.out" if path else None


def _safe(inference_id: str) -> str:
    return _UNSAFE.sub("-", inference_id)
