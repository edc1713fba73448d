"""Asynchronous endpoints on stand-ins: containers and AWS in this process, everything between them real."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import uvloop

from sandbox.async_queue import AsyncQueues
from sandbox.clock import Clock
from sandbox.deployments import Deployments
from sandbox.engine import EngineSettings
from sandbox.events import EventPublisher
from sandbox.runtime import RuntimeListener
from sandbox.store import Endpoint, Params, Record, Scope, Stores
from tests.sandbox_async.cloud import Cloud
from tests.sandbox_runtime.fake_aws import FakeBus, FakeLogs, FakeMetrics
from tests.sandbox_runtime.fakes import (
    SCOPE,
    Answerer,
    FakeFleet,
    FakeFleets,
    FakeInstance,
    Plane,
    Request,
    http,
    variant,
)

SUCCESS, ERROR = (SCOPE.arn(name, "sns") for name in ("success", "error"))


async def capitals(request: Request) -> bytes:
    """A container that answers the body in capitals."""
    return http(request.body.upper(), content_type="text/plain")


class QueueFleet(FakeFleet):
    """A fake fleet that a queue can take instances of."""

    def try_acquire(self, limit: int, places: int = 1) -> FakeInstance | None:
        instance = min(self.in_service(), key=lambda each: each.in_flight, default=None)
        if instance is None or instance.in_flight + places > limit:
            return None
        instance.in_flight += places
        return instance

    def release(self, instance: FakeInstance, places: int = 1) -> None:
        instance.in_flight -= places


class QueueFleets(FakeFleets):
    def create(self, endpoint_name: str, params: Params, model: Record, scope: Scope) -> FakeFleet:
        fleet = QueueFleet(endpoint_name, params, model, scope)
        self.made.append(fleet)
        return fleet


class AsyncPlane(Plane):
    """A data plane with queues; `aws` is a `Cloud`."""

    def __init__(self, tmp: Path, *, scale: float = 60.0) -> None:  # instead of Plane's own
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.stores = Stores()
        self.cloud = self.aws = Cloud()
        self.cloud.topics |= {SUCCESS, ERROR}
        self.fleets = QueueFleets()
        self.metrics, self.logs = FakeMetrics(), FakeLogs()
        self.clock, self.bus = Clock(scale), FakeBus()
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        self._clients: list[Any] = []
        self.folder = tmp / "queues"
        self._work_dir = tmp / "work"
        self._start()

    def _start(self) -> None:
        self.queues = AsyncQueues(self.folder, self.cloud, self.metrics, self.logs, self.clock)
        self.deployments = Deployments(
            self.stores, self.fleets, self.cloud, self.clock, self.events, self.queues
        )
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = EngineSettings(1, port, self._work_dir, self.clock)
        self.listener = RuntimeListener(
            settings, self.stores, self.metrics, self.logs, self.cloud, queues=self.queues
        )
        self.url = f"http://127.0.0.1:{port}"
        self._client = None
        self.run(self.queues.start())
        self.run(self.listener.start())

    def crash(self) -> None:
        """What a SIGKILL does to the queues: everything in memory is gone, the disk is as it is.

        The endpoints go as well; a test creates them again.
        """
        self.run(self.listener.stop())
        self.run(self.queues.abandon())
        self.stores.of(SCOPE).endpoints.clear()
        for fleet in self.fleets.made:
            self.run(fleet.stop(drain=False))
        self._start()

    def close(self) -> None:
        self.run(self.queues.stop())
        super().close()

    def async_config(self, name: str = "config", *, count: int = 1, **changes: Any) -> Record:
        """An endpoint configuration with one variant ``AllTraffic`` of the model ``model``.

        Args:
            name: Its name.
            count: Instances.
            changes: `concurrency` per instance, `include` (IncludeInferenceResponseIn), or members of
                OutputConfig.
        """
        notification: Params = {"SuccessTopic": SUCCESS, "ErrorTopic": ERROR}
        if include := changes.pop("include", None):
            notification["IncludeInferenceResponseIn"] = include
        concurrency = changes.pop("concurrency", None)
        output = {
            "S3OutputPath": "s3://data/output/",
            "S3FailurePath": "s3://data/failure",
            "NotificationConfig": notification,
            **changes,
        }
        config: Params = {"OutputConfig": output}
        if concurrency:
            config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": concurrency}
        return self.config(name, variant("AllTraffic", "model", count=count), AsyncInferenceConfig=config)

    def serve_async(self, answerer: Answerer = capitals, *, count: int = 1, **changes: Any) -> Endpoint:
        """An asynchronous endpoint ``ep`` in service."""
        self.model("model", answerer=answerer, PrimaryContainer={"Image": "image"})
        return self.create(self.async_config(count=count, **changes))

    def upload(self, data: bytes, key: str = "input/a.txt") -> str:
        """Put an input into S3; its URI."""
        self.cloud.objects["data", key] = data
        return f"s3://data/{key}"

    def submit(self, body: bytes | None = None, **params: Any) -> Any:
        """InvokeEndpointAsync of ``ep`` by boto3: with a body, or what `params` say."""
        given = {"Body": body} if body is not None else {}
        return self.client.invoke_endpoint_async(
            **{"EndpointName": "ep", "ContentType": "text/plain", **given, **params}
        )

    def scale(self, endpoint: Endpoint, count: int) -> None:
        """UpdateEndpointWeightsAndCapacities to so many instances."""
        desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
        self.call(lambda: self.deployments.update_weights_and_capacities(endpoint, desired))
        self.settle(endpoint)

    def endings(self, count: int, seconds: float = 20) -> list[Params]:
        """The notifications, as soon as there are so many."""
        self.until(lambda: len(self.cloud.results()) >= count, seconds)
        return self.cloud.results()

    def ids(self) -> list[str]:
        """Inference IDs of the notifications, in order."""
        return [message["inferenceId"] for message in self.cloud.results()]

    def completed(self) -> list[bool]:
        """Whether each notification tells of a success."""
        return [message["invocationStatus"] == "Completed" for message in self.cloud.results()]

    def quiet(self, endpoint: Endpoint) -> None:
        """Wait until the endpoint's queue has nothing to do any more."""
        self.until(lambda: self.queues.backlog(endpoint) == 0)

    def metric(self, name: str, **dimensions: str) -> list[float]:
        """Values of a metric of ``ep`` and its variant, or with other dimensions."""
        return self.metrics.values(
            name, **(dimensions or {"EndpointName": "ep", "VariantName": "AllTraffic"})
        )
