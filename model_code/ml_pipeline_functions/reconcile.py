"""The endpoint becomes what the registry says (docs/decisions/0012-deployment-of-versions.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

import belongings
import endpoint
from aws import client, is_busy, is_missing, is_taken, told
from belongings import YOUNG, Made, quietly
from botocore.exceptions import ClientError
from endpoint import Seen
from registry import APPROVED, Choice, choose, number
from target import Settings, Target
from waiting import pause

_LOOKS = 4
_SIGHTS = 3  # of a configuration that was made a moment ago
_LONGEST_DELETION = 60.0  # seconds


class Status(StrEnum):
    """What came of a call."""

    CREATING = "Creating"
    UPDATING = "Updating"
    UNCHANGED = "Unchanged"
    """It serves what is wanted."""
    PENDING = "Pending"
    """It is busy; the event of its end calls again."""
    NOTHING_APPROVED = "NothingApproved"
    NOT_APPROVED = "NotApproved"
    """The version that the call names is not approved, and there is nothing else to do."""
    SUPERSEDED = "Superseded"
    """The version that the call names is approved, and a newer one too, which serves."""
    ROLLED_BACK = "RolledBack"
    """The wanted version was tried and taken back; it is not tried again by itself."""
    FAILED = "Failed"
    """The endpoint has failed, and nobody has asked to replace it."""
    DELETED = "Deleted"
    """There is no endpoint, and nobody has asked for one since it was deleted."""
    IGNORED = "Ignored"
    """The event is about something else."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A reason to look.

    Args:
        trigger: What called, for the log.
        explicit: Whether a person or an execution asks for it; what was taken back is tried again then, if
            it is what the call is about, or the call is about none.
        version: ARN of the version that it is about; empty if it is about none.
        left: Seconds that it may still work.
    """

    trigger: str
    explicit: bool
    left: Callable[[], float]
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a call.

    Args:
        status: What was done.
        wanted: ARN of the wanted version, or empty.
        live: Name of the configuration that served when the call looked, or empty.
        message: For people.
    """

    status: Status
    message: str
    wanted: str = ""
    live: str = ""


_SETTLED = frozenset({Status.UNCHANGED, Status.NOT_APPROVED, Status.SUPERSEDED, Status.ROLLED_BACK})


class DeployError(Exception):
    """The endpoint cannot become what is wanted; the message says why."""


class _LookAgain(Exception):
    """Somebody else was faster."""


def reconcile(settings: Settings, call: Call, young: timedelta = YOUNG) -> Outcome:
    """Look, and do what is to be done.

    Args:
        settings: Of the endpoint.
        call: The reason.
        young: See `belongings.prune`.

    Raises:
        DeployError: AWS refused; what this call made is removed again.
        ValueError: The version that is named or wanted is not fit.
    """
    refusal = ""
    for _ in range(_LOOKS):
        try:
            return _once(settings, call, young)
        except _LookAgain as again:
            refusal = str(again)
            pause(1.0)
    raise DeployError(f"The endpoint {settings.endpoint_name} cannot be made what is wanted. {refusal}")


def _once(settings: Settings, call: Call, young: timedelta) -> Outcome:
    try:
        choice = choose(settings.group, call.version)
        seen = endpoint.look(settings.endpoint_name)
    except ClientError as error:
        raise DeployError(told(error)) from None
    live = seen.config if seen else ""
    if choice.wanted is None:
        _prune(settings, seen, live, young)
        return _nothing_wanted(settings, choice, seen, live)
    # who decides about another version does not ask for this one again
    call = replace(call, explicit=call.explicit and call.version in ("", choice.wanted.arn))
    reconciliation = _Reconciliation(settings, call, choice, Target(settings, choice.wanted), seen)
    try:
        status, message = reconciliation.carry_out()
    except ClientError as error:
        raise DeployError(f"{choice.wanted.arn} cannot be deployed. {told(error)}") from None
    if status in _SETTLED:
        _prune(settings, seen, reconciliation.target.name, young)
    return Outcome(status=status, message=message, wanted=choice.wanted.arn, live=live)


def _nothing_wanted(settings: Settings, choice: Choice, seen: Seen | None, live: str) -> Outcome:
    kept = f"The endpoint stays as it is, with {live}." if seen else "There is no endpoint."
    group = f"No version of {settings.group} is approved."
    if choice.named and choice.named != APPROVED:
        return Outcome(
            status=Status.NOT_APPROVED,
            message=f"The version is {choice.named}. {group} {kept} Approve the version to deploy it.",
            live=live,
        )
    return Outcome(status=Status.NOTHING_APPROVED, message=f"{group} {kept}", live=live)


def _prune(settings: Settings, seen: Seen | None, wanted: str, young: timedelta) -> None:
    # a configuration that somebody else made may use any of our models
    if seen is not None and seen.status == endpoint.IN_SERVICE and settings.is_own(seen.config):
        belongings.prune(
            settings,
            {seen.config, wanted},
            young=young,
            is_idle=lambda: endpoint.look(settings.endpoint_name) == seen,
        )


def _sighted(call: Callable[..., Any], **request: Any) -> None:
    """Call with a configuration that is new: it may be seen a little later (API_CreateEndpoint)."""
    for sight in range(_SIGHTS):
        try:
            call(**request)
            return
        except ClientError as error:
            if not is_missing(error) or sight == _SIGHTS - 1:
                raise
            pause(1.0)


