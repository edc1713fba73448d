"""Serverless endpoints over real model servers; S3, CloudWatch and EventBridge are stand-ins."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop
from botocore.exceptions import ClientError

from sandbox.clock import Clock
from sandbox.control_plane import ControlPlane
from sandbox.deployments import Deployments
from sandbox.engine import EngineSettings
from sandbox.events import EventPublisher
from sandbox.fleet import FleetManager, Instance
from sandbox.runtime import RuntimeListener
from sandbox.serverless import ServerlessFleet
from sandbox.store import Endpoint, Params, Stores
from tests.sandbox_fleet.world import IMAGE, FakeAws, World
from tests.sandbox_runtime.fake_aws import FakeBus, FakeLogs, FakeMetrics
from tests.sandbox_runtime.fakes import SCOPE, Plane

# does what the request says; the answer is its process
MODEL = """
import json, os, pathlib, signal, time
held = []
def model_fn(model_dir):
    gate = os.environ.get("GATE")
    while gate and pathlib.Path(gate).exists() and pathlib.Path(gate).read_text() == "wait":
        time.sleep(0.02)
    if gate and pathlib.Path(gate).exists():
        raise RuntimeError("the weights are damaged")
    return os.environ.get("VERSION", "")
def input_fn(data, content_type):
    return json.loads(data)
def predict_fn(order, model):
    if "entered" in order:
        pathlib.Path(order["entered"], str(os.getpid())).touch()
    if "mb" in order:
        held.append(b"1" * (order["mb"] * 1024 * 1024))
    while "gate" in order and not pathlib.Path(order["gate"]).exists():
        time.sleep(0.01)
    if order.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    text = "x" * order.get("answer", 0)
    threads = os.environ["OMP_NUM_THREADS"]
    return {"pid": os.getpid(), "version": model, "threads": threads, "text": text}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


class ServerlessPlane(Plane):
    """The control plane, the deployments and the listener over real containers; `scale` is the clock's."""

    def __init__(self, tmp: Path, *, scale: float = 60.0, **listener: Any) -> None:  # instead of Plane's own
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.tmp = tmp
        self.stores, self.clock = Stores(), Clock(scale)
        self.aws: Any = FakeAws()
        self.metrics, self.logs, self.bus = FakeMetrics(), FakeLogs(), FakeBus()
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = EngineSettings(1, port, tmp / "work", self.clock, max_model_servers=8)
        self.fleets: Any = FleetManager(settings, self.aws, self.metrics, self.logs)  # type: ignore[arg-type]
        self.deployments = Deployments(self.stores, self.fleets, self.aws, self.clock, self.events)
        self.control_plane = ControlPlane(self.stores, self.deployments, self.aws, None)  # type: ignore[arg-type]
        self.listener = RuntimeListener(
            settings,
            self.stores,
            self.metrics,  # type: ignore[arg-type]
            self.logs,  # type: ignore[arg-type]
            self.aws,
            **listener,
        )
        self.url = f"http://127.0.0.1:{port}"
        self._client = None
        self._clients: list[Any] = []
        self._threads = ThreadPoolExecutor(32)
        self.run(self.fleets.start())
        self.run(self.listener.start())

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self.run(self.fleets.stop())
        self.fleets.made = []
        super().close()

    def api(self, operation: str, **params: Any) -> Params:
        """An operation of the SageMaker API."""
        answer: Params = self.run(self.control_plane.call(operation, params, SCOPE))
        return answer

    def add_model(self, name: str = "model", code: str = MODEL, **environment: str) -> None:
        """CreateModel of one container."""
        uri = World(self.tmp, self.aws).put({"code/inference.py": code}, f"{name}.tar.gz")
        self.api(
            "CreateModel",
            ModelName=name,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/model",
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri, "Environment": environment},
        )

    def add_config(self, name: str = "config", model: str = "model", **serverless: int) -> None:
        """CreateEndpointConfig of one serverless variant: 2048 MB, 3 requests at a time."""
        size = {"MemorySizeInMB": 2048, "MaxConcurrency": 3, **serverless}
        variant = {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": size}
        self.api("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])

    def deploy(self, config: str = "config") -> Endpoint:
        """CreateEndpoint of ``ep``, until it is settled."""
        self.api("CreateEndpoint", EndpointName="ep", EndpointConfigName=config)
        return self.settled()

    def serve_serverless(self, **serverless: int) -> Endpoint:
        """A serverless endpoint ``ep`` of the model above, in service."""
        self.add_model()
        self.add_config(**serverless)
        return self.deploy()

    def settled(self) -> Endpoint:
        """The endpoint ``ep`` when nothing moves any more."""
        endpoint = self.stores.of(SCOPE).endpoints["ep"]
        self.settle(endpoint)
        return endpoint

    @property
    def fleet(self) -> ServerlessFleet:
        """The containers behind ``ep``."""
        fleet = self.stores.of(SCOPE).endpoints["ep"].variants["AllTraffic"].fleet
        assert isinstance(fleet, ServerlessFleet)
        return fleet

    def containers(self) -> list[Instance]:
        """The containers that are there, in any state."""
        found: list[Instance] = self.call(lambda: list(self.fleet.instances))
        return found

    def ask(self, **order: Any) -> Params:
        """Invoke ``ep`` with an order to the model above."""
        answer = self.invoke(json.dumps(order).encode(), ContentType="application/json")
        return dict(json.loads(answer["Body"].read()))

    def refusal(self, **order: Any) -> Params:
        """The error of an invocation."""
        try:
            answer = self.ask(**order)
        except ClientError as error:
            return dict(error.response)
        raise AssertionError(f"no error but {answer}")

    def later(self, **order: Any) -> Future[Params]:
        """`ask` on a thread of its own."""
        self.client  # noqa: B018 - made once, before the threads share it
        return self._threads.submit(self.ask, **order)

    def busy(self, count: int) -> tuple[list[Future[Params]], Path]:
        """So many requests that the model works on until the file is made which comes second."""
        entered, gate = self.tmp / "entered", self.tmp / "gate"
        entered.mkdir(exist_ok=True)
        futures = [self.later(entered=str(entered), gate=str(gate)) for _ in range(count)]
        self.until(lambda: len(list(entered.iterdir())) >= count)
        return futures, gate

    def kill(self, pid: int) -> None:
        """SIGKILL a container."""
        os.kill(pid, signal.SIGKILL)

    def metric(self, name: str) -> list[float]:
        """Values of a metric of ``ep`` and its variant."""
        return self.metrics.values(name, EndpointName="ep", VariantName="AllTraffic")
