"""One job, from its first instance to its last."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.fleet import Instance
from sandbox.fleet.containers import ContainerPlan, plan
from sandbox.fleet.slots import Slots
from sandbox.fleet.utilization import Metrics
from sandbox.runtime.upstream import Upstream
from sandbox.store import Record, TransformJob
from sandbox.transform_jobs.data_log import DataLog
from sandbox.transform_jobs.failures import InstanceLost, TransformFailed
from sandbox.transform_jobs.launcher import TransformLauncher
from sandbox.transform_jobs.measures import HostMeasures
from sandbox.transform_jobs.model_client import ModelClient
from sandbox.transform_jobs.objects import InputObject, JobObjects
from sandbox.transform_jobs.settings import TransformSettings, environment_of, execution_parameters
from sandbox.transform_jobs.transform import Transform

log = logging.getLogger(__name__)

_STOP_GRACE = 2.0


@dataclass(frozen=True)
class Surroundings:
    """What all jobs share.

    Args:
        aws: The AWS underneath.
        metrics: Takes the use of instances.
        clock: The time scale.
        upstream: Connections to containers.
        executor: Where blocking work is done.
        slots: Counts model servers against the sandbox's limit.
        scratch: Folder for outputs that are not complete.
    """

    aws: LocalAws
    metrics: Metrics
    clock: Clock
    upstream: Upstream
    executor: Executor
    slots: Slots
    scratch: Path


class JobRun:
    """The work of one job. It has its slots when it begins, and has given them back when `run` ends.

    Args:
        job: The job.
        model: Its model.
        launcher: Starts its instances.
        log: Its data logs.
        around: What all jobs share.
        slots: Model servers that it may have.
    """

    def __init__(
        self,
        job: TransformJob,
        model: Record,
        launcher: TransformLauncher,
        data_log: DataLog,
        around: Surroundings,
        slots: int,
    ) -> None:
        self._job = job
        self._model = model
        self._launcher = launcher
        self._data_log = data_log
        self._around = around
        self._slots = slots
        self.instances: list[Instance] = []
        self.objects = 0
        self.failures: list[tuple[str, TransformFailed]] = []

    async def run(self, on_started: Callable[[], None]) -> None:
        """Transform all objects; those that cannot be are in `failures` afterwards.

        Args:
            on_started: Called when the instances are there.

        Raises:
            TransformFailed: There is nothing to transform, or its manifest is wrong.
            FleetFailed: The instances did not start.
        """
        measuring: asyncio.Task[None] | None = None
        try:
            store = JobObjects(self._around.aws, self._job.scope, self._around.executor, self._job.request)
            plans = self._plans()
            inputs = await store.inputs()
            self.objects = len(inputs)
            await self._launch(plans, len(inputs))
            on_started()
            measures = HostMeasures(self._around.metrics, self._job.scope, self._job.name, self._around.clock)
            measuring = asyncio.create_task(measures.watch(self.instances))
            settings = await self._settings()
            transform = Transform(
                self._job.request,
                settings,
                store,
                ModelClient(self._around.upstream, self._job.request, self._around.clock),
                self._around.executor,
            )
            async with asyncio.TaskGroup() as group:
                for position, instance in enumerate(self.instances):
                    share = deque(inputs[position :: len(self.instances)])
                    group.create_task(self._work(instance, share, transform, settings.concurrency))
        finally:
            if measuring is not None:
                measuring.cancel()
                await asyncio.gather(measuring, return_exceptions=True)
            await self._end()

    def _plans(self) -> list[ContainerPlan]:
        environment = environment_of(self._job.request)
        return [
            replace(each, environment=each.environment | environment) for each in plan(self._model.request)
        ]

    async def _launch(self, plans: list[ContainerPlan], objects: int) -> None:
        """Start the instances side by side; further ones than there are objects would have nothing to do."""
        count = min(self._job.request["TransformResources"]["InstanceCount"], objects)
        launches = [asyncio.create_task(self._launcher.launch(plans)) for _ in range(count)]
        try:
            self.instances = list(await asyncio.gather(*launches))
        except BaseException:
            for launch in launches:
                launch.cancel()
            results = await asyncio.gather(*launches, return_exceptions=True)
            self.instances = [result for result in results if isinstance(result, Instance)]
            raise
        unused = self._slots - count * len(plans)
        self._around.slots.give_back(unused)
        self._slots -= unused

    async def _settings(self) -> TransformSettings:
        suggested = await execution_parameters(self.instances[0])
        settings = TransformSettings.of(self._job.request, suggested)
        for instance in self.instances:
            self._data_log.write(instance, str(settings))
        return settings

    async def _work(
        self, instance: Instance, share: deque[InputObject], transform: Transform, concurrency: int
    ) -> None:
        """An instance's share of the objects: several of them under way if it takes several requests."""
        places = asyncio.Semaphore(concurrency)
        lost: list[InstanceLost] = []

        async def take() -> None:
            while share:
                source = share.popleft()
                if lost:
                    self._failed(instance, source, lost[0])
                    continue
                scratch = self._around.scratch / f"{instance.id}-{len(share)}"
                try:
                    await transform.run(source, instance, places, scratch)
                except TransformFailed as error:
                    if isinstance(error, InstanceLost):
                        lost.append(error)
                    self._failed(instance, source, error)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(share))):
                group.create_task(take())

    def _failed(self, instance: Instance, source: InputObject, error: TransformFailed) -> None:
        self.failures.append((source.uri, error))
        self._data_log.write(instance, f"{source.log_name}: {error.kind}: {error.reason}")

    async def _end(self) -> None:
        """End the instances and give the slots back, also when this is cancelled again meanwhile."""
        ending = asyncio.gather(*(instance.terminate(_STOP_GRACE) for instance in self.instances))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise
        finally:
            self._around.slots.give_back(self._slots)
            self._slots = 0
