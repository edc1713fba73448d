"""Fleets: the instances of one variant, and the manager of all fleets (signatures; bodies follow)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sandbox.store import Params, Record, Scope

if TYPE_CHECKING:
    from sandbox.aws import LocalAws
    from sandbox.engine import EngineSettings
    from sandbox.logs import LogPublisher


class FleetFailed(Exception):
    """A fleet could not start or grow; the text is an endpoint's FailureReason."""


class Container(Protocol):
    hostname: str
    port: int
    url: str
    pid: int


@dataclass(eq=False)
class Instance:
    id: str
    state: str
    containers: list[Container] = field(default_factory=list)
    in_flight: int = 0
    started_at: float = 0.0


class Metrics(Protocol):
    def record(
        self, scope: Scope, namespace: str, name: str, unit: str, value: float, dimensions: tuple[tuple[str, str], ...]
    ) -> None: ...


class Fleet:
    scope: Scope
    endpoint_name: str
    variant_name: str
    model: Record
    production_variant: Params
    instances: list[Instance]
    deployed_images: list[Params]

    def in_service(self) -> list[Instance]:
        raise NotImplementedError

    async def start(self, count: int) -> None:
        raise NotImplementedError

    async def scale_to(self, count: int) -> None:
        raise NotImplementedError

    async def stop(self, *, drain: bool = True) -> None:
        raise NotImplementedError

    async def acquire(self, deadline: float) -> Instance:
        raise NotImplementedError

    def release(self, instance: Instance) -> None:
        raise NotImplementedError

    def report_failure(self, instance: Instance) -> None:
        raise NotImplementedError


class FleetManager:
    def __init__(self, settings: EngineSettings, aws: LocalAws, metrics: Metrics, logs: LogPublisher) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    def create(self, endpoint_name: str, production_variant: Params, model: Record, scope: Scope) -> Fleet:
        raise NotImplementedError

    def processes(self) -> list[Params]:
        raise NotImplementedError
