"""Claim: take the objects that nobody has taken, and plan which bytes each worker reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import claims
from environment import settings
from failures import NoInput
from inputs import Object, find, ranges_of
from objects import write_json
from plan import MAX_JOB_NAME, Files, Range

_SHOWN = 5
_THREADS = 16


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Claim an input for one execution. The same execution again claims the same.

    Args:
        event: ``input``, ``force``, ``trigger``, ``execution_arn``, ``execution_name``, ``started_at``.
        context: Not used.

    Returns:
        ``count`` objects claimed, ``skipped`` that were scored before or are being scored, ``job_name`` and
        where its files are.

    Raises:
        NoInput: There is nothing to score.
    """
    found = list({one.place: one for one in find(str(event["input"]))}.values())
    name = job_name(event["execution_name"], event["execution_arn"])
    taken = claims.take(
        found, execution_arn=event["execution_arn"], job_name=name, force=bool(event["force"])
    )
    ranges = _plan(taken)
    files = Files(name)
    write_json(files.claims, {str(one.place): claims.key_of(one) for one in taken})
    write_json(files.ranges, [wanted.as_dict() for wanted in ranges])
    return {
        "job_name": name,
        "input": event["input"],
        "count": len(taken),
        "skipped": len(found) - len(taken),
        "ranges_uri": str(files.ranges),
        "prepared_uri": str(files.prepared_folder),
        "output_uri": str(files.output_folder),
        "started_at": event["started_at"],
    }


def _plan(taken: Sequence[Object]) -> list[Range]:
    """The ranges of all objects, numbered through.

    Raises:
        NoInput: None of them can be read. Their claims are taken over, as the execution ends with this.
    """
    with ThreadPoolExecutor(_THREADS) as threads:  # it reads the headers of delimited files
        plan = list(threads.map(ranges_of, taken))
    if plan and all(ranges[0].problem for ranges in plan):
        told = [f"{ranges[0].source}: {ranges[0].problem}" for ranges in plan[:_SHOWN]]
        more = f"; and {len(plan) - _SHOWN:,} more" if len(plan) > _SHOWN else ""
        raise NoInput(f"No file can be scored. {'; '.join(told)}{more}. Put it right, and start again.")
    every = (wanted for ranges in plan for wanted in ranges)
    return [replace(wanted, index=index) for index, wanted in enumerate(every)]


def job_name(execution_name: str, execution_arn: str) -> str:
    """A transform job's name, legal and of this execution alone.

    Args:
        execution_name: People know it by this, so as much of it as fits is in the name.
        execution_arn: What makes it unique.
    """
    workflow = settings().workflow
    unique = hashlib.sha256(execution_arn.encode()).hexdigest()[:8]
    room = MAX_JOB_NAME - len(workflow) - len(unique) - 2
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", execution_name)[: max(0, room)].strip("-")
    return "-".join(part for part in (workflow, readable, unique) if part)
