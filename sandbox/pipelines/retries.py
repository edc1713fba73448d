"""RetryPolicies of steps (developer guide, "Retry policy for pipeline steps")."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sandbox.clock import Clock
from sandbox.store import Params

RETRIED_TYPES = {"Processing", "Training", "Tuning", "AutoML", "Model", "RegisterModel", "Transform"}
EXCEPTION_TYPES = {
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
    "Emr.RESOURCE_LIMIT",
}
_MOST = {"IntervalSeconds": 43_200, "MaxAttempts": 20, "ExpireAfterMin": 14_400}


def problems(policies: Any, step_type: str) -> Iterator[str]:
    """What is wrong with the RetryPolicies of a step."""
    if not isinstance(policies, list) or not all(isinstance(policy, dict) for policy in policies):
        yield "RetryPolicies must be a list of objects"
        return
    if policies and step_type not in RETRIED_TYPES:
        yield f"RetryPolicies are not for steps of type {step_type}"
    for policy in policies:
        unknown = [str(kind) for kind in _kinds(policy) if str(kind) not in EXCEPTION_TYPES]
        if unknown or not _kinds(policy):
            yield (
                f"the ExceptionType {', '.join(unknown) or '(none)'} is unknown; types are "
                f"{', '.join(sorted(EXCEPTION_TYPES))}"
            )
        if "MaxAttempts" in policy and "ExpireAfterMin" in policy:
            yield "MaxAttempts and ExpireAfterMin of a retry policy exclude each other"
        for member, most in _MOST.items():
            value = policy.get(member, 1)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                yield f"{member} of a retry policy must be 1 to {most}, not {value!r}"
        rate = policy.get("BackoffRate", 1.0)
        if not isinstance(rate, (int, float)) or isinstance(rate, bool) or rate < 1:
            yield f"BackoffRate of a retry policy must be a number of at least 1, not {rate!r}"


class Retries:
    """How often and when a step is tried again.

    Args:
        policies: Its RetryPolicies.
        clock: Intervals are AWS time.
    """

    def __init__(self, policies: list[Params], clock: Clock) -> None:
        self._policies = policies
        self._clock = clock
        self._counts = [0] * len(policies)
        self._began = time.monotonic()

    def pause(self, kind: str) -> float | None:
        """AWS seconds until the next attempt after a failure of a kind; None when there is none."""
        for number, policy in enumerate(self._policies):
            if kind not in _kinds(policy):
                continue
            count = self._counts[number]
            if "ExpireAfterMin" in policy:
                passed = time.monotonic() - self._began
                spent = passed >= self._clock.real(policy["ExpireAfterMin"] * 60)
            else:
                spent = count >= policy.get("MaxAttempts", 5)
            if spent:
                return None
            self._counts[number] += 1
            pause: float = policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** count
            return pause
        return None


def _kinds(policy: Params) -> list[Any]:
    kinds = policy.get("ExceptionType", [])
    return kinds if isinstance(kinds, list) else [kinds]
