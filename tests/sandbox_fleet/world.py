"""A FleetManager over a fake S3 and CloudWatch Logs, and tiny models that start real model servers."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from botocore.exceptions import ClientError

from sandbox.clock import Clock
from sandbox.fleet import Fleet, FleetManager
from sandbox.store import Record, Scope

SCOPE = Scope("000000000000", "ap-northeast-2")
IMAGE = "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3"

ECHO = """
def model_fn(model_dir):
    return None
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    return data
def output_fn(prediction, accept):
    return prediction, accept
"""


def archive(files: dict[str, str | bytes]) -> bytes:
    """A model.tar.gz of text files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class FakeS3:
    """Objects by bucket and key."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.fetched: list[str] = []

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  (boto3's names)
        data = self._get(Bucket, Key, "HeadObject", "404")
        return {"ETag": hashlib.sha256(data).hexdigest(), "ContentLength": len(data)}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  (boto3's names)
        data = self._get(Bucket, Key, "GetObject", "NoSuchKey")
        self.fetched.append(Key)

        class Body:
            def iter_chunks(self, size: int) -> Iterator[bytes]:
                yield from (data[at : at + size] for at in range(0, len(data), size))

        return {"Body": Body()}

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803  (boto3's names)
        found = sorted(key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix))
        return (
            [{"Contents": [{"Key": k, "ETag": str(self.objects[Bucket, k])} for k in found]}]
            if found
            else [{}]
        )

    def _get(self, bucket: str, key: str, operation: str, code: str) -> bytes:
        if (bucket, key) not in self.objects:
            raise ClientError({"Error": {"Code": code, "Message": "Not Found"}}, operation)
        return self.objects[bucket, key]


class FakeLogs:
    """Takes what LogPublisher.write gets."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self._lock = threading.Lock()

    def write(self, scope: Scope, group: str, stream: str, message: str) -> None:
        with self._lock:
            self.lines.append((group, stream, message))

    def text(self) -> str:
        with self._lock:
            return "\n".join(message for _, _, message in self.lines)


class FakeMetrics:
    """Takes what MetricPublisher.record gets."""

    def __init__(self) -> None:
        self.values: list[tuple[Any, ...]] = []

    def record(self, *args: Any) -> None:
        self.values.append(args)


class FakeAws:
    """One S3 for all scopes."""

    gateway_url = "http://127.0.0.1:9"

    def __init__(self) -> None:
        self.s3 = FakeS3()

    def client(self, service: str, scope: Scope) -> FakeS3:
        assert service == "s3"
        return self.s3


@dataclass(frozen=True)
class Settings:
    """What FleetManager reads of EngineSettings."""

    work_dir: Path
    clock: Clock = field(default_factory=Clock)
    max_model_servers: int = 8


@dataclass
class World:
    """Everything around a fleet."""

    tmp_path: Path
    aws: FakeAws = field(default_factory=FakeAws)
    logs: FakeLogs = field(default_factory=FakeLogs)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)

    def put(self, files: dict[str, str | bytes], key: str = "model.tar.gz") -> str:
        """Store an artifact; gives its URI."""
        self.aws.s3.objects["bucket", key] = archive(files)
        return f"s3://bucket/{key}"

    def model(self, *codes: str, image: str = IMAGE, **request: Any) -> Record:
        """A model of one container for each given inference.py."""
        containers: list[dict[str, Any]] = [
            {"Image": image, "ModelDataUrl": self.put({"code/inference.py": code}, f"model-{at}.tar.gz")}
            for at, code in enumerate(codes)
        ]
        if len(containers) == 1:
            return record({"PrimaryContainer": containers[0], **request})
        for at, container in enumerate(containers):
            container["ContainerHostname"] = f"host-{at}"
        return record({"Containers": containers, **request})

    @asynccontextmanager
    async def manager(self, **settings: Any) -> AsyncIterator[FleetManager]:
        """A running manager; what it started is gone afterwards."""
        manager = FleetManager(
            Settings(self.tmp_path / "work", **settings), self.aws, self.metrics, self.logs
        )  # type: ignore[arg-type]
        await manager.start()
        try:
            yield manager
        finally:
            await manager.stop()

    @asynccontextmanager
    async def fleet(self, model: Record, count: int = 1, **variant: Any) -> AsyncIterator[Fleet]:
        """A started fleet of the given size."""
        async with self.manager() as manager:
            fleet = create(manager, model, **variant)
            await fleet.start(count)
            yield fleet


def create(manager: FleetManager, model: Record, **variant: Any) -> Fleet:
    """A fleet of a variant named AllTraffic."""
    return manager.create(
        "reviews", {"VariantName": "AllTraffic", "InitialInstanceCount": 1, **variant}, model, SCOPE
    )


def record(request: dict[str, Any]) -> Record:
    """A model's record."""
    now = datetime.now(UTC)
    return Record("model", SCOPE.arn("model/model"), {"ModelName": "model", **request}, now, now)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result if isinstance(result, bool) else await result:
            return
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.02)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """`until` without an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Server:
    """A model server that runs without a fleet."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def invoke(self, body: bytes, **headers: str) -> httpx.Response:
        """POST /invocations."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            "/invocations", content=body, headers={"content-type": "application/json"} | names
        )
