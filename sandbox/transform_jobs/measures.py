"""CPU and memory of the instances of a job.

Metrics: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html (jobs: dimension Host)
"""

from __future__ import annotations

import logging

import psutil

from sandbox.clock import Clock
from sandbox.fleet import Instance
from sandbox.fleet.utilization import PERIOD, Metrics
from sandbox.store import Scope

log = logging.getLogger(__name__)

NAMESPACE = "/aws/sagemaker/TransformJobs"


class HostMeasures:
    """Measures the instances of a job each minute and at its end, so that a short job has data too.

    Args:
        metrics: Where the values go.
        scope: Account and Region.
        job_name: Name of the job.
        clock: Makes the minute shorter on request.
    """

    def __init__(self, metrics: Metrics, scope: Scope, job_name: str, clock: Clock) -> None:
        self._metrics = metrics
        self._scope = scope
        self._job_name = job_name
        self._clock = clock
        self._processes: dict[str, list[psutil.Process]] = {}

    async def watch(self, instances: list[Instance]) -> None:
        """Measure until cancelled, and then a last time."""
        for instance in instances:
            self._begin(instance)
        try:
            while True:
                await self._clock.sleep(PERIOD)
                self._record()
        finally:
            self._record()

    def _begin(self, instance: Instance) -> None:
        try:
            processes = [psutil.Process(container.pid) for container in instance.containers]
            for process in processes:
                process.cpu_percent()  # the first call begins the interval
        except psutil.Error:
            return
        self._processes[instance.id] = processes

    def _record(self) -> None:
        total = psutil.virtual_memory().total
        for instance, processes in self._processes.items():
            try:
                cpu = sum(process.cpu_percent() for process in processes)
                memory = sum(process.memory_info().rss for process in processes)
            except psutil.Error:  # it has ended
                continue
            host = (("Host", f"{self._job_name}/{instance}"),)
            for name, value in (("CPU", cpu), ("Memory", 100 * memory / total)):
                self._metrics.record(self._scope, NAMESPACE, f"{name}Utilization", "Percent", value, host)
