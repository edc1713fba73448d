"""Follows an execution: what it does, how many records came through, what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from client.batch.places import Workflow
from client.batch.sending import Execution
from client.connection import Connection
from client.errors import UserError
from client.s3 import Place

_LOOK_SECONDS_SANDBOX = 0.3
_LOOK_SECONDS_AWS = 5.0
_RECENT_EVENTS = 20

# states of the workflow, and what a person calls them
PHASES = {
    "Claim": "looking at the files",
    "Prepare": "checking rows",
    "Transform": "the model answers",
    "Land": "rows land",
    "Reconcile": "counting",
    "Release": "it failed",
}
_BEGINS = {
    "Request": "Claim",
    "Prepared": "Prepare",
    "TransformRuns": "Transform",
    "LookAtTransform": "Transform",
    "HowIsTransform": "Transform",
    "LandAgain": "Land",
    "Notify": "Release",
    "Failed": "Release",
}


@dataclass
class Progress:
    """How far an execution has come.

    Args:
        phase: A key of `PHASES`.
        parts: Parts of the input; 0 until they are planned.
        prepared: Records that are fit for the model, as far as they are counted.
        landed: Records whose end is known: landed, set aside, or there before.
        done_parts: Parts that have been through the phase: checked, answered by the model, or landed.
    """

    phase: str = "Claim"
    parts: int = 0
    prepared: int = 0
    landed: int = 0
    done_parts: int = 0


@dataclass(frozen=True)
class Ending:
    """How an execution ended.

    Args:
        execution: Which one.
        status: API ``ExecutionStatus``.
        seconds: How long it took.
        report: What Reconcile counted; empty if it did not come to that.
        skipped: Objects that were scored before, or are being scored; nothing was done then.
        error: Name of the error; empty if there was none.
        cause: The workflow's own words about it.
    """

    execution: Execution
    status: str
    seconds: float
    report: dict[str, Any] = field(default_factory=dict)
    skipped: int = 0
    error: str = ""
    cause: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what it was to do, or there was nothing to do."""
        return self.status == "SUCCEEDED"

    @property
    def nothing_new(self) -> bool:
        """Whether all of it had been scored before."""
        return self.ok and not self.report

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "execution": self.execution.arn,
            "input": self.execution.input,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "nothing_new": self.nothing_new,
            "skipped": self.skipped,
            "error": self.error or None,
            "cause": self.cause or None,
            "report": self.report or None,
        }


def follow(
    connection: Connection,
    workflow: Workflow,
    execution: Execution,
    *,
    timeout: float,
    on_progress: Callable[[Progress], None] | None = None,
) -> Ending:
    """Wait until an execution has ended.

    Args:
        connection: Where.
        workflow: Which one.
        execution: Which of its executions.
        timeout: Seconds to wait at most; the execution goes on afterwards.
        on_progress: Called at each look.

    Raises:
        UserError: It has not ended in that time.
    """
    client = connection.client("stepfunctions")
    pause = _LOOK_SECONDS_SANDBOX if connection.is_sandbox else _LOOK_SECONDS_AWS
    began = time.monotonic()
    tracker = _Tracker(connection, workflow, execution)
    while True:
        seen = client.describe_execution(executionArn=execution.arn)
        if seen["status"] != "RUNNING":
            return _ending(execution, seen, time.monotonic() - began)
        if on_progress:
            on_progress(tracker.look())
        if time.monotonic() - began > timeout:
            raise UserError(
                f"Execution {execution.name} has not ended within {timeout:g} s",
                "It goes on. Give it more time with --timeout, or look at it: client batch status",
            )
        time.sleep(pause)


def _ending(execution: Execution, seen: dict[str, Any], seconds: float) -> Ending:
    if seen.get("startDate") and seen.get("stopDate"):
        seconds = (seen["stopDate"] - seen["startDate"]).total_seconds()
    output = json.loads(seen.get("output") or "{}") or {}
    return Ending(
        execution,
        seen["status"],
        seconds,
        report=output if "input_rows" in output else {},
        skipped=int(output.get("skipped", 0)),
        error=seen.get("error") or "",
        cause=seen.get("cause") or "",
    )


class _Tracker:
    """Reads an execution's history, and the workers' reports as they appear."""

    def __init__(self, connection: Connection, workflow: Workflow, execution: Execution) -> None:
        self._connection, self._execution = connection, execution
        self._output, self._results = workflow.output, workflow.output.bucket
        self._progress = Progress()
        self._job = ""
        self._counted: dict[str, set[str]] = {"prepared": set(), "landed": set()}

    def look(self) -> Progress:
        progress = self._progress
        try:
            self._read_history()
            if self._job:
                self._count()
        except ClientError:
            pass  # only the picture is poorer for it: the ending is what counts
        return progress

    def _read_history(self) -> None:
        events = self._connection.client("stepfunctions").get_execution_history(
            executionArn=self._execution.arn, reverseOrder=True, maxResults=_RECENT_EVENTS
        )["events"]
        for event in events:
            entered = event.get("stateEnteredEventDetails")
            if entered:
                name = _BEGINS.get(entered["name"], entered["name"])
                self._progress.phase = name if name in PHASES else self._progress.phase
                if not self._job:
                    self._job = _document(entered.get("input")).get("job_name", "")
                return

    def _count(self) -> None:
        progress = self._progress
        if not progress.parts:
            body = self._read(Place(self._results, f"work/{self._job}/ranges.json"))
            progress.parts = len(json.loads(body))
        for report in self._new_reports("prepared"):
            progress.prepared += report["prepared"]
        for report in self._new_reports("landed"):
            progress.landed += sum(
                report.get(name, 0) for name in ("landed", "same", "superseded", "quarantined")
            )
        if progress.phase == "Transform":
            # a transform job writes an object's answers when it has all of them
            progress.done_parts = sum(
                key.endswith(".out") for key in self._keys(f"{self._output.key}{self._job}/")
            )
        else:
            progress.done_parts = len(self._counted["landed" if progress.phase == "Land" else "prepared"])

    def _new_reports(self, kind: str) -> list[dict[str, Any]]:
        found = []
        for key in self._keys(f"work/{self._job}/{kind}-reports/"):
            if key not in self._counted[kind]:
                self._counted[kind].add(key)
                found.append(json.loads(self._read(Place(self._results, key))))
        return found

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self._connection.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._results, Prefix=prefix):
            yield from (entry["Key"] for entry in page.get("Contents", []))

    def _read(self, place: Place) -> bytes:
        answer = self._connection.client("s3").get_object(Bucket=place.bucket, Key=place.key)
        return bytes(answer["Body"].read())


def _document(text: str | None) -> dict[str, Any]:
    document = json.loads(text or "{}")
    return document if isinstance(document, dict) else {}
