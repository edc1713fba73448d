"""What can be seen of an endpoint and its fleets at one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from client.connection import Connection
from client.metrics import Figures, Window, fleet_figures
from client.patterns import DeployedPattern
from client.status import AlarmStatus, EndpointStatus, alarm_states, endpoint_status

T = TypeVar("T")


@dataclass(frozen=True)
class Fleet:
    """The instances of one endpoint configuration.

    Args:
        config: The configuration.
        role: ``serves``, or during an update ``old`` and ``new``; ``gone`` for one that is no more.
        invocations: Requests that it got in the window.
        errors: Those of them that failed.
        share: Its part of the endpoint's requests in the window, 0 to 1; None if there were none.
        instances: Instances that serve; None if not known.
        desired_instances: Instances that there should be.
    """

    config: str
    role: str
    invocations: float
    errors: float
    share: float | None
    instances: int | None = None
    desired_instances: int | None = None

    @property
    def error_rate(self) -> float | None:
        """Part of its requests that failed, 0 to 1; None if it got none."""
        return self.errors / self.invocations if self.invocations else None


@dataclass(frozen=True)
class Snapshot:
    """An endpoint at one moment.

    Args:
        endpoint: Its state.
        fleets: Those of its configurations, the older ones first.
        alarms: The alarms that roll an update back.
        stages: What is being done, in SageMaker's words: variant, stage, message.
        notes: What could not be found out.
    """

    endpoint: EndpointStatus
    fleets: tuple[Fleet, ...]
    alarms: tuple[AlarmStatus, ...]
    stages: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def pending_config(self) -> str | None:
        """The configuration that is being deployed; None if none is."""
        update = self.endpoint.update
        return str(update["config"]) if update and update["config"] else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "status": self.endpoint.status,
            "serving_config": self.endpoint.serving_config,
            "pending_config": self.pending_config,
            "failure_reason": self.endpoint.failure_reason,
            "fleets": [
                {
                    "config": one.config,
                    "role": one.role,
                    "share": one.share,
                    "invocations": one.invocations,
                    "error_rate": one.error_rate,
                    "instances": one.instances,
                }
                for one in self.fleets
            ],
            "alarms": {one.name: one.state for one in self.alarms},
            "stages": list(self.stages),
        }


class Observer:
    """Looks at an endpoint again and again, and remembers which configurations it had.

    Args:
        connection: Where.
        deployed: Whose endpoint.
    """

    def __init__(self, connection: Connection, deployed: DeployedPattern) -> None:
        self._connection = connection
        self._deployed = deployed
        self._configs: list[str] = []

    def look(self) -> Snapshot:
        """Ask SageMaker and CloudWatch; what CloudWatch may not tell is left out with a note.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SageMaker could not be asked.
        """
        endpoint = endpoint_status(self._connection, self._deployed)
        update = endpoint.update or {}
        for config in (endpoint.serving_config, update.get("config")):
            if config and config not in self._configs:
                self._configs.append(config)
        configs = self._configs[-2:]
        notes: list[str] = []
        figures = _optional("traffic of the fleets", notes, lambda: self._figures(endpoint, configs)) or {}
        alarms = _optional(
            "alarms", notes, lambda: alarm_states(self._connection, self._deployed.rollback_alarms)
        )
        return Snapshot(
            endpoint,
            tuple(_fleets(endpoint, configs, figures)),
            tuple(alarms or ()),
            tuple(_stages(endpoint)),
            tuple(notes),
        )

    def _figures(self, endpoint: EndpointStatus, configs: Sequence[str]) -> dict[str, Figures]:
        names = [one.name for one in endpoint.production_variants] or self._deployed.variant_names
        window = Window.latest(self._connection)
        return fleet_figures(self._connection, endpoint.name, names, configs, window)


def _fleets(endpoint: EndpointStatus, configs: Sequence[str], figures: dict[str, Figures]) -> list[Fleet]:
    update = endpoint.update or {}
    pending = update.get("config")
    total = sum(figures.get(config, {}).get("invocations") or 0 for config in configs)
    fleets = []
    for config in configs:
        found = figures.get(config, {})
        invocations = found.get("invocations") or 0.0
        errors = (found.get("errors_4xx") or 0.0) + (found.get("errors_5xx") or 0.0)
        if config == pending:
            role, variants = "new", update["variants"]
            instances = sum(one["instances"] or 0 for one in variants)
            desired = sum(one["desired_instances"] or 0 for one in variants)
        elif config == endpoint.serving_config:
            role = "old" if pending else "serves"
            instances = sum(one.instances or 0 for one in endpoint.production_variants)
            desired = sum(one.desired_instances or 0 for one in endpoint.production_variants)
        else:
            role, instances, desired = "gone", 0, 0
        share = invocations / total if total else None
        fleets.append(Fleet(config, role, invocations, errors, share, instances, desired))
    return fleets


def _stages(endpoint: EndpointStatus) -> list[str]:
    if not endpoint.update:
        return []
    stages = []
    for one in endpoint.update["variants"]:
        for status, message in zip(
            one["stages"], [*one["messages"], *[""] * len(one["stages"])], strict=False
        ):
            stages.append(f"{one['name']} {status}" + (f": {message}" if message else ""))
    return stages


def _optional(what: str, notes: list[str], ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except ClientError as error:
        details = error.response.get("Error", {})
        notes.append(f"{what}: {details.get('Code')}: {details.get('Message')}")
        return None
