"""What Application Auto Scaling knows: scalable targets, scaling policies, scaling activities."""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"

_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_KEPT_ACTIVITIES = 1000
_MAX_PAGE = 50
_SUSPENDABLE = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def now() -> datetime:
    """The present time, UTC."""
    return datetime.now(UTC)


@dataclass(eq=False)
class Target:
    """A scalable target.

    Args:
        scope: Account and Region.
        resource_id: ``endpoint/<name>/variant/<name>``.
        minimum: MinCapacity.
        maximum: MaxCapacity.
        arn: ScalableTargetARN.
        created_at: Creation time, UTC.
        suspended: SuspendedState.
        tags: Its tags.
        busy: Whether an alarm or a change is being worked on.
        not_before: Monotonic time before which nothing is tried again, after a failure.
        scaled_out_at: Monotonic time when the last scale-out was done.
        scaled_in_at: Monotonic time when the last scale-in was done.
        capacity_before: Capacity that the last scale-outs, within their cooldown, started from.
        changed_at: Epoch seconds when the last change of capacity was done: metrics from before tell of
        another one.
        not_scaled: What was noted as not scaled since the last change, so that it is noted once.
    """

    scope: Scope
    resource_id: str
    minimum: int
    maximum: int
    arn: str
    created_at: datetime = field(default_factory=now)
    suspended: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(_SUSPENDABLE, False))
    tags: dict[str, str] = field(default_factory=dict)
    busy: bool = False
    not_before: float = float("-inf")
    scaled_out_at: float = float("-inf")
    scaled_in_at: float = float("-inf")
    capacity_before: int = 0
    changed_at: float = float("-inf")
    not_scaled: set[tuple[str, str]] = field(default_factory=set)

    @property
    def endpoint_and_variant(self) -> tuple[str, str]:
        """The names in the resource ID."""
        match = _RESOURCE.fullmatch(self.resource_id)
        assert match is not None  # noqa: S101 - checked before a target is made
        return match[1], match[2]

    def clamp(self, capacity: int) -> int:
        """The capacity, moved into the target's range."""
        return max(self.minimum, min(self.maximum, capacity))


@dataclass(eq=False)
class Policy:
    """A scaling policy.

    Args:
        target: The target that it scales.
        name: PolicyName.
        arn: PolicyARN.
        kind: PolicyType.
        config: The configuration that belongs to the type.
        alarms: The CloudWatch alarms that it made, in words of PutMetricAlarm: high, then low.
        created_at: Creation time, UTC.
        ready_to_scale_in: Monotonic time when its low alarm fired last, and the capacity that it then wanted.
    """

    target: Target
    name: str
    arn: str
    kind: str
    config: Params
    alarms: list[Params] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    ready_to_scale_in: tuple[float, int] = (float("-inf"), 0)


@dataclass(eq=False)
class Activity:
    """A scaling activity, in words of DescribeScalingActivities."""

    resource_id: str
    description: str
    cause: str
    status: str
    message: str = ""
    not_scaled_reasons: list[Params] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None

    def end(self, status: str, message: str) -> None:
        """Note the outcome."""
        self.status, self.message, self.ended_at = status, message, now()


class Registry:
    """Targets, policies and activities of all accounts and Regions."""

    def __init__(self) -> None:
        self._targets: dict[tuple[Scope, str], Target] = {}
        self._policies: dict[str, Policy] = {}
        self._activities: dict[Scope, deque[Activity]] = {}

    def add_target(self, target: Target) -> None:
        """Keep a target."""
        self._targets[target.scope, target.resource_id] = target

    def find_target(self, resource_id: str, scope: Scope) -> Target | None:
        """A target, or None."""
        return self._targets.get((scope, resource_id))

    def target(self, resource_id: str, scope: Scope) -> Target:
        """A target.

        Raises:
            ServiceError: ObjectNotFoundException.
        """
        target = self.find_target(resource_id, scope)
        if target is None:
            raise ServiceError(
                "ObjectNotFoundException",
                f"No scalable target registered for service namespace: {NAMESPACE}, "
                f"resource ID: {resource_id}, scalable dimension: {DIMENSION}",
            )
        return target

    def targets(self, scope: Scope) -> Iterator[Target]:
        """All targets of an account and Region."""
        return (target for (owner, _), target in self._targets.items() if owner == scope)

    def remove_target(self, target: Target) -> list[Policy]:
        """Forget a target with its policies, which are returned: their alarms are still there."""
        self._targets.pop((target.scope, target.resource_id), None)
        policies = self.policies_of(target)
        for policy in policies:
            del self._policies[policy.arn]
        return policies

    def add_policy(self, policy: Policy) -> None:
        """Keep a policy."""
        self._policies[policy.arn] = policy

    def policy_by_arn(self, arn: str) -> Policy | None:
        """A policy, or None."""
        return self._policies.get(arn)

    def find_policy(self, target: Target, name: str) -> Policy | None:
        """A target's policy by name, or None."""
        return next((policy for policy in self.policies_of(target) if policy.name == name), None)

    def policies_of(self, target: Target) -> list[Policy]:
        """All policies of a target."""
        return [policy for policy in self._policies.values() if policy.target is target]

    def all_policies(self) -> list[Policy]:
        """All policies of all accounts and Regions."""
        return list(self._policies.values())

    def policies(self, scope: Scope) -> list[Policy]:
        """All policies of an account and Region."""
        return [policy for policy in self._policies.values() if policy.target.scope == scope]

    def remove_policy(self, policy: Policy) -> None:
        """Forget a policy."""
        self._policies.pop(policy.arn, None)

    def note(self, scope: Scope, activity: Activity) -> None:
        """Keep an activity; the oldest go when there are too many."""
        self._activities.setdefault(scope, deque(maxlen=_KEPT_ACTIVITIES)).append(activity)

    def activities(self, scope: Scope) -> list[Activity]:
        """All activities of an account and Region, newest first."""
        return list(reversed(self._activities.get(scope, ())))


def check_resource(params: Params) -> None:
    """Refuse what is not the instance count of an endpoint's variant.

    Raises:
        ServiceError: ValidationException.
    """
    namespace, dimension = params["ServiceNamespace"], params.get("ScalableDimension", DIMENSION)
    resource_id = params.get("ResourceId")
    if namespace != NAMESPACE:
        raise ServiceError(
            "ValidationException",
            f"The sandbox scales {NAMESPACE} only, not the service namespace {namespace}.",
        )
    if dimension in {
        "sagemaker:variant:DesiredProvisionedConcurrency",
        "sagemaker:inference-component:DesiredCopyCount",
    }:
        raise ServiceError(
            "ValidationException", f"The sandbox does not scale {dimension} yet; it scales {DIMENSION}."
        )
    if dimension != DIMENSION or (resource_id is not None and not _RESOURCE.fullmatch(resource_id)):
        raise ServiceError(
            "ValidationException",
            "Unsupported service namespace, resource type or scalable dimension. "
            f"{DIMENSION} takes the resource ID endpoint/<endpoint name>/variant/<variant name>.",
        )


def page_size(params: Params) -> int:
    """MaxResults of a Describe operation, 50 by default.

    Raises:
        ServiceError: It is not between 1 and 50.
    """
    size = params.get("MaxResults", _MAX_PAGE)
    if not 1 <= size <= _MAX_PAGE:
        raise ServiceError(
            "ValidationException", f"MaxResults must be between 1 and {_MAX_PAGE}, not {size}."
        )
    return int(size)
