"""Reconcile: count what came of all rows, merge what was set aside, and tell whether it all fits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import claims
import quarantine
from environment import client, settings
from failures import ReconcileFailed, TransformFailed
from lines import split
from objects import Location, open_object, read_json, write_json, written
from plan import Files, Range
from sink import open_sink

MAX_LANDINGS = 3
"""Landings of one job: rows of one id that workers landed at the same time are settled by the second, and
counted right by the third."""

_THREADS = 16
_SHOWN = 5
_COUNTED = ("prepared", "answered", "landed", "same", "superseded")
# a global index follows its table within moments, and nobody says how many
_COUNT_ATTEMPTS, _COUNT_PAUSE_SECONDS = 6, 1.0


@dataclass(frozen=True)
class Part:
    """What came of a range.

    Args:
        range: The range.
        prepared: Prepare's report.
        landed: Land's report.
    """

    range: Range
    prepared: dict[str, Any]
    landed: dict[str, Any]

    @property
    def missing(self) -> bool:
        """Whether rows of it have no answer."""
        return bool(self.landed["missing"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Count a job's rows.

    Args:
        event: ``job_name``; ``transform`` with ``status``, ``failure_reason`` and ``landings``;
            ``started_at`` and ``ended_at``.
        context: Not used.

    Returns:
        The report; or ``recount`` alone, when rows of one id were landed at the same time by different
        workers: the parts have to be landed again, which tells what came of each.

    Raises:
        TransformFailed: Parts have no answers; all others have landed.
        ReconcileFailed: Rows are missing, or are too many.
    """
    files = Files(event["job_name"])
    parts = _parts(files)
    report: dict[str, Any] = {"job_name": files.job_name, "started_at": event["started_at"]}
    report |= {name: sum({**part.prepared, **part.landed}[name] for part in parts) for name in _COUNTED}
    report["quarantined"] = sum(part.prepared["quarantined"] + part.landed["quarantined"] for part in parts)
    report["input_rows"] = sum(part.prepared["prepared"] + part.prepared["quarantined"] for part in parts)
    report["unanswered"] = sum(part.prepared["prepared"] for part in parts if part.missing)
    report["missing_parts"] = [part.range.part for part in parts if part.missing]
    report["in_table"] = _count(files.job_name, report["landed"])
    if report["in_table"] != report["landed"] and event["transform"]["landings"] < MAX_LANDINGS:
        return {"recount": True}
    report["transform"] = {name: event["transform"][name] for name in ("status", "failure_reason")}
    _merge(files, parts)
    report["quarantine_uri"] = str(files.quarantine) if report["quarantined"] else ""
    write_json(files.report, report)
    _publish(report, event["ended_at"])
    _mark(files, parts)
    _check(report, parts)
    return {**report, "recount": False}


def _parts(files: Files) -> list[Part]:
    ranges = [Range.parse(document) for document in read_json(files.ranges) or []]

    def read(wanted: Range) -> Part:
        prepared = read_json(files.prepare_report(wanted.part))
        landed = read_json(files.land_report(wanted.part))
        if prepared is None or landed is None:
            raise ReconcileFailed(
                f"{wanted.part} ({wanted.source}, bytes {wanted.start:,} to {wanted.end:,}) has no report: "
                "its worker did not end. Start again with the same input: what has landed stays."
            )
        return Part(wanted, prepared, landed)

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(read, ranges))


def _count(job_name: str, expected: int) -> int:
    sink = open_sink()
    found = sink.count(job_name)
    for _ in range(_COUNT_ATTEMPTS - 1):
        if found >= expected:
            break
        time.sleep(_COUNT_PAUSE_SECONDS)
        found = sink.count(job_name)
    return found


def _merge(files: Files, parts: Iterable[Part]) -> None:
    """One file of all rows that were set aside, in the order of their files, lines counted from the file's
    beginning."""
    lines_before: dict[str, int] = {}
    with written(files.quarantine, "application/jsonlines") as merged:
        for part in parts:
            before = lines_before.get(part.range.source, 0)
            found = [
                *_set_aside(files.set_aside("prepare", part.range.part), part.prepared["quarantined"]),
                *_set_aside(files.set_aside("land", part.range.part), part.landed["quarantined"]),
            ]
            for entry in sorted(found, key=lambda one: one["offset"]):
                quarantine.write(merged, {**entry, "line": entry["line"] + before})
            lines_before[part.range.source] = before + part.prepared["lines"]


def _set_aside(place: Location, count: int) -> list[dict[str, Any]]:
    # a file of an earlier landing may be there although nothing was set aside by the last one
    body = open_object(place) if count else None
    if body is None:
        return []
    lines = split(iter(lambda: body.read(1024 * 1024), b""), 0, 1024 * 1024)
    return [json.loads(line.data) for line in lines if line.data]


def _publish(report: dict[str, Any], ended_at: str) -> None:
    lag = (datetime.now(UTC) - datetime.fromisoformat(ended_at)).total_seconds()
    values = (
        ("LandedRecords", report["landed"], "Count"),
        ("QuarantinedRecords", report["quarantined"], "Count"),
        ("SinkLagSeconds", max(0.0, lag), "Seconds"),
    )
    client("cloudwatch").put_metric_data(
        Namespace=settings().namespace,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Workflow", "Value": settings().workflow}],
                "Value": value,
                "Unit": unit,
            }
            for name, value, unit in values
        ],
    )


def _mark(files: Files, parts: Iterable[Part]) -> None:
    """Objects all of whose rows have an answer are done; the others may be claimed again."""
    held: dict[str, str] = read_json(files.claims) or {}
    failed = {part.range.source for part in parts if part.missing}
    done = [claim for source, claim in held.items() if source not in failed]
    claims.mark(done, claims.COMPLETED, job_name=files.job_name)
    claims.mark([held[source] for source in failed if source in held], claims.FAILED, job_name=files.job_name)


def _check(report: dict[str, Any], parts: Iterable[Part]) -> None:
    landed = f"{report['landed']:,} of {report['input_rows']:,} rows have landed"
    status, reason = report["transform"]["status"], report["transform"]["failure_reason"]
    failed = sorted({part.range.source for part in parts if part.missing})
    if failed or status not in {"Completed", "Skipped"}:
        shown = ", ".join(failed[:_SHOWN]) + (
            f" and {len(failed) - _SHOWN:,} more" if failed[_SHOWN:] else ""
        )
        raise TransformFailed(
            f"Transform job {report['job_name']} ended as {status}{f': {reason}' if reason else ''}. "
            f"{landed}; "
            f"{report['unanswered']:,} have no answer{f', of {shown}' if shown else ''}. Put right what the "
            "reason says, and start again with the same input: only files without all answers are taken."
        )
    if report["answered"] != report["prepared"]:
        raise ReconcileFailed(
            f"Transform job {report['job_name']} answered {report['answered']:,} rows, and got "
            f"{report['prepared']:,}: the model must give one line for each line. {landed}."
        )
    if report["in_table"] != report["landed"]:
        raise ReconcileFailed(
            f"{landed}, and the sink has {report['in_table']:,} of job {report['job_name']}: somebody else "
            "writes into it, or removes from it. Start again with force, when nobody does."
        )
    if not report["input_rows"]:
        raise ReconcileFailed("The input has no rows: every line of its files is empty. Nothing was scored.")
