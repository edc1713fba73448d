"""The manager of all fleets: makes them, and holds what they share."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.errors import ServiceError
from sandbox.fleet.artifacts import ArtifactStore
from sandbox.fleet.concurrency import Concurrency
from sandbox.fleet.containers import definitions
from sandbox.fleet.fleet import Fleet
from sandbox.fleet.instances import Launcher
from sandbox.fleet.safe_ports import SafePorts
from sandbox.fleet.slots import Slots
from sandbox.fleet.utilization import Metrics, Utilization
from sandbox.store import Params, Record, Scope

if TYPE_CHECKING:
    from sandbox.aws import LocalAws
    from sandbox.engine import EngineSettings
    from sandbox.logs import LogPublisher


FleetMaker = Callable[[str, Params, Record, Scope, Launcher, Slots], Fleet]


@dataclass(frozen=True)
class ModelServer:
    """A model-server process, for people.

    Args:
        endpoint: Name of the endpoint.
        variant: Name of the variant.
        instance: Id of the instance.
        container: Hostname of the container.
        state: State of the instance.
        pid: Process id.
        port: Port on loopback.
        in_flight: Invocations that the instance works on.
    """

    endpoint: str
    variant: str
    instance: str
    container: str
    state: str
    pid: int
    port: int
    in_flight: int


class FleetManager:
    """Makes fleets, and holds what they share. Its attribute `slots` counts all model servers.

    Args:
        settings: Where files live, the clock, the limit of processes.
        aws: Where S3 is.
        metrics: Takes the utilization of instances; fleets of other kinds use it too.
        logs: Takes the output of containers.
    """

    def __init__(self, settings: EngineSettings, aws: LocalAws, metrics: Metrics, logs: LogPublisher) -> None:
        self._settings = settings
        self._gateway_url = aws.gateway_url
        self._logs = logs
        self.metrics = metrics
        self._artifacts = ArtifactStore(aws, settings.work_dir / "artifacts")
        self.slots = Slots(settings.max_model_servers)
        self._safe_ports = SafePorts()
        self._fleets: set[Fleet] = set()
        self._utilization = Utilization(metrics, settings.clock)
        self._concurrency = Concurrency(metrics, settings.clock)
        self._workers: ThreadPoolExecutor | None = None
        self._lifeline: tuple[int, int] | None = None
        self._sampling: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Empty the work folder and get ready."""
        await asyncio.to_thread(shutil.rmtree, self._settings.work_dir, ignore_errors=True)
        self._settings.work_dir.mkdir(parents=True)
        self._workers = ThreadPoolExecutor(8, thread_name_prefix="fleet")
        self._lifeline = os.pipe()
        self._sampling = [
            asyncio.create_task(each.run(self._with_instances))
            for each in (self._utilization, self._concurrency)
        ]

    async def stop(self) -> None:
        """End every fleet and every process."""
        for task in self._sampling:
            task.cancel()
        await asyncio.gather(*self._sampling, return_exceptions=True)
        await asyncio.gather(
            *(fleet.stop(drain=False) for fleet in list(self._fleets)), return_exceptions=True
        )
        if self._lifeline is not None:
            for descriptor in self._lifeline:  # whatever is left ends now
                os.close(descriptor)
            self._lifeline = None
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)

    def create(
        self,
        endpoint_name: str,
        production_variant: Params,
        model: Record,
        scope: Scope,
        make: FleetMaker = Fleet,
    ) -> Fleet:
        """A fleet without instances yet; `Fleet.start` brings them.

        Args:
            endpoint_name: Name of the endpoint.
            production_variant: The ProductionVariant of the endpoint configuration.
            model: The model that it serves.
            scope: Account and Region.
            make: What makes it: `Fleet`, or what takes the same arguments.

        Raises:
            ServiceError: ResourceLimitExceeded: the instances would not fit into the sandbox's limit.
        """
        serverless = production_variant.get("ServerlessConfig", {"ProvisionedConcurrency": 1})
        count = production_variant.get("InitialInstanceCount", serverless.get("ProvisionedConcurrency", 0))
        wanted = count * len(definitions(model.request))
        too_many = self.slots.exceeded_by(wanted)
        if too_many is not None:
            raise ServiceError("ResourceLimitExceeded", too_many)
        launcher = self.launcher(endpoint_name, production_variant, scope)
        fleet = make(endpoint_name, production_variant, model, scope, launcher, self.slots)
        fleet.on_started, fleet.on_stopped = self._fleets.add, self._fleets.discard
        return fleet

    def launcher(
        self, name: str, variant: Params, scope: Scope, make: Callable[..., Launcher] = Launcher
    ) -> Launcher:
        """What starts instances; who uses it counts them in `slots`, and ends them.

        Args:
            name: Name of the endpoint, or of what else they are for.
            variant: The ProductionVariant, or what stands for one.
            scope: Account and Region.
            make: What makes it: `Launcher`, or a kind of it.
        """
        if self._workers is None or self._lifeline is None:
            raise RuntimeError("the fleet manager is not running")
        return make(
            endpoint_name=name,
            variant=variant,
            scope=scope,
            work_dir=self._settings.work_dir,
            gateway_url=self._gateway_url,
            clock=self._settings.clock,
            artifacts=self._artifacts,
            logs=self._logs,
            lifeline=self._lifeline[0],
            workers=self._workers,
            safe_ports=self._safe_ports,
        )

    def _with_instances(self) -> list[Fleet]:
        return [fleet for fleet in self._fleets if fleet.has_instances]

    def processes(self) -> list[ModelServer]:
        """Every model server of the moment."""
        return [
            ModelServer(
                endpoint=fleet.endpoint_name,
                variant=fleet.variant_name,
                instance=instance.id,
                container=container.hostname,
                state=instance.state,
                pid=container.pid,
                port=container.port,
                in_flight=instance.in_flight,
            )
            for fleet in self._fleets
            for instance in fleet.instances
            for container in instance.containers
        ]
