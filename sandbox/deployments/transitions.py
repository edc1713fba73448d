"""The one place where an endpoint's status changes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sandbox.store import Endpoint

log = logging.getLogger(__name__)


def enter(endpoint: Endpoint, status: str, reason: str | None = None) -> None:
    """Bring an endpoint into a status (API_DescribeEndpoint, EndpointStatus).

    Args:
        endpoint: The endpoint.
        status: The new EndpointStatus.
        reason: FailureReason; None removes the old one.
    """
    endpoint.status = status
    endpoint.failure_reason = reason
    endpoint.modified_at = datetime.now(UTC)
    log.info("endpoint %s is %s%s", endpoint.name, status, f": {reason}" if reason else "")


def internal_reason(error: BaseException) -> str:
    """The FailureReason for a fault of the sandbox itself."""
    return f"Internal error of the sandbox, see its log: {type(error).__name__}: {error}"
