"""Stand-ins for what the data plane stands on: containers, fleets and the AWS underneath."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import uvloop
from botocore.config import Config

from sandbox.clock import Clock
from sandbox.deployments import Deployments
from sandbox.engine import EngineSettings
from sandbox.events import EventPublisher
from sandbox.fleet import FleetFailed, FleetStopped
from sandbox.runtime import RuntimeListener
from sandbox.store import Endpoint, Params, Record, Scope, Stores
from tests.sandbox_runtime.fake_aws import FakeAws, FakeBus, FakeLogs, FakeMetrics

SCOPE = Scope("000000000000", "ap-northeast-2")
# no test reads a person's own AWS configuration
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
# one session: the models of the services are read once
_SESSION = boto3.Session()
GROUP = "/aws/sagemaker/Endpoints/"


@dataclass
class Request:
    """What a container received."""

    headers: dict[str, str]
    body: bytes
    server: ContainerServer


class Close(Exception):
    """Close the connection in order, without an answer."""


class Reset(Exception):
    """End the connection as the kernel does for a process that dies with unread data."""


Answerer = Callable[[Request], Coroutine[Any, Any, bytes] | AsyncIterator[bytes]]


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    """A plain HTTP answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


async def echo(request: Request) -> bytes:
    """Answer the body in capitals."""
    content_type = request.headers.get("content-type", "application/octet-stream")
    return http(request.body.upper(), content_type=content_type)


