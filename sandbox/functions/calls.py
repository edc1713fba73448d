"""What is called, with what, and what comes back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from sandbox.functions.images import Image
from sandbox.store import Scope

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""Request and response of a synchronous call (Lambda quotas)."""

MAX_RESPONSE_BYTES = MAX_PAYLOAD_BYTES + 100
"""What the Runtime API takes at most; it has room for an error around a payload."""


@dataclass(frozen=True)
class FunctionVersion:
    """A version of a function, as its configuration says; equal ones share execution environments.

    Args:
        scope: Account and Region.
        name: FunctionName.
        version: Its number, or ``$LATEST``.
        image: Digest of its image.
        handler: ``module.function``; empty when neither the image nor the function names one.
        entry_point: ImageConfig's EntryPoint; empty for the image's own.
        work_dir: ImageConfig's WorkingDirectory; empty for the image's own.
        variables: The function's environment variables, sorted.
        memory_mb: MemorySize.
        timeout: Timeout, seconds.
        log_group: Where its output goes.
        traced: TracingConfig is Active.
    """

    scope: Scope
    name: str
    version: str
    image: str
    handler: str
    entry_point: tuple[str, ...]
    work_dir: str
    variables: tuple[tuple[str, str], ...]
    memory_mb: int
    timeout: int
    log_group: str
    traced: bool

    @classmethod
    def of(cls, config: dict[str, Any], scope: Scope, image: Image) -> FunctionVersion:
        """From what the Lambda API shows as a function's configuration."""
        override = (config.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
        command = override.get("Command") or image.config.command
        variables = (config.get("Environment") or {}).get("Variables") or {}
        return cls(
            scope=scope,
            name=config["FunctionName"],
            version=config.get("Version", "$LATEST"),
            image=image.digest,
            handler=command[0] if command else "",
            entry_point=tuple(override.get("EntryPoint") or ()),
            work_dir=override.get("WorkingDirectory") or "",
            variables=tuple(sorted((name, str(value)) for name, value in variables.items())),
            memory_mb=int(config.get("MemorySize") or 128),
            timeout=int(config.get("Timeout") or 3),
            log_group=(config.get("LoggingConfig") or {}).get("LogGroup")
            or f"/aws/lambda/{config['FunctionName']}",
            traced=(config.get("TracingConfig") or {}).get("Mode") == "Active",
        )


@dataclass(frozen=True)
class Invocation:
    """One call.

    Args:
        request_id: Its id, for the context and the log.
        payload: The event, JSON.
        arn: The function's ARN as it was called, with the alias or version.
        trace: ``X-Amzn-Trace-Id``; empty without tracing.
    """

    request_id: str
    payload: bytes
    arn: str
    trace: str = ""

    @property
    def qualifier(self) -> str:
        """The alias or version that was called; empty when none was."""
        words = self.arn.split(":")
        return words[7] if len(words) > 7 else ""


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Args:
        payload: The answer, or the error, JSON.
        error_type: Why it failed, for example ``Sandbox.Timedout``; empty when it did not.
        log: The last 4 KB of its log.
    """

    payload: bytes
    error_type: str = ""
    log: str = ""


class Throttled(Exception):
    """A call would exceed a limit of concurrency.

    Args:
        reason: As in TooManyRequestsException.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("Rate Exceeded.")
        self.reason = reason


class Fault(Exception):
    """An execution environment failed; not the handler's own errors.

    Args:
        error_type: As Lambda names it, for example ``Runtime.ExitError``.
        message: For the caller.
        payload: The error as the environment told it; made of the other two when None.

    Attributes:
        log: The end of the environment's log, when it failed to start.
    """

    def __init__(self, error_type: str, message: str, payload: bytes | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.log = ""
        self._payload = payload

    def payload(self, request_id: str) -> bytes:
        """For the caller."""
        if self._payload is not None:
            return self._payload
        text = f"RequestId: {request_id} Error: {self}"
        return json.dumps({"errorType": self.error_type, "errorMessage": text}).encode()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
