"""The SageMaker emulator as a whole: one thread with its own event loop, and the doors into it.

All state is touched on that loop only. The gateway's loop comes in through `handle`, CloudFormation's
worker threads through `call`, and invocations arrive at the runtime listener, which runs on the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from sandbox.async_queue import AsyncQueues
from sandbox.autoscaling import ApplicationAutoScaling
from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.control_plane import ControlPlane
from sandbox.control_plane.jobs import ProcessingJobApi, TrainingJobApi
from sandbox.control_plane.model_packages import ModelPackages
from sandbox.control_plane.pipeline_executions import PipelineExecutionApi
from sandbox.deployments import Deployments
from sandbox.events import EventPublisher
from sandbox.fleet import FleetManager
from sandbox.functions.images import ImageStore
from sandbox.functions.service import Functions
from sandbox.home import SECRET
from sandbox.jobs import Jobs
from sandbox.logs import LogPublisher
from sandbox.metrics import MetricPublisher
from sandbox.pipelines import PipelineExecutions
from sandbox.protocol import Response, answer
from sandbox.runtime import RuntimeListener
from sandbox.store import Params, Scope, Stores
from sandbox.transform_jobs import TransformJobs

T = TypeVar("T")


@dataclass(frozen=True)
class EngineSettings:
    """What the engine is started with.

    Args:
        gateway_port: Port of the AWS underneath, on loopback.
        runtime_port: Port of the invocation listener, on loopback.
        work_dir: Where model directories and logs of model servers live; removed and made anew at start.
        clock: The time scale.
        max_model_servers: Model-server processes over all endpoints at most.
        max_payload_bytes: Largest request and response body of a real-time invocation.
        queue_dir: Where the queues of asynchronous endpoints are; beside `work_dir` by default. It is kept
            when the process is killed.
    """

    gateway_port: int
    runtime_port: int
    work_dir: Path
    clock: Clock = field(default_factory=Clock)
    max_model_servers: int = 24
    max_payload_bytes: int = 25 * 1024 * 1024
    queue_dir: Path | None = None


class Engine:
    """Starts and stops the emulator's parts and passes calls to them."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.stores = Stores()
        self.aws = LocalAws(f"http://127.0.0.1:{settings.gateway_port}")
        self.metrics = MetricPublisher(self.aws, interval=settings.clock.publish_interval)
        self.logs = LogPublisher(self.aws)
        self.fleets = FleetManager(settings, self.aws, self.metrics, self.logs)
        self.events = EventPublisher(self.stores)
        queue_dir = settings.queue_dir or settings.work_dir.with_name("async-queues")
        self.queues = AsyncQueues(queue_dir, self.aws, self.metrics, self.logs, settings.clock)
        self.deployments = Deployments(
            self.stores, self.fleets, self.aws, settings.clock, self.events, self.queues
        )
        self.transform_jobs = TransformJobs(
            self.fleets,
            self.aws,
            self.logs,
            self.events,
            settings.clock,
            settings.work_dir / "transform-jobs",
        )
        self.control_plane = ControlPlane(self.stores, self.deployments, self.aws, self.transform_jobs)
        self.jobs = Jobs(self.aws, self.logs, self.events, settings.clock, settings.work_dir / "jobs")
        self.pipelines = PipelineExecutions(
            self.stores, self.control_plane.call, self.aws, self.events, self.metrics, settings.clock
        )
        for api in (
            ProcessingJobApi(self.stores, self.jobs),
            TrainingJobApi(self.stores, self.jobs),
            ModelPackages(self.stores, self.events),
            PipelineExecutionApi(self.stores, self.pipelines),
        ):
            self.control_plane.add_operations(api.operations)
        self.autoscaling = ApplicationAutoScaling(self.control_plane, self.aws, settings.clock)
        self.runtime = RuntimeListener(
            settings, self.stores, self.metrics, self.logs, self.aws, queues=self.queues
        )
        self.functions = Functions(
            settings.work_dir / "functions",
            ImageStore(settings.work_dir / "images"),
            self._function_environment,
            self.metrics,
            self.logs,
            settings.clock,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread and return when the runtime listener accepts connections.

        Raises:
            OSError: The runtime port is taken.
        """
        ready = threading.Event()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="sagemaker", daemon=True)
        self._thread.start()
        ready.wait()
        self._submit(self._start_parts()).result()

    def stop(self) -> None:
        """Stop every part and every model server, and end the thread."""
        if self._loop is None or self._thread is None:
            return
        self._submit(self._stop_parts()).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop = None

    async def handle(self, service: str, headers: dict[str, str], body: bytes, scope: Scope) -> Response:
        """Answer a JSON 1.1 request of `sagemaker` or `application-autoscaling`, from any event loop."""
        return await asyncio.wrap_future(self._submit(answer(self._api(service), headers, body, scope)))

    def call(self, service: str, operation: str, params: Params, scope: Scope) -> Params:
        """Call an operation from a worker thread and wait for its answer.

        Raises:
            ServiceError: As the API would answer.
        """
        answered: Params = self._submit(self._api(service).call(operation, params, scope)).result()
        return answered

    def scale_on_alarm(self, policy_arn: str, alarm_name: str, state: str, scope: Scope) -> None:
        """Tell Application Auto Scaling that an alarm calls one of its policies; returns at once.

        CloudWatch calls this at every evaluation while the alarm is in the state.
        """
        self._submit(self.autoscaling.alarm_fired(policy_arn, alarm_name, state, scope))

    def _function_environment(self, scope: Scope) -> dict[str, str]:
        """With this a function finds the sandbox's AWS."""
        return {
            "AWS_ENDPOINT_URL": self.aws.gateway_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{self.settings.runtime_port}",
            "AWS_REGION": scope.region,
            "AWS_DEFAULT_REGION": scope.region,
            "AWS_ACCESS_KEY_ID": scope.account,  # a 12-digit key tells the gateway the account
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _api(self, service: str) -> ControlPlane | ApplicationAutoScaling:
        return self.control_plane if service == "sagemaker" else self.autoscaling

    def _run(self, ready: threading.Event) -> None:
        assert self._loop is not None  # noqa: S101
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(ready.set)
        self._loop.run_forever()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Any:
        if self._loop is None:
            work.close()
            raise RuntimeError("the engine is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _start_parts(self) -> None:
        await self.metrics.start()
        await self.logs.start()
        await self.fleets.start()
        await self.queues.start()
        await self.functions.start()
        await self.runtime.start()

    async def _stop_parts(self) -> None:
        await self.runtime.stop()
        await self.autoscaling.stop()
        await self.deployments.stop()
        await self.transform_jobs.close()
        await self.pipelines.close()
        await self.jobs.close()
        await self.events.stop()
        await self.functions.stop()
        await self.queues.stop()
        await self.fleets.stop()
        await self.metrics.stop()
        await self.logs.stop()