class _Reconciliation:
    """One look at an endpoint for which a version is wanted, and what follows."""

    def __init__(
        self, settings: Settings, call: Call, choice: Choice, target: Target, seen: Seen | None
    ) -> None:
        self.target = target
        self._settings, self._call, self._choice, self._seen = settings, call, choice, seen

    def carry_out(self) -> tuple[Status, str]:
        seen, call = self._seen, self._call
        if seen is None:
            if call.explicit or belongings.is_waiting(self.target):
                return self._create()
            return Status.DELETED, "The endpoint was deleted. Call without arguments to have it made anew."
        if seen.is_busy:
            return self._pending(seen)
        if seen.status == endpoint.FAILED:
            return self._after_failure(seen)
        if seen.status == endpoint.ROLLBACK_FAILED:
            return self._after_failed_rollback(seen)
        if seen.config == self.target.name:
            return self._as_wanted()
        if not call.explicit and endpoint.tried(seen) == self.target.name:
            return (
                Status.ROLLED_BACK,
                f"{self._wanted} was tried and taken back; {seen.config} serves. {seen.reason} Reject the "
                "version, or call without arguments to try it again.",
            )
        return self._update(seen)

    @property
    def _wanted(self) -> str:
        return self.target.version.arn

    def _as_wanted(self) -> tuple[Status, str]:
        named = self._call.version
        if named and self._choice.named != APPROVED:
            return (
                Status.NOT_APPROVED,
                f"The version is {self._choice.named}; {self._wanted} serves. Approve the version to deploy "
                "it.",
            )
        if named and number(named) != number(self._wanted):
            return (
                Status.SUPERSEDED,
                f"The newer {self._wanted} is approved and serves. Reject it to go back to this one.",
            )
        return Status.UNCHANGED, f"{self._wanted} serves."

    def _pending(self, seen: Seen) -> tuple[Status, str]:
        if seen.status == endpoint.DELETING and self._call.explicit:
            return self._wait_for_deletion()
        return (
            Status.PENDING,
            f"The endpoint is {seen.status}. {self._wanted} is looked at again when that has ended.",
        )

    def _after_failure(self, seen: Seen) -> tuple[Status, str]:
        # a version that was approved while another one failed has not been tried
        if not self._call.explicit and seen.config in ("", self.target.name):
            return (
                Status.FAILED,
                f"The endpoint has failed: {seen.reason} Call without arguments to replace it.",
            )
        name, left = self._settings.endpoint_name, self._call.left
        # nothing but deletion is possible (API_DescribeEndpoint, EndpointStatus)
        if not endpoint.delete(name):
            raise _LookAgain(f"it failed, and is busy now: {seen.reason}")
        if endpoint.wait_until_gone(name, left, _LONGEST_DELETION):
            return self._create()
        return self._wait_for_deletion()

    def _after_failed_rollback(self, seen: Seen) -> tuple[Status, str]:
        told_why = (
            f"An update of the endpoint failed, and so did its rollback: {seen.reason} It serves with a mix "
            "of old and new instances."
        )
        if not self._call.explicit:
            return Status.FAILED, f"{told_why} Call without arguments to update it to {self._wanted}."
        try:
            return self._update(seen)
        except ClientError as error:
            raise DeployError(
                f"{told_why} The update to {self._wanted} is refused as well. {told(error)} Delete the "
                "endpoint, and call without arguments."
            ) from None

    def _create(self) -> tuple[Status, str]:
        settings, name = self._settings, self.target.name
        tags = [*settings.tags, {"Key": endpoint.TRIED_TAG, "Value": name}]
        made = Made(self.target)
        try:
            made.ensure()
            _sighted(
                client("sagemaker").create_endpoint,
                EndpointName=settings.endpoint_name,
                EndpointConfigName=name,
                Tags=tags,
            )
        except Exception as error:
            self._give_up(made, error)
            raise
        if not made.config:
            quietly("no longer waiting", lambda: belongings.set_waiting(self.target, False))
        return Status.CREATING, f"The endpoint is created with {self._wanted}."

    def _update(self, seen: Seen) -> tuple[Status, str]:
        settings, name = self._settings, self.target.name
        how = {"DeploymentConfig": settings.deployment_config} if settings.deployment_config else {}
        made = Made(self.target)
        try:
            made.ensure()
            _sighted(
                client("sagemaker").update_endpoint,
                EndpointName=settings.endpoint_name,
                EndpointConfigName=name,
                **how,
            )
        except ClientError as error:
            self._give_up(made, error)
            if is_busy(error):
                return Status.PENDING, "The endpoint is busy since a moment ago; the event of its end calls."
            raise
        except Exception as error:
            self._give_up(made, error)
            raise
        # only now: another call's update may have been going on
        quietly("note", lambda: endpoint.set_tried(seen, name))
        return Status.UPDATING, f"The endpoint is updated to {self._wanted}."

    def _wait_for_deletion(self) -> tuple[Status, str]:
        made = Made(self.target)
        try:
            made.ensure()
            belongings.set_waiting(self.target, True)
        except Exception as error:
            self._give_up(made, error)
            raise
        if endpoint.look(self._settings.endpoint_name) is None:
            # its event may have come before there was a mark to find
            return self._create()
        return Status.PENDING, f"The endpoint is being deleted, and made anew with {self._wanted} then."

    def _give_up(self, made: Made, error: Exception) -> None:
        """Take back what was made, unless somebody else deploys it by now.

        Raises:
            _LookAgain: Somebody else was faster; the next look tells more.
        """
        try:
            seen = endpoint.look(self._settings.endpoint_name)
        except ClientError:
            return  # who may use it is not known; what is left is pruned later
        if seen is None or self.target.name not in (seen.config, seen.pending):
            made.take_back()
        if isinstance(error, ClientError) and not is_busy(error) and (is_taken(error) or is_missing(error)):
            raise _LookAgain(told(error)) from None
