"""CloudWatch Logs: what containers and invocations write, sent in batches."""

from __future__ import annotations

from sandbox.aws import LocalAws
from sandbox.store import Scope


class LogPublisher:
    """Collects log events from any thread and sends them each second."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws

    async def start(self) -> None:
        """Begin sending."""

    async def stop(self) -> None:
        """Send what is left and end."""

    def write(self, scope: Scope, group: str, stream: str, message: str, timestamp: int | None = None) -> None:
        """Add one event; timestamp in milliseconds since 1970, now when None."""
