"""Follows a deployment to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from client.connection import Connection
from client.durations import shown
from client.errors import UserError
from client.patterns import DeployedPattern
from client.waiting import MOVING
from client.watch.snapshot import Observer, Snapshot

COMPLETED, ROLLED_BACK, FAILED = "completed", "rolled back", "failed"

# while something happens, and while nothing does; AWS counts and throttles calls
_SANDBOX_SECONDS = (0.2, 0.5)
_AWS_SECONDS = (5.0, 5.0)

Show = Callable[[Snapshot, float], None]


@dataclass(frozen=True)
class Ending:
    """How a deployment ended.

    Args:
        result: ``completed``, ``rolled back`` or ``failed``.
        wanted_config: The configuration that was to be deployed; None if only weights or counts changed.
        last: What was seen at its end.
        seconds: How long it took from the first look at it.
        ended_at: When its end was seen, on the monotonic clock.
    """

    result: str
    wanted_config: str | None
    last: Snapshot
    seconds: float
    ended_at: float

    @property
    def reason(self) -> str:
        """What SageMaker says about its failure; often empty."""
        return self.last.endpoint.failure_reason or ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "result": self.result,
            "wanted_config": self.wanted_config,
            "serving_config": self.last.endpoint.serving_config,
            "reason": self.reason or None,
            "seconds": round(self.seconds, 1),
        }


class Follower:
    """Sees a deployment begin and end.

    Args:
        connection: Where.
        deployed: Whose endpoint.
        show: Called at each look, with the seconds since the first one.
    """

    def __init__(self, connection: Connection, deployed: DeployedPattern, show: Show) -> None:
        self._observer = Observer(connection, deployed)
        self._busy_pause, self._idle_pause = _SANDBOX_SECONDS if connection.is_sandbox else _AWS_SECONDS
        self._show = show
        self._started = time.monotonic()
        self._begun: float | None = None
        self._before: str | None = None
        self._wanted: str | None = None
        self._rolling_back = False

    def follow(self, keep_waiting: Callable[[], bool]) -> Ending | None:
        """Look until a deployment that was seen has ended.

        Args:
            keep_waiting: Asked while none is under way: whether one may still begin.

        Returns:
            None if none began.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SageMaker could not be asked.
        """
        while True:
            may_begin = keep_waiting()
            ending = self.look()
            if ending is not None or (self._begun is None and not may_begin):
                return ending
            time.sleep(self._idle_pause if self._begun is None else self._busy_pause)

    def look(self) -> Ending | None:
        """Look once, show it, and tell whether a deployment has just ended."""
        snapshot = self._observer.look()
        now = time.monotonic()
        self._show(snapshot, now - self._started)
        endpoint = snapshot.endpoint
        if endpoint.status in MOVING:
            self._begun = self._begun or now
            self._wanted = snapshot.pending_config or self._wanted
            self._rolling_back = self._rolling_back or endpoint.status == "RollingBack"
            return None
        if self._before is not None and endpoint.serving_config != self._before and self._begun is None:
            self._begun = now  # over before it was seen
        self._before = endpoint.serving_config
        if self._begun is None:
            return None
        begun, self._begun = self._begun, None
        return Ending(self._result(snapshot), self._wanted, snapshot, now - begun, now)

    def _result(self, snapshot: Snapshot) -> str:
        endpoint = snapshot.endpoint
        if endpoint.status != "InService":
            return FAILED
        if self._rolling_back or (self._wanted and self._wanted != endpoint.serving_config):
            return ROLLED_BACK
        return COMPLETED


def watch(connection: Connection, deployed: DeployedPattern, show: Show, *, wait_seconds: float) -> Ending:
    """Follow the deployment that is under way, or the next one.

    Args:
        connection: Where.
        deployed: Whose endpoint.
        show: Called at each look.
        wait_seconds: How long to wait for one to begin.

    Raises:
        UserError: None began.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SageMaker could not be asked.
    """
    deadline = time.monotonic() + wait_seconds
    ending = Follower(connection, deployed, show).follow(lambda: time.monotonic() < deadline)
    if ending is None:
        raise UserError(
            f"No deployment of endpoint {deployed.endpoint_name} began within {shown(wait_seconds)}",
            "Deploy a change in another terminal while this runs; --wait says how long it waits.",
        )
    return ending
