"""What Lambda writes about calls: log lines around them, and metrics in AWS/Lambda."""

from __future__ import annotations

import math
import secrets
import time

from sandbox.functions.calls import FunctionVersion, Invocation
from sandbox.functions.environment import Environment
from sandbox.metrics import Dimensions, MetricPublisher

NAMESPACE = "AWS/Lambda"


def trace_header() -> str:
    """A value for ``X-Amzn-Trace-Id`` of a traced call."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=1"


def write_start(environment: Environment, call: Invocation) -> None:
    """The line before a call's own."""
    environment.lines.clear()
    environment.log(f"START RequestId: {call.request_id} Version: {environment.version.version}")


def write_end(environment: Environment, call: Invocation, seconds: float, error_type: str) -> str:
    """The lines after a call's own.

    Args:
        environment: Where it ran.
        call: The call.
        seconds: How long the handler took.
        error_type: Why the environment failed; empty when it did not.

    Returns:
        The last 4 KB of the call's log.
    """
    version, init = environment.version, environment.init_seconds
    duration = seconds * 1000
    # billed from the start of the initialisation on; one that was started ahead is billed otherwise
    first = environment.calls == 1 and not environment.provisioned
    billed = math.ceil(duration + (init * 1000 if first else 0))
    memory = math.ceil(environment.peak_memory_kb / 1024)
    if error_type == "Runtime.OutOfMemory":
        memory = version.memory_mb
    words = [
        f"REPORT RequestId: {call.request_id}",
        f"Duration: {duration:.2f} ms",
        f"Billed Duration: {billed} ms",
        f"Memory Size: {version.memory_mb} MB",
        f"Max Memory Used: {min(memory, version.memory_mb)} MB",
    ]
    if first:
        words.append(f"Init Duration: {init * 1000:.2f} ms")
    if error_type == "Sandbox.Timedout":
        words.append("Status: timeout")
    elif error_type:
        words.append(f"Status: error\tError Type: {error_type}")
    environment.log(f"END RequestId: {call.request_id}")
    environment.log("\t".join(words))
    if call.trace:
        parts = dict(part.partition("=")[::2] for part in call.trace.split(";"))
        environment.log(
            f"XRAY TraceId: {parts.get('Root', '')}\tSegmentId: {parts.get('Parent', '')}\tSampled: true"
        )
    return environment.log_tail


class Meter:
    """AWS/Lambda's metrics (AWS Lambda Developer Guide, types of metrics for Lambda functions).

    Args:
        metrics: To CloudWatch; used on the engine's loop.
    """

    def __init__(self, metrics: MetricPublisher) -> None:
        self._metrics = metrics

    def called(
        self,
        version: FunctionVersion,
        call: Invocation,
        *,
        milliseconds: float,
        failed: bool,
        concurrent: int,
        concurrent_in_all: int,
    ) -> None:
        """Count a call that was taken."""
        self._record(version, call, "Invocations", "Count", 1)
        self._record(version, call, "Errors", "Count", float(failed))
        self._record(version, call, "Throttles", "Count", 0)
        self._record(version, call, "Duration", "Milliseconds", milliseconds)
        self._record(version, call, "ConcurrentExecutions", "Count", concurrent)
        # of the account: it has no dimension
        self._metrics.record(version.scope, NAMESPACE, "ConcurrentExecutions", "Count", concurrent_in_all, ())

    def throttled(self, version: FunctionVersion, call: Invocation) -> None:
        """Count a call that was refused for want of concurrency."""
        self._record(version, call, "Throttles", "Count", 1)

    def provisioned(
        self, version: FunctionVersion, call: Invocation, *, spilled: bool, available: int, in_use: int
    ) -> None:
        """Count a call of a version that has environments started ahead."""
        name = (
            "ProvisionedConcurrencySpilloverInvocations" if spilled else "ProvisionedConcurrencyInvocations"
        )
        self._record(version, call, name, "Count", 1)
        self._record(version, call, "ProvisionedConcurrentExecutions", "Count", in_use)
        if available:
            share = in_use / available
            self._record(version, call, "ProvisionedConcurrencyUtilization", "Count", share)

    def _record(self, version: FunctionVersion, call: Invocation, name: str, unit: str, value: float) -> None:
        for dimensions in _dimensions(version, call):
            self._metrics.record(version.scope, NAMESPACE, name, unit, value, dimensions)


def _dimensions(version: FunctionVersion, call: Invocation) -> list[Dimensions]:
    function = ("FunctionName", version.name)
    if not call.qualifier:
        return [(function,)]
    resource = ("Resource", f"{version.name}:{call.qualifier}")
    return [(function,), (function, resource), (function, resource, ("ExecutedVersion", version.version))]
