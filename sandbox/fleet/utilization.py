"""CPU, memory and disk use of instances, as SageMaker publishes it each minute.

Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html (instance metrics)
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import psutil

from sandbox.clock import Clock
from sandbox.store import Scope

if TYPE_CHECKING:
    from sandbox.fleet.fleet import Fleet

log = logging.getLogger(__name__)

NAMESPACE = "/aws/sagemaker/Endpoints"
PERIOD = 60
# size of an instance's volume when the variant names none (VolumeSizeInGB); SageMaker's varies by type
_VOLUME_GB = 30


class Metrics(Protocol):
    """Where metrics go (sandbox.metrics.MetricPublisher)."""

    def record(
        self,
        scope: Scope,
        namespace: str,
        name: str,
        unit: str,
        value: float,
        dimensions: tuple[tuple[str, str], ...],
    ) -> None:
        """Take one value."""


class Sample(NamedTuple):
    """An instance's use in percent; of the CPU 100 for each core.

    Args:
        containers: CPU and memory of each of its containers.
        disk: Of all of them.
    """

    containers: list[tuple[float, float]]
    disk: float


class Utilization:
    """Measures every instance once a minute and records the result for its variant and its containers.

    A container of several has metrics of its own, and the instance has the sums. Memory counts against this
    machine's, disk against the variant's volume.

    Args:
        metrics: Where the values go.
        clock: Makes the minute shorter on request.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._processes: dict[int, psutil.Process] = {}

    async def run(self, fleets: Callable[[], Iterable[Fleet]]) -> None:
        """Measure until cancelled."""
        while True:
            await self._clock.sleep(PERIOD)
            try:
                await self.record(fleets())
            except Exception:  # serving goes on without these metrics
                log.exception("utilization could not be measured")

    async def record(self, fleets: Iterable[Fleet]) -> None:
        """Measure all instances once."""
        instances = [(fleet, instance) for fleet in fleets for instance in fleet.instances]
        measured = [
            (
                [container.pid for container in instance.containers],
                instance.root,
                fleet.production_variant.get("VolumeSizeInGB", _VOLUME_GB),
            )
            for fleet, instance in instances
        ]
        samples = await asyncio.to_thread(self._measure, measured)
        for (fleet, instance), sample in zip(instances, samples, strict=True):
            if sample is None:
                continue
            cpu, memory = (sum(values) for values in zip(*sample.containers, strict=True))
            self._record(fleet, {"CPU": cpu, "Memory": memory, "Disk": sample.disk})
            if len(sample.containers) > 1:
                for container, (cpu, memory) in zip(instance.containers, sample.containers, strict=True):
                    self._record(fleet, {"CPU": cpu, "Memory": memory}, ("ContainerName", container.hostname))

    def _record(self, fleet: Fleet, used: dict[str, float], *more: tuple[str, str]) -> None:
        dimensions = (("EndpointName", fleet.endpoint_name), ("VariantName", fleet.variant_name), *more)
        for name, value in used.items():
            self._metrics.record(fleet.scope, NAMESPACE, f"{name}Utilization", "Percent", value, dimensions)

    def _measure(self, instances: list[tuple[list[int], Path, float]]) -> list[Sample | None]:
        current = {pid for pids, _, _ in instances for pid in pids}
        self._processes = {pid: process for pid, process in self._processes.items() if pid in current}
        total = psutil.virtual_memory().total
        return [self._sample(pids, root, volume, total) for pids, root, volume in instances]

    def _sample(self, pids: list[int], root: Path, volume_gb: float, memory_total: int) -> Sample | None:
        """Use of one instance since the last sample; None the first time, when there is no interval yet."""
        new = [pid for pid in pids if pid not in self._processes]
        try:
            for pid in new:
                self._processes[pid] = psutil.Process(pid)
            processes = [self._processes[pid] for pid in pids]
            used = [
                (process.cpu_percent(), 100 * process.memory_info().rss / memory_total)
                for process in processes
            ]
        except psutil.Error:  # it ended meanwhile
            return None
        if new:
            return None
        return Sample(used, 100 * _size(root) / (volume_gb * 1024**3))


def _size(root: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118  (walk gives strings)
            except FileNotFoundError:
                continue
    return total
