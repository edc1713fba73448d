"""A batch workflow as it is now: its state machine and its last executions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from client.connection import Connection

_BAD = {"FAILED", "TIMED_OUT", "ABORTED"}
_SHOWN = 5


@dataclass
class ExecutionStatus:
    """An execution of a workflow.

    Args:
        name: Its name.
        status: API ``ExecutionStatus``.
        started: When it began.
        seconds: How long it took; None while it runs.
        input: What it works on.
        trigger: ``schedule``, ``object`` or ``manual``.
        job: Its transform job; empty if it did not come to that, or had nothing to do.
        landed: Rows that landed; None while that is not known.
        quarantined: Rows that were set aside; None for the same.
        cause: Why it failed; empty if it did not.
    """

    name: str
    status: str
    started: datetime
    seconds: float | None = None
    input: str = ""
    trigger: str = ""
    job: str = ""
    landed: int | None = None
    quarantined: int | None = None
    cause: str = ""


@dataclass
class WorkflowStatus:
    """A workflow as it is now.

    Args:
        name: Name of the state machine.
        state: API ``StateMachineStatus``; ``NotFound`` if it is not there.
        executions: The last ones, the newest first.
    """

    name: str
    state: str
    executions: list[ExecutionStatus] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def workflow_status(connection: Connection, state_machine_arn: str, *, count: int = _SHOWN) -> WorkflowStatus:
    """Ask Step Functions about a workflow.

    Args:
        connection: Where.
        state_machine_arn: Which one.
        count: How many executions.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: It could not be asked.
    """
    client = connection.client("stepfunctions")
    name = state_machine_arn.rsplit(":", 1)[-1]
    try:
        state = client.describe_state_machine(stateMachineArn=state_machine_arn).get("status", "ACTIVE")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "StateMachineDoesNotExist":
            return WorkflowStatus(name, "NotFound")
        raise
    listed = client.list_executions(stateMachineArn=state_machine_arn, maxResults=count)["executions"]
    newest = sorted(listed, key=lambda one: one["startDate"], reverse=True)[:count]
    return WorkflowStatus(
        name,
        state,
        [_execution(client.describe_execution(executionArn=one["executionArn"])) for one in newest],
    )


def workflow_problems(workflow: WorkflowStatus) -> list[str]:
    """What is wrong with a workflow; empty if nothing is."""
    if workflow.state == "NotFound":
        return [f"state machine {workflow.name} does not exist any more: it was deleted past the stack"]
    ended = [one for one in workflow.executions if one.status != "RUNNING"]
    if ended and ended[0].status in _BAD:
        last = ended[0]
        reason = f": {last.cause}" if last.cause else ""
        return [f"the last execution, {last.name}, ended as {last.status}{reason}"]
    return []


def _execution(seen: dict[str, Any]) -> ExecutionStatus:
    given = _document(seen.get("input"))
    report = _document(seen.get("output"))
    stopped = seen.get("stopDate")
    return ExecutionStatus(
        name=seen["name"],
        status=seen["status"],
        started=seen["startDate"],
        seconds=(stopped - seen["startDate"]).total_seconds() if stopped else None,
        input=str(given.get("input", "")),
        trigger=str(given.get("trigger", "manual")),
        job=str(report.get("job_name", "")) if "input_rows" in report else "",
        landed=report.get("landed"),
        quarantined=report.get("quarantined"),
        cause=seen.get("cause") or "",
    )


def _document(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
