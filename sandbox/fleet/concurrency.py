"""ConcurrentRequestsPerModel: how many requests an instance works on, the metric that reacts fastest.

SageMakerVariantConcurrentRequestsPerModelHighResolution tracks it in periods of 10 s
(https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-add-code-define.html).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sandbox.clock import Clock
from sandbox.fleet.utilization import Metrics

if TYPE_CHECKING:
    from sandbox.fleet.fleet import Fleet

NAMESPACE = "AWS/SageMaker"
METRIC = "ConcurrentRequestsPerModel"
PERIOD = 10
_SAMPLES = 10
_SHORTEST_PERIOD = 1.0  # real seconds: an idle endpoint should cost next to nothing


class Concurrency:
    """Samples the requests in flight on each instance and records them once in a period.

    Requests that wait in a container's queue count, as they are in flight. The Average over a period is the
    mean number per instance, the Maximum the busiest moment that was seen.

    Args:
        metrics: Where the values go.
        clock: Makes the period shorter on request, down to one real second.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._pause = max(_SHORTEST_PERIOD, clock.real(PERIOD)) / _SAMPLES

    async def run(self, fleets: Callable[[], Iterable[Fleet]]) -> None:
        """Measure until cancelled."""
        while True:
            seen: dict[Fleet, list[int]] = {}
            for _ in range(_SAMPLES):
                await asyncio.sleep(self._pause)
                for fleet in fleets():
                    if fleet.asynchronous:
                        continue  # its metrics are others (developer guide, "asynchronous endpoints")
                    seen.setdefault(fleet, []).extend(each.in_flight for each in fleet.in_service())
            for fleet, counts in seen.items():
                dimensions = (("EndpointName", fleet.endpoint_name), ("VariantName", fleet.variant_name))
                for count in counts:
                    self._metrics.record(fleet.scope, NAMESPACE, METRIC, "Count", float(count), dimensions)
