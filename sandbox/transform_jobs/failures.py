"""Why objects and jobs fail, in the words of a job's FailureReason."""

from __future__ import annotations

# DescribeTransformJob's FailureReason holds at most 1,024 characters (shape FailureReason)
_LONGEST = 1_024

CLIENT_ERROR = "ClientError"
"""The data or the request are at fault."""
ALGORITHM_ERROR = "AlgorithmError"
"""The model or its server are at fault."""


class TransformFailed(Exception):
    """An object cannot be transformed, or the job cannot go on.

    Args:
        kind: `CLIENT_ERROR` or `ALGORITHM_ERROR`.
        reason: A sentence.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class InstanceLost(TransformFailed):
    """The model server of an instance has ended; the instance transforms nothing any more."""


def failure_reason(failures: list[tuple[str, TransformFailed]], objects: int) -> str:
    """The FailureReason of a job.

    Args:
        failures: URI and failure of each object that failed, or ``""`` for the job itself; at least one.
        objects: Objects of the job.
    """
    uri, first = failures[0]
    text = f"{first.kind}: {uri}: {first.reason}" if uri else f"{first.kind}: {first.reason}"
    if uri:
        text = f"{text.rstrip('.')}. {len(failures)} of {objects} objects failed. See job logs."
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
