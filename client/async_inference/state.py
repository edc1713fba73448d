"""How an asynchronous endpoint's queue is, and how many instances work on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from client.connection import Connection
from client.metrics import HOUR, Figures, Queries, Window, figures, newest_figures
from client.patterns import DeployedPattern
from client.status import EndpointStatus, endpoint_problems, endpoint_status

# by endpoint and by variant (developer guide, monitoring asynchronous endpoints)
_COUNTS: Queries = {
    "processed": ("InvocationsProcessed", "Sum"),
    "failed": ("InvocationFailures", "Sum"),
    "expired": ("ExpiredRequests", "Sum"),
}
_QUEUE: Queries = {
    "backlog": ("ApproximateBacklogSize", "Maximum"),
    "oldest_seconds": ("ApproximateAgeOfOldestRequest", "Maximum"),
    "waiting_without_instance": ("HasBacklogWithoutCapacity", "Maximum"),
}


@dataclass
class QueueState:
    """An asynchronous endpoint as it is now.

    Args:
        endpoint: The endpoint itself.
        queue: ``backlog`` (requests that wait or are worked on), ``oldest_seconds``,
            ``waiting_without_instance`` (1 if requests wait and there is no instance); None where CloudWatch
            has nothing.
        last_hour: ``processed``, ``failed``, ``expired``.
        problems: Why the endpoint is not what its stack asked for.
    """

    endpoint: EndpointStatus
    queue: Figures
    last_hour: Figures
    problems: list[str] = field(default_factory=list)

    @property
    def instances(self) -> int:
        """Instances in service, over all variants."""
        return instances_of(self.endpoint)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "endpoint": self.endpoint.name,
            "status": self.endpoint.status,
            "instances": self.instances,
            "queue": self.queue,
            "last_hour": self.last_hour,
            "variants": [asdict(one) for one in self.endpoint.variants],
            "problems": self.problems,
        }


def instances_of(endpoint: EndpointStatus) -> int:
    """Instances in service, over all production variants."""
    return sum(one.instances or 0 for one in endpoint.production_variants)


def queue_state(connection: Connection, deployed: DeployedPattern) -> QueueState:
    """Ask SageMaker and CloudWatch.

    Raises:
        UserError: The stack has no endpoint.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: One of them could not be asked.
    """
    endpoint = endpoint_status(connection, deployed)
    whole = {"EndpointName": endpoint.name}
    latest = newest_figures(connection, whole, _QUEUE, Window.latest(connection))
    by_variant = figures(
        connection,
        {one.name: {**whole, "VariantName": one.name} for one in endpoint.variants},
        _COUNTS,
        HOUR,
    )
    hour: Figures = {}
    for key in _COUNTS:
        known = [one[key] for one in by_variant.values() if one[key] is not None]
        hour[key] = sum(value for value in known if value is not None) if known else None
    return QueueState(endpoint, latest, hour, endpoint_problems(endpoint))