class ContainerServer:
    """A very small HTTP server whose answers a test decides, byte by byte."""

    def __init__(self, answerer: Answerer, hostname: str = "primary") -> None:
        self.answerer = answerer
        self.hostname = hostname
        self.requests: list[Request] = []
        self.port = 0
        self.url = ""
        self.pid = 1
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> ContainerServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(headers, body, self)
                self.requests.append(request)
                result = self.answerer(request)
                if isinstance(result, AsyncIterator):
                    async for part in result:
                        writer.write(part)
                        await writer.drain()
                else:
                    writer.write(await result)
        except Reset:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        except (Close, asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass(eq=False)
class FakeInstance:
    id: str
    containers: list[ContainerServer]
    state: str = "InService"
    in_flight: int = 0
    started_at: float = 0.0


class FakeFleet:
    """A fleet whose instances are servers of this process."""

    def __init__(self, endpoint_name: str, params: Params, model: Record, scope: Scope) -> None:
        self.endpoint_name = endpoint_name
        self.variant_name = params["VariantName"]
        self.production_variant = params
        self.model = model
        self.scope = scope
        self.instances: list[FakeInstance] = []
        self.deployed_images: list[Params] = []
        self.reported: list[FakeInstance] = []
        self.sizes: list[int] = []
        self.stopped = False
        self.scale_error: str | None = None
        self._turn = 0

    def in_service(self) -> list[FakeInstance]:
        return [instance for instance in self.instances if instance.state == "InService"]

    async def start(self, count: int) -> None:
        if reason := self.model.request.get("fails"):
            raise FleetFailed(reason)
        if self.model.request.get("hangs"):
            await asyncio.Event().wait()
        await self.scale_to(count)

    async def scale_to(self, count: int) -> None:
        if self.scale_error is not None and count > len(self.instances):
            raise FleetFailed(self.scale_error)
        while len(self.instances) < count:
            request = self.model.request
            hostnames = [each["ContainerHostname"] for each in request.get("Containers", [])] or ["primary"]
            answerers = request.get("answerers") or {hostnames[0]: request.get("answerer", echo)}
            servers = [await ContainerServer(answerers[name], name).start() for name in hostnames]
            self.instances.append(FakeInstance(f"i-{id(servers[0]):017x}", servers))
        while len(self.instances) > count:
            await self._remove(self.instances[-1])
        self.sizes.append(count)

    async def stop(self, *, drain: bool = True) -> None:
        self.stopped = True
        for instance in list(self.instances):
            await self._remove(instance, drain)

    async def acquire(self, deadline: float) -> FakeInstance:
        while not (serving := self.in_service()):
            if self.stopped:
                raise FleetStopped
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError
            await asyncio.sleep(0.005)
        self._turn += 1
        instance = serving[self._turn % len(serving)]
        instance.in_flight += 1
        return instance

    def release(self, instance: FakeInstance) -> None:
        instance.in_flight -= 1

    def report_failure(self, instance: FakeInstance) -> None:
        self.reported.append(instance)

    async def _remove(self, instance: FakeInstance, drain: bool = True) -> None:
        instance.state = "Draining"
        while drain and instance.in_flight:
            await asyncio.sleep(0.002)
        for server in instance.containers:
            await server.stop()
        self.instances.remove(instance)


class FakeFleets:
    """A fleet manager that remembers what it made."""

    def __init__(self) -> None:
        self.made: list[FakeFleet] = []

    def create(self, endpoint_name: str, params: Params, model: Record, scope: Scope) -> FakeFleet:
        fleet = FakeFleet(endpoint_name, params, model, scope)
        self.made.append(fleet)
        return fleet


class Plane:
    """The data plane on an event loop of its own, with fakes below it."""

    def __init__(
        self, tmp: Path, *, scale: float = 1.0, chance: Callable[[], float] | None = None, **listener: Any
    ) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.stores = Stores()
        self.aws = FakeAws()
        self.fleets = FakeFleets()
        self.metrics = FakeMetrics()
        self.logs = FakeLogs()
        self.clock = Clock(scale)
        self.bus = FakeBus()
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        self.deployments = Deployments(self.stores, self.fleets, self.aws, self.clock, self.events)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        payload = {"max_payload_bytes": listener.pop("max_payload")} if "max_payload" in listener else {}
        settings = EngineSettings(
            gateway_port=1, runtime_port=port, work_dir=tmp, clock=self.clock, **payload
        )
        if chance is not None:
            listener["chance"] = chance
        self.listener = RuntimeListener(settings, self.stores, self.metrics, self.logs, self.aws, **listener)
        self.url = f"http://127.0.0.1:{port}"
        self.run(self.listener.start())
        self._client: Any = None
        self._clients: list[Any] = []

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 30) -> Any:
        """Run a coroutine on the plane's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the plane's loop."""

        async def work() -> Any:
            return function()

        return self.run(work())

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.run(self.listener.stop())
        self.run(self.deployments.stop())
        self.run(self.events.stop())
        for fleet in self.fleets.made:
            self.run(fleet.stop(drain=False))
        self.run(_quiet())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

    @property
    def client(self) -> Any:
        """boto3's client of SageMaker Runtime."""
        if self._client is None:
            self._client = self.make_client()
        return self._client

    def make_client(self, access_key: str = "test", region: str = SCOPE.region) -> Any:
        config = Config(retries={"max_attempts": 0}, max_pool_connections=32)
        client = _SESSION.client(
            "sagemaker-runtime",
            region_name=region,
            endpoint_url=self.url,
            config=config,
            aws_access_key_id=access_key,
            aws_secret_access_key="x",
        )
        self._clients.append(client)
        return client

    def model(self, name: str = "model", **request: Any) -> None:
        """Add a model; ``answerer`` decides what its container answers."""
        self.stores.of(SCOPE).models[name] = _record("model", name, request)

    def config(self, name: str, *variants: Params, **request: Any) -> Record:
        """Add an endpoint configuration."""
        config = _record("endpoint-config", name, {"ProductionVariants": list(variants), **request})
        self.stores.of(SCOPE).endpoint_configs[name] = config
        return config

    def create(self, config: Record, name: str = "ep", *, wait: bool = True) -> Endpoint:
        """Create an endpoint as the control plane does."""
        now = datetime.now(UTC)
        endpoint = Endpoint(name, SCOPE.arn(f"endpoint/{name}"), SCOPE, config.name, now, now)
        self.stores.of(SCOPE).endpoints[name.lower()] = endpoint
        self.call(lambda: self.deployments.create(endpoint, config))
        if wait:
            self.settle(endpoint)
        return endpoint

    def serve(self, answerer: Answerer = echo, *, count: int = 1, **request: Any) -> Endpoint:
        """An endpoint ``ep`` with one variant ``AllTraffic``."""
        self.model("model", answerer=answerer, **request)
        return self.create(self.config("config", variant("AllTraffic", "model", count=count)))

    def update(
        self,
        endpoint: Endpoint,
        config: Record,
        deployment: Params | None = None,
        *,
        retain_all: bool = False,
        exclude: frozenset[str] = frozenset(),
        wait: bool = True,
    ) -> None:
        """Update an endpoint as the control plane does."""
        self.call(
            lambda: self.deployments.update(
                endpoint, config, deployment, retain_all=retain_all, exclude=exclude
            )
        )
        if wait:
            self.settle(endpoint)

    def settle(self, endpoint: Endpoint) -> None:
        """Wait until nothing moves any more."""
        self.until(lambda: endpoint.status not in ("Creating", "Updating", "RollingBack", "Deleting"))

    def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for a condition with a deadline."""

        async def wait() -> None:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.005)

        self.run(wait(), seconds + 5)

    def invoke(self, body: bytes = b"hello", **params: Any) -> Any:
        """Invoke ``ep`` by boto3."""
        return self.client.invoke_endpoint(
            **{"EndpointName": "ep", "Body": body, "ContentType": "text/plain", **params}
        )


async def _quiet() -> None:
    """Let handlers of closed connections end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)


def variant(name: str, model: str, *, count: int = 1, weight: float = 1.0, **more: Any) -> Params:
    """A ProductionVariant."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
        "InitialVariantWeight": weight,
        **more,
    }


def says(text: str) -> Answerer:
    """A container that always answers the same."""

    async def answer(request: Request) -> bytes:
        return http(text.encode(), content_type="text/plain")

    return answer


def _record(kind: str, name: str, request: Params) -> Record:
    now = datetime.now(UTC)
    return Record(name, SCOPE.arn(f"{kind}/{name.lower()}"), request, now, now)


class Load:
    """Clients in threads that invoke until told to stop, and what they saw."""

    def __init__(self, plane: Plane, clients: int = 4) -> None:
        self.answers: list[bytes] = []
        self.errors: list[Exception] = []
        self._plane = plane
        self._stop = threading.Event()
        plane.client  # noqa: B018 - made once, before the threads share it
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _work(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(Exception):
                try:
                    self.answers.append(self._plane.invoke()["Body"].read())
                except Exception as error:
                    self.errors.append(error)
