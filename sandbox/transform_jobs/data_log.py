"""What a job says of itself: ``<job>/<instance>-<epoch>/data-log`` in its log group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from sandbox.fleet import Instance
from sandbox.store import Scope
from sandbox.transform_jobs.launcher import TransformLauncher


class Logs(Protocol):
    """Where log events go (sandbox.logs.LogPublisher)."""

    def write(self, scope: Scope, group: str, stream: str, message: str) -> None:
        """Add one event."""


class DataLog:
    """The data logs of a job's instances.

    Args:
        logs: Where lines go.
        launcher: Knows the names of log streams.
    """

    def __init__(self, logs: Logs, launcher: TransformLauncher) -> None:
        self._logs = logs
        self._launcher = launcher

    def write(self, instance: Instance, text: str) -> None:
        """Add a line, in the form in which SageMaker writes them."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        stream = f"{self._launcher.stream(instance)}/data-log"
        self._logs.write(
            self._launcher.scope, self._launcher.log_group, stream, f"{moment}:[sagemaker logs]: {text}"
        )
