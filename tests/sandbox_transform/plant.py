"""Transform jobs on stand-ins: containers and S3 in this process, everything between them real."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from botocore.exceptions import ClientError

from sandbox.clock import Clock
from sandbox.control_plane import ControlPlane
from sandbox.events import EventPublisher
from sandbox.fleet.instances import Instance, Launcher
from sandbox.fleet.slots import Slots
from sandbox.store import Params, Scope
from sandbox.transform_jobs import TransformJobs
from sandbox.transform_jobs.launcher import TransformLauncher
from tests.sandbox_api.world import DEADLINE, IMAGE, ROLE, SCOPE, World
from tests.sandbox_runtime.fake_aws import FakeBus, FakeLogs, FakeMetrics

JSON_LINES = "application/jsonlines"


class Die(Exception):
    """The model server ends, with the request unanswered."""


@dataclass
class Call:
    """What a container received."""

    headers: dict[str, str]
    body: bytes
    container: FakeContainer

    @property
    def lines(self) -> list[bytes]:
        return self.body.split(b"\n")


Answer = tuple[int, bytes]
Answerer = Callable[[Call], Awaitable[Answer]]


async def capitals(call: Call) -> Answer:
    """A model that answers in capitals."""
    return 200, call.body.upper()


async def lengths(call: Call) -> Answer:
    """A model that answers each JSON line with the length of its text."""
    rows = [json.loads(line) for line in call.lines]
    return 200, b"\n".join(json.dumps({"length": len(row["text"])}).encode() for row in rows)


class FakeContainer:
    """A model server in this process, which a test can let die."""

    def __init__(self, hostname: str, answerer: Answerer, parameters: Any) -> None:
        self.hostname, self.pid, self.port = hostname, os.getpid(), 0
        self.answerer, self.parameters = answerer, parameters
        self.exit_status: int | None = None
        self.exited = asyncio.Event()
        self.calls: list[Call] = []
        self.now = self.most = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> FakeContainer:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/invocations", self._invoke)
        app.router.add_get("/execution-parameters", self._suggest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self, grace: float) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._end(0)

    async def why_it_ended(self) -> str:
        return f"The model server was ended by signal {-(self.exit_status or 0)}."

    def _end(self, status: int) -> None:
        if self.exit_status is None:
            self.exit_status = status
            self.exited.set()

    async def _suggest(self, request: web.Request) -> web.Response:
        if self.parameters is None:
            return web.Response(status=404)
        return web.json_response(self.parameters)

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        call = Call(dict(request.headers), await request.read(), self)
        self.calls.append(call)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            status, body = await self.answerer(call)
        except Die:
            assert request.transport is not None
            request.transport.close()
            self._end(-9)
            return web.Response()
        finally:
            self.now -= 1
        return web.Response(status=status, body=body, content_type=f"application/x-{self.hostname}")


@dataclass(frozen=True)
class FakeLauncher(TransformLauncher):
    """Starts containers of this process."""

    fleets: Any = None

    async def launch(self, plans: list[Any]) -> Instance:
        if self.fleets.fails:
            raise self.fleets.fails
        instance = Instance(f"i-{len(self.fleets.instances):017x}", self.work_dir / "none")
        self.fleets.instances.append(instance)
        for plan in plans:
            answerer = self.fleets.answerers.get(plan.hostname, capitals)
            container = await FakeContainer(plan.hostname, answerer, self.fleets.parameters).start()
            instance.containers.append(container)  # type: ignore[arg-type]
            self.fleets.environments.append(plan.environment)
        return instance


class FakeFleets:
    """What transform jobs ask of a fleet manager."""

    def __init__(self, tmp: Path, clock: Clock, logs: FakeLogs) -> None:
        self.slots, self.metrics = Slots(8), FakeMetrics()
        self.answerers: dict[str, Answerer] = {}
        self.parameters: Any = None
        self.fails: Exception | None = None
        self.instances: list[Instance] = []
        self.environments: list[dict[str, str]] = []
        self._tmp, self._clock, self._logs = tmp, clock, logs

    def launcher(self, name: str, variant: Params, scope: Scope, make: Callable[..., Launcher]) -> Launcher:
        shared: Any = {"artifacts": None, "logs": self._logs, "workers": None, "safe_ports": None}
        return FakeLauncher(
            name, variant, scope, self._tmp, "", self._clock, lifeline=0, epoch=7, fleets=self, **shared
        )

    @property
    def calls(self) -> list[Call]:
        """What all containers received, in order for each."""
        return [call for each in self.instances for container in each.containers for call in container.calls]  # type: ignore[attr-defined]


@dataclass
class FakeS3:
    """S3 with ranges and uploads; `refuses` names keys that it does not take."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    extra: dict[str, Params] = field(default_factory=dict)
    reads: list[tuple[str, str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    def get_object(self, *, Bucket: str, Key: str, Range: str = "", IfMatch: str = "") -> Params:  # noqa: N803
        data = self.objects.get((Bucket, Key))
        if data is None:
            raise _refusal("NoSuchKey", "The specified key does not exist.")
        self.reads.append((Key, Range))
        etag = f'"{hash(data)}"'
        if IfMatch and IfMatch != etag:
            raise _refusal("PreconditionFailed", "At least one of the pre-conditions did not hold")
        if not Range:
            return {"Body": io.BytesIO(data), "ETag": etag}
        start, end = map(int, re.findall(r"\d+", Range))
        if start >= len(data):
            raise _refusal("InvalidRange", "The requested range is not satisfiable")
        return {
            "Body": io.BytesIO(data[start : end + 1]),
            "ETag": etag,
            "ContentRange": f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}",
        }

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[Params]:  # noqa: N803
        if not any(bucket == Bucket for bucket, _ in self.objects):
            raise _refusal("NoSuchBucket", "The specified bucket does not exist")
        keys = sorted(key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix))
        return [{"Contents": [{"Key": key}]} for key in keys] or [{}]

    def upload_fileobj(self, body: Any, bucket: str, key: str, **given: Any) -> None:
        if key in self.refuses:
            raise _refusal("AccessDenied", "Access Denied")
        self.objects[bucket, key] = body.read()
        self.extra[key] = given["ExtraArgs"]

    def outputs(self) -> dict[str, bytes]:
        """What is in the output bucket, by key."""
        return {key: data for (bucket, key), data in sorted(self.objects.items()) if bucket == "out"}


