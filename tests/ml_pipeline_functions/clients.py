"""Real boto3 clients of which the test gives the answers: requests are checked as boto3 checks them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.exceptions import ClientError

from sandbox.store import Params
from tests.sandbox_api.world import SCOPE


def answered(service: str, **answers: Callable[[Params], Params]) -> Any:
    """A client.

    Args:
        service: For example ``s3``.
        answers: For each operation that may be called, by its name in the API.
    """
    client = boto3.client(
        service, region_name=SCOPE.region, aws_access_key_id=SCOPE.account, aws_secret_access_key="test"
    )
    name = client.meta.service_model.service_id.hyphenize()

    def keep(params: Params, context: Params, **_: Any) -> None:
        context["given"] = dict(params)

    def answer(model: Any, context: Params, **_: Any) -> tuple[Any, Params]:
        return SimpleNamespace(status_code=200), answers[model.name](context["given"])

    client.meta.events.register_first(f"before-parameter-build.{name}", keep)
    client.meta.events.register_first(f"before-call.{name}", answer)
    return client


class Objects:
    """S3 with one bucket, whose lists have pages of two."""

    def __init__(self) -> None:
        self.content: dict[str, tuple[datetime, bytes]] = {}
        self.client = answered("s3", ListObjectsV2=self._list, PutObject=self._put, GetObject=self._get)

    def put(self, key: str, minute: int = 0, body: bytes = b"") -> None:
        self.content[key] = datetime(2026, 1, 1, 0, minute, tzinfo=UTC), body

    def _list(self, given: Params) -> Params:
        keys = sorted(key for key in self.content if key.startswith(given["Prefix"]))
        start = int(given.get("ContinuationToken", 0))
        found = [{"Key": key, "LastModified": self.content[key][0]} for key in keys[start : start + 2]]
        more = start + 2 < len(keys)
        token = {"NextContinuationToken": str(start + 2)} if more else {}
        return {"Contents": found, "IsTruncated": more, **token} if found else {"IsTruncated": False}

    def _put(self, given: Params) -> Params:
        assert set(given) == {"Bucket", "Key", "Body"}  # the bucket's own encryption
        body = given["Body"]
        self.put(given["Key"], body=body if isinstance(body, bytes) else body.read())
        return {}

    def _get(self, given: Params) -> Params:
        if given["Key"] not in self.content:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": io.BytesIO(self.content[given["Key"]][1])}
