"""S3 and SNS in memory, with the failures that a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from sandbox.store import Params, Scope
from tests.sandbox_fleet.world import FakeS3

REGION = "ap-northeast-2"


def refusal(code: str, operation: str = "Operation", message: str = "refused") -> ClientError:
    """What boto3 raises for an error of the service."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Body:
    """The body of an object, read in pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        yield from (self._data[at : at + size] for at in range(0, len(self._data), size))

    def close(self) -> None:
        """Nothing is held."""


class Cloud(FakeS3):
    """One S3 and one SNS for all scopes.

    `on_put` and `on_publish` are called before an object or a message is taken; what they raise is what the
    caller gets. `sizes` overrides what S3 tells of an object's size, `regions` where a bucket is.
    """

    gateway_url = "http://127.0.0.1:9"

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, Params]] = []
        self.types: dict[tuple[str, str], str] = {}
        self.data: list[Params] = []
        self.topics: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.regions: dict[str, str] = {}
        self.on_get: Callable[[str], None] = lambda key: None
        self.on_put: Callable[[str], None] = lambda key: None
        self.on_publish: Callable[[str, Params], None] = lambda topic, message: None
        self._lock = threading.Lock()

    def client(self, service: str, scope: Scope) -> Any:
        return self

    # S3, in boto3's names

    def head_bucket(self, *, Bucket: str) -> Params:  # noqa: N803
        return {"BucketRegion": self.regions.get(Bucket, REGION)}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self.on_get(Key)
        data = self._get(Bucket, Key, "GetObject", "NoSuchKey")
        return {"Body": Body(data), "ContentLength": self.sizes.get(Key, len(data))}

    def put_object(self, *, Bucket: str, Key: str, Body: Any, ContentType: str, **_: Any) -> None:  # noqa: N803
        self.on_put(Key)
        data = Body if isinstance(Body, bytes) else Body.read()
        with self._lock:
            self.objects[Bucket, Key] = data
            self.types[Bucket, Key] = ContentType

    # SNS

    def publish(self, *, TopicArn: str, Message: str) -> None:  # noqa: N803
        message = json.loads(Message)
        if TopicArn not in self.topics:
            raise refusal("NotFound", "Publish", "Topic does not exist")
        self.on_publish(TopicArn, message)
        with self._lock:
            self.messages.append((TopicArn.rsplit(":", 1)[1], message))

    # CloudWatch

    def put_metric_data(self, **params: Any) -> None:
        self.data += params["MetricData"]

    def results(self, topic: str | None = None) -> list[Params]:
        """Notifications of endings, of one topic or all, in order."""
        with self._lock:
            return [
                message
                for name, message in self.messages
                if message["eventName"] == "InferenceResult" and topic in (None, name)
            ]

    def tests(self) -> list[str]:
        """Topics that got a test notification, in order."""
        return [name for name, message in self.messages if message["eventName"] == "TestNotification"]

    def read(self, uri: str) -> bytes:
        """An object by its URI."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.objects[bucket, key]

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects below a prefix."""
        with self._lock:
            return sorted(key for _, key in self.objects if key.startswith(prefix))