def _refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Operation")


class Plant(World):
    """The APIs, with transform jobs that really run. Objects of the input are in ``s3://in``."""

    def __init__(self, tmp: Path, scale: float = 60.0) -> None:
        super().__init__(scale)
        self.s3, self.bus, self.logs = FakeS3(), FakeBus(), FakeLogs()
        self.tmp, clock = tmp, Clock(scale)
        self.fleets = FakeFleets(tmp, clock, self.logs)
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        aws: Any = self
        fleets: Any = self.fleets
        self.jobs = TransformJobs(fleets, aws, self.logs, self.events, clock, tmp / "scratch")
        self.control_plane = ControlPlane(self.stores, self.deployments, aws, self.jobs)
        self.call("CreateModel", model())

    def client(self, service: str, scope: Scope) -> Any:
        assert (service, scope) == ("s3", SCOPE)
        return self.s3

    def close(self) -> None:
        self.run(self.jobs.close())
        self.run(self.events.stop())
        super().close()

    def put(self, **objects: bytes | list[bytes]) -> None:
        """Objects below ``s3://in/data/``; two underscores in a name stand for a dot, lists for lines."""
        for name, content in objects.items():
            data = b"\n".join(content) if isinstance(content, list) else content
            self.s3.objects["in", f"data/{name.replace('__', '.')}"] = data

    def start(self, name: str = "job", **changes: Any) -> str:
        """Start a job; see `request`."""
        self.call("CreateTransformJob", request(name, **changes))
        return name

    def job(self, name: str = "job") -> Params:
        """DescribeTransformJob."""
        return self.call("DescribeTransformJob", {"TransformJobName": name})

    def done(self, name: str = "job") -> Params:
        """The job as soon as it has ended and its events are out."""
        self.until(lambda: self.job(name)["TransformJobStatus"] not in ("InProgress", "Stopping"))
        self.until(lambda: self.statuses()[-1:] == [self.job(name)["TransformJobStatus"]])
        return self.job(name)

    def transform(self, **changes: Any) -> Params:
        """Start a job and wait for its end."""
        return self.done(self.start(**changes))

    def statuses(self) -> list[str]:
        """TransformJobStatus of the events, in order."""
        return [json.loads(event.detail)["TransformJobStatus"] for event in self.bus.events]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)

    def data_log(self) -> list[str]:
        """Lines of the data logs, without their times."""
        with contextlib.suppress(ValueError):
            return [
                text.partition(":[sagemaker logs]: ")[2]
                for _, stream, text in self.logs.lines
                if stream.endswith("/data-log")
            ]
        return []


def model(*hostnames: str, name: str = "model", **container: Any) -> Params:
    """A request of CreateModel with one container, or a row of named ones."""
    made = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz", **container}
    request: Params = {"ModelName": name, "ExecutionRoleArn": ROLE}
    if hostnames:
        return request | {"Containers": [{**made, "ContainerHostname": each} for each in hostnames]}
    return request | {"PrimaryContainer": made}


def request(name: str = "job", **changes: Any) -> Params:
    """A request of CreateTransformJob: lines of ``s3://in/data/`` to ``s3://out/results``.

    Args:
        name: TransformJobName.
        changes: Members of the request; those of TransformInput, TransformOutput and TransformResources by
            their own names, `uri` and `kind` for the S3DataSource. None leaves one out.
    """
    source = {"S3DataType": changes.pop("kind", "S3Prefix"), "S3Uri": changes.pop("uri", "s3://in/data/")}
    given: dict[str, Params] = {
        "TransformInput": {"ContentType": JSON_LINES, "SplitType": "Line"},
        "TransformOutput": {
            "Accept": JSON_LINES,
            "AssembleWith": "Line",
            "S3OutputPath": "s3://out/results",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    places = {
        **dict.fromkeys(("ContentType", "SplitType", "CompressionType"), "TransformInput"),
        **dict.fromkeys(("Accept", "AssembleWith", "S3OutputPath", "KmsKeyId"), "TransformOutput"),
        **dict.fromkeys(("InstanceType", "InstanceCount", "VolumeKmsKeyId"), "TransformResources"),
    }
    made: Params = {"TransformJobName": name, "ModelName": "model"}
    for member, value in changes.items():
        target = given[places[member]] if member in places else made
        if value is None:
            target.pop(member, None)
        else:
            target[member] = value
    given["TransformInput"]["DataSource"] = {"S3DataSource": source}
    return made | given
