"""Why a fleet cannot serve, in the words of an endpoint's FailureReason."""

from __future__ import annotations

# DescribeEndpoint's FailureReason holds at most 1,024 characters (shape FailureReason)
_LONGEST = 1_024


class FleetFailed(Exception):
    """A fleet could not start or grow; the text is an endpoint's FailureReason.

    Args:
        reason: What happened and what to do, cut at the length that the API allows.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST - 3]}..."
        super().__init__(self.reason)
