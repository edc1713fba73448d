"""Zeros for variants without traffic.

Without invocations there is no InvocationsPerInstance, an alarm without data never fires, and a fleet would
stay as large as its last burst made it. SageMaker therefore reports zeros for scaled variants ("Auto
scaling policy overview" in its guide). A zero changes no Sum.
"""

from __future__ import annotations

import asyncio
import logging

from sandbox.autoscaling.records import Registry
from sandbox.autoscaling.tracking import counts_invocations
from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

_HALF_PERIOD = 30  # seconds: twice in each period of the alarms
_SHORTEST = 0.5  # real seconds
_DATA_PER_REQUEST = 1000  # PutMetricData


class IdleMetrics:
    """Publishes zeros for every target that is tracked by its invocations."""

    def __init__(self, registry: Registry, aws: LocalAws, clock: Clock) -> None:
        self._registry = registry
        self._aws = aws
        self._interval = max(_SHORTEST, clock.real(_HALF_PERIOD))
        self._failing = False

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            data: dict[Scope, list[Params]] = {}
            for policy in self._registry.all_policies():
                if counts_invocations(policy):
                    data.setdefault(policy.target.scope, []).append(
                        _zero(*policy.target.endpoint_and_variant)
                    )
            for scope, zeros in data.items():
                await asyncio.to_thread(self._publish, scope, zeros)
            await asyncio.sleep(self._interval)

    def _publish(self, scope: Scope, zeros: list[Params]) -> None:
        try:
            client = self._aws.client("cloudwatch", scope)
            for start in range(0, len(zeros), _DATA_PER_REQUEST):
                client.put_metric_data(
                    Namespace="AWS/SageMaker", MetricData=zeros[start : start + _DATA_PER_REQUEST]
                )
            self._failing = False
        except Exception as error:  # whatever CloudWatch's trouble, the next round tries again
            if not self._failing:
                log.warning("metrics of idle variants could not be published: %s", error)
            self._failing = True


def _zero(endpoint: str, variant: str) -> Params:
    return {
        "MetricName": "InvocationsPerInstance",
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        "Unit": "Count",
        "Value": 0.0,
    }
