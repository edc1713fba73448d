"""One invocation under way: what came in, where it went, what it took."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandbox.fleet import Instance
from sandbox.runtime.request import Invocation
from sandbox.store import Endpoint
from sandbox.traffic import Target


@dataclass(slots=True)
class Trip:
    """One invocation under way.

    Args:
        endpoint: The endpoint.
        invocation: The request.
        body: Its body.
        started: `perf_counter` at its arrival.
        deadline: Loop time at which it fails.
        copy_for: The shadow variant that this is a copy for; None for a caller's own request.
        copied: Whether the shadow variants have their copies.
        target: The variant it was sent to last.
        instance: The instance it was sent to last.
        model_seconds: Time in containers so far.
        status: Status of the model; 0 without an answer.
        container: Name of the last container, for messages.
        max_payload: Largest answer in bytes, if less than what is general.
        limit: What ends it at its deadline, while it is under way.
    """

    endpoint: Endpoint
    invocation: Invocation
    body: bytes
    started: float
    deadline: float
    copy_for: Target | None = None
    copied: bool = False
    target: Target | None = None
    instance: Instance | None = None
    model_seconds: float = 0.0
    status: int = 0
    container: str = "primary"
    max_payload: int | None = None
    limit: asyncio.Timeout | None = None
