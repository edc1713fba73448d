"""How many processor cores a container has, and how many of them are one worker's."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA_V2 = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def worker_cores() -> int:
    """This process's part of the container's cores, at least one.

    Numerical libraries take one thread for each core of the machine; a container may have fewer, and its
    model server may run several workers (SAGEMAKER_MODEL_SERVER_WORKERS; by default AWS's servers run one for
    each core).
    """
    workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
    return max(1, container_cores() // int(workers)) if workers.isdecimal() and int(workers) > 0 else 1


def container_cores() -> int:
    """Whole cores that this process may run on: its affinity, and the control group's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def _quota() -> float | None:
    """Cores that the control group's quota is worth; None when there is none."""
    try:
        if _QUOTA_V2.is_file():
            limit, period = _QUOTA_V2.read_text("ascii").split()
        else:
            limit, period = (path.read_text("ascii").strip() for path in _QUOTA_V1)
        return int(limit) / int(period) if int(limit) > 0 else None
    except (OSError, ValueError):  # no control group, or "max"
        return None
