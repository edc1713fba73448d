"""The metrics that only serverless variants have.

https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-monitoring.html lists all that are
published for them; those of each invocation are recorded where those of instances are (runtime.observe).
"""

from __future__ import annotations

from sandbox.fleet.utilization import NAMESPACE as INSTANCE_NAMESPACE
from sandbox.fleet.utilization import Metrics
from sandbox.serverless.size import ServerlessSize
from sandbox.store import Scope

NAMESPACE = "AWS/SageMaker"


class Measures:
    """Counts requests under way and publishes.

    Utilization is recorded several times a second while there are containers, each time the largest since
    the time before: bursts that are shorter are seen, and a variant at zero publishes nothing.

    Args:
        metrics: Where the values go.
        scope: Account and Region.
        endpoint_name: EndpointName.
        variant_name: VariantName.
    """

    def __init__(self, metrics: Metrics, scope: Scope, endpoint_name: str, variant_name: str) -> None:
        self._metrics = metrics
        self._scope = scope
        self._dimensions = (("EndpointName", endpoint_name), ("VariantName", variant_name))
        self._peak = 0

    def began(self, executing: int, size: ServerlessSize) -> None:
        """A request was let in; `executing` counts it too."""
        self._peak = max(self._peak, executing)
        if size.provisioned:
            spilled = executing > size.provisioned
            name = "SpilloverInvocations" if spilled else "Invocations"
            self._record(f"ServerlessProvisionedConcurrency{name}", "Count", 1.0)

    def set_up(self, seconds: float) -> None:
        """A container was started for a request."""
        self._record("ModelSetupTime", "Microseconds", float(round(seconds * 1_000_000)))

    def utilization(self, executing: int, size: ServerlessSize) -> None:
        """Record how busy the variant was since the last call."""
        peak, self._peak = max(self._peak, executing), executing
        self._record(
            "ServerlessConcurrentExecutionsUtilization", "None", min(1.0, peak / size.max_concurrency)
        )
        if size.provisioned:
            self._record("ServerlessProvisionedConcurrencyExecutions", "Count", float(peak))
            self._record("ServerlessProvisionedConcurrencyUtilization", "None", peak / size.provisioned)

    def memory(self, percent: float) -> None:
        """Record a container's use of its memory."""
        self._metrics.record(
            self._scope, INSTANCE_NAMESPACE, "MemoryUtilization", "Percent", percent, self._dimensions
        )

    def _record(self, name: str, unit: str, value: float) -> None:
        self._metrics.record(self._scope, NAMESPACE, name, unit, value, self._dimensions)
