"""The one place where an endpoint's status and a variant's stage change; EventBridge hears of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.events import DEPLOYMENT_CHANGE, STATE_CHANGE, EventPublisher
from sandbox.store import Endpoint, Stage, Variant

log = logging.getLogger(__name__)

_DEPLOYING = {"Updating", "RollingBack"}


@dataclass(frozen=True)
class Transitions:
    """Changes what DescribeEndpoint shows, and tells.

    Args:
        events: To EventBridge.
        guarded: Whether the endpoint supports deployment guardrails; of others no deployment state changes
            are told (developer guide, "Exclusions").
    """

    events: EventPublisher
    guarded: bool = True

    def enter(self, endpoint: Endpoint, status: str, reason: str | None = None) -> None:
        """Bring an endpoint into a status (API_DescribeEndpoint, EndpointStatus); ends its variants' stages.

        Args:
            endpoint: The endpoint.
            status: The new EndpointStatus.
            reason: FailureReason; None removes the old one.
        """
        _clear(endpoint)
        deploys = not _DEPLOYING.isdisjoint((endpoint.status, status))
        endpoint.status = status
        endpoint.failure_reason = reason
        endpoint.modified_at = datetime.now(UTC)
        log.info("endpoint %s is %s%s", endpoint.name, status, f": {reason}" if reason else "")
        self.events.publish(endpoint, STATE_CHANGE)
        if deploys and self.guarded:
            self.events.publish(endpoint, DEPLOYMENT_CHANGE)

    def stage(
        self,
        endpoint: Endpoint,
        variants: Iterable[Variant],
        status: str,
        message: Callable[[Variant], str],
    ) -> None:
        """Bring variants into a stage (API_ProductionVariantStatus).

        Args:
            endpoint: The endpoint.
            variants: Those to which it is done; nothing is done to the others then.
            status: ``Creating``, ``Updating``, ``Deleting``, ``ActivatingTraffic`` or ``Baking``.
            message: StatusMessage of a variant.
        """
        now = datetime.now(UTC)
        _clear(endpoint)
        for variant in variants:
            variant.stage = Stage(status, message(variant), now)
            log.info(
                "endpoint %s, variant %s: %s: %s", endpoint.name, variant.name, status, variant.stage.message
            )
        if self.guarded:
            self.events.publish(endpoint, DEPLOYMENT_CHANGE)

    def settle(self, endpoint: Endpoint, status: str, reason: str | None = None) -> None:
        """`enter` a status at the end of an update."""
        _clear(endpoint)
        endpoint.pending = None
        self.enter(endpoint, status, reason)


def internal_reason(error: BaseException) -> str:
    """The FailureReason for a fault of the sandbox itself."""
    return f"Internal error of the sandbox, see its log: {type(error).__name__}: {error}"


def _clear(endpoint: Endpoint) -> None:
    pending = endpoint.pending
    coming = {**pending.variants, **pending.shadow_variants} if pending is not None else {}
    for variant in (*endpoint.all_variants.values(), *coming.values()):
        variant.stage = None
