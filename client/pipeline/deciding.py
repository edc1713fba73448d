"""Approves and rejects versions, and waits until the endpoint has followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client.commands import client_command, sandbox_command
from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern
from client.pipeline.versions import (
    APPROVED,
    REJECTED,
    WAITING,
    Serving,
    Version,
    describe,
    find_version,
    list_versions,
    same_model,
    serving,
    tried,
    wanted,
)

_MAX_DESCRIPTION = 1024  # API shape ApprovalDescription
_LOOK_SECONDS_SANDBOX = 0.2
_LOOK_SECONDS_AWS = 5.0
# from a decision to the first sign of the deploy function
_PATIENCE_SECONDS_SANDBOX = 20.0
_PATIENCE_SECONDS_AWS = 120.0


class TakenBackError(UserError):
    """The deployment of a version failed, or was taken back."""


@dataclass(frozen=True)
class Decision:
    """What was decided, and what follows from it.

    Args:
        version: The version, as it is now.
        versions: All versions, as they are now.
        before: What the endpoint served.
        goal: The version that the endpoint is to serve; None if none is approved.
    """

    version: Version
    versions: Sequence[Version]
    before: Serving
    goal: Version | None

    @property
    def changes_nothing(self) -> bool:
        """Whether the endpoint serves what it is to serve already, or stays for want of another version."""
        return self.goal is None or (
            bool(self.before.arn)
            and not self.before.is_busy
            and same_model(self.versions, self.before.arn, self.goal.arn)
        )

    @property
    def outlook(self) -> str:
        """What follows, for a person."""
        live = self._number(self.before.arn)
        if self.goal is None:
            kept = f"the endpoint goes on with version {live}" if self.before.arn else "there is no endpoint"
            return f"no version is approved any more: {kept}"
        if self.changes_nothing:
            words = f"the endpoint serves version {self.goal.number} already, the newest that is approved"
            if live != str(self.goal.number):
                words = (
                    f"the endpoint stays as it is: version {self.goal.number}, the newest that is approved, "
                    f"is the same model as version {live}, which serves"
                )
            if self.version.approval == REJECTED and live != str(self.goal.number):
                return f"{words}; reject {self.goal.number}, too, to go further back"
            if self.goal.arn == self.version.arn or self.version.approval != APPROVED:
                return words
            return f"{words}; reject {self.goal.number} to go back to {self.version.number}"
        verb = "goes to" if self.before.status else "is made with"
        return f"the endpoint {verb} version {self.goal.number}, the newest that is approved"

    def _number(self, arn: str) -> str:
        return next((str(one.number) for one in self.versions if one.arn == arn), arn)


def approve(
    connection: Connection, deployed: DeployedPattern, given: str | None, because: str = ""
) -> Decision:
    """Approve a version.

    Args:
        connection: Where.
        deployed: The pattern.
        given: Number or ARN; None for the newest that waits for approval.
        because: What is written beside the decision.

    Raises:
        UserError: There is no such version.
    """
    versions = list_versions(connection, deployed)
    if given:
        return _decide(connection, deployed, versions, find_version(versions, given), APPROVED, because)
    waiting = [one for one in versions if one.approval == WAITING]
    if not waiting:
        raise UserError(
            "No version waits for approval",
            f"See what there is: {client_command('pipeline versions', in_sandbox=connection.is_sandbox)}",
        )
    return _decide(connection, deployed, versions, waiting[0], APPROVED, because)


def reject(
    connection: Connection, deployed: DeployedPattern, given: str | None, because: str = ""
) -> Decision:
    """Reject a version.

    Args:
        connection: Where.
        deployed: The pattern.
        given: Number or ARN; None for the one that serves. Of several approved versions of the model that
            serves, that is the newest: it is what keeps the endpoint where it is.
        because: What is written beside the decision.

    Raises:
        UserError: There is no such version; or none is named, and another one is approved than serves.
    """
    versions = list_versions(connection, deployed)
    if given:
        return _decide(connection, deployed, versions, find_version(versions, given), REJECTED, because)
    goal, live = wanted(versions), serving(connection, deployed)
    if goal is not None and same_model(versions, live.arn, goal.arn):
        return _decide(connection, deployed, versions, goal, REJECTED, because)
    if not live.arn:
        raise UserError("No version serves, so there is none to reject", "Name one: pipeline reject VERSION")
    if goal is not None:
        serves = find_version(versions, live.arn).number
        words = {
            f"pipeline reject {goal.number}": "takes the approved one out, and leaves the one that serves",
            f"pipeline reject {serves}": "takes the one out that serves",
        }
        raise UserError(
            f"Version {goal.number} is approved, but version {serves} serves: say which is to be rejected",
            "\n".join(
                f"{client_command(command, in_sandbox=connection.is_sandbox)}  # {what}"
                for command, what in words.items()
            ),
        )
    return _decide(connection, deployed, versions, find_version(versions, live.arn), REJECTED, because)


def _decide(
    connection: Connection,
    deployed: DeployedPattern,
    versions: Sequence[Version],
    version: Version,
    status: str,
    because: str,
) -> Decision:
    if len(because) > _MAX_DESCRIPTION:
        raise UserError(f"The reason has {len(because)} characters; at most {_MAX_DESCRIPTION} are kept")
    before = serving(connection, deployed)
    if version.approval != status or because:
        # what was said about the decision before does not hold for this one
        said = {"ApprovalDescription": because} if because or version.because else {}
        connection.client("sagemaker").update_model_package(
            ModelPackageArn=version.arn, ModelApprovalStatus=status, **said
        )
    decided = describe(connection, version.arn, evaluated=True)
    now = [decided if one.arn == decided.arn else one for one in versions]
    return Decision(decided, now, before, wanted(now))


def follow(
    connection: Connection,
    deployed: DeployedPattern,
    decision: Decision,
    *,
    timeout: float,
    say: Callable[[Serving], None] = lambda _: None,
) -> Serving:
    """Wait until the endpoint serves what follows from a decision.

    Args:
        connection: Where.
        deployed: The pattern.
        decision: What was decided.
        timeout: Seconds at most.
        say: Told at each look.

    Returns:
        What serves.

    Raises:
        TakenBackError: The deployment failed or was taken back.
        UserError: Nobody acts on the decision, or it takes longer.
    """
    if decision.changes_nothing or decision.goal is None:
        return serving(connection, deployed)
    local = connection.is_sandbox
    pause = _LOOK_SECONDS_SANDBOX if local else _LOOK_SECONDS_AWS
    began = time.monotonic()
    patience_seconds = _PATIENCE_SECONDS_SANDBOX if local else _PATIENCE_SECONDS_AWS
    patience = began + patience_seconds
    last = decision.before
    was_changed = False
    while True:
        seen = serving(connection, deployed)
        say(seen)
        # an update may be taken back between two looks
        if (seen.status, seen.changed) != (last.status, last.changed):
            was_changed = True
            patience = time.monotonic() + patience_seconds
        last = seen
        if seen.status == "InService" and same_model(decision.versions, seen.arn, decision.goal.arn):
            return seen
        now = time.monotonic()
        if was_changed and _was_taken_back(connection, deployed, decision, seen):
            reason, number = seen.reason or "its update was taken back", decision.goal.number
            raise TakenBackError(
                f"Version {decision.goal.number} does not serve: the endpoint {seen.endpoint} is "
                f"{seen.status or 'gone'}: {reason}",
                f"Take it out: {client_command(f'pipeline reject {number}', in_sandbox=local)}\n"
                f"Or have it tried again: {_try_again(connection, deployed)}\n"
                f"Its log: /aws/sagemaker/Endpoints/{seen.endpoint}",
            )
        if not seen.is_busy and now > patience:
            function = deployed.outputs.get("DeployFunctionName", "")
            raise UserError(
                f"Nothing happens to the endpoint {seen.endpoint}",
                f"Look at the log of the function that deploys: /aws/lambda/{function}",
            )
        if now > began + timeout:
            raise UserError(
                f"Version {decision.goal.number} does not serve within {timeout:g} s; the endpoint is "
                f"{seen.status or 'not there'}",
                f"It goes on. Look again: {client_command('pipeline versions', in_sandbox=local)}",
            )
        time.sleep(pause)


def _was_taken_back(
    connection: Connection, deployed: DeployedPattern, decision: Decision, seen: Serving
) -> bool:
    """Whether what is to be served was tried, and is not what came of it."""
    if decision.goal is None or seen.is_busy or not seen.status:
        return False
    # else it was busy with another version, and the deploy function is called again at the end of that
    return same_model(decision.versions, tried(connection, deployed), decision.goal.arn)


def _try_again(connection: Connection, deployed: DeployedPattern) -> str:
    """What was taken back is tried again only when a person calls the function."""
    function = deployed.outputs.get("DeployFunctionName", "FUNCTION")
    command = f"aws lambda invoke --function-name {function} answer.json"
    return f"{sandbox_command('run')} -- {command}" if connection.is_sandbox else command
