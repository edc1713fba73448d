"""Why jobs fail, in the words of their FailureReason."""

from __future__ import annotations

LONGEST_REASON = 1_024
"""Characters of a FailureReason (shape FailureReason)."""

CLIENT_ERROR = "ClientError"
"""The data or the request are at fault."""
ALGORITHM_ERROR = "AlgorithmError"
"""The program is at fault."""


class JobFailed(Exception):
    """A job cannot go on.

    Args:
        kind: `CLIENT_ERROR` or `ALGORITHM_ERROR`.
        reason: A sentence.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason


class TimeLimitExceeded(Exception):
    """A job ran for longer than its MaxRuntimeInSeconds."""
