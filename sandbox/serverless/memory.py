"""The memory of a container: MemorySizeInMB, and what happens beyond."""

from __future__ import annotations

import psutil

from sandbox.fleet.instances import Instance

_MB = 1024 * 1024


class MemoryWatch:
    """Measures what a container holds in memory.

    A limit of the process (RLIMIT_AS) would count address space, of which numerical libraries reserve
    gigabytes that they never touch. So the resident memory is compared with the limit, as the kernel does for
    a container, and whoever takes more is ended, as there.

    Args:
        limit_mb: MemorySizeInMB.
    """

    def __init__(self, limit_mb: int) -> None:
        self._limit_mb = limit_mb
        self._processes: dict[int, psutil.Process] = {}

    def percent(self, instance: Instance) -> float | None:
        """Use in percent of the limit; None when the process is gone."""
        try:
            return (
                sum(self._resident(container.pid) for container in instance.containers)
                * 100
                / (self._limit_mb * _MB)
            )
        except psutil.Error:
            return None

    def forget(self, instance: Instance) -> None:
        """Measure an instance no more."""
        for container in instance.containers:
            self._processes.pop(container.pid, None)

    def _resident(self, pid: int) -> int:
        if pid not in self._processes:
            self._processes[pid] = psutil.Process(pid)
        return int(self._processes[pid].memory_info().rss)
