"""Reads what a job set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from client.batch.places import Workflow
from client.connection import Connection
from client.errors import UserError
from client.s3 import Place


@dataclass(frozen=True)
class SetAside:
    """A row that was not scored, or did not land.

    Args:
        source: Its object.
        line: Its line there, from 1.
        reason: What is wrong with it.
        record_id: What identifies it; empty if that could not be read.
        sample: What it begins with.
    """

    source: str
    line: int
    reason: str
    record_id: str
    sample: str

    @property
    def file(self) -> str:
        """The name of its object."""
        return self.source.rsplit("/", 1)[-1]


def set_aside(connection: Connection, place: Place, count: int) -> list[SetAside]:
    """The first rows of a quarantine file.

    Args:
        connection: Where.
        place: The file.
        count: How many at most.

    Raises:
        UserError: There is no such file.
    """
    try:
        body = connection.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            raise UserError(f"{place} is not there", "Nothing was set aside, or it has expired.") from error
        raise
    lines: Iterator[bytes] = body.iter_lines()
    return [_row(json.loads(line)) for line in islice(lines, count)]


def read_report(connection: Connection, workflow: Workflow, job: str) -> dict[str, Any]:
    """What Reconcile counted of a job.

    Raises:
        UserError: There is no such job, or it did not come to that.
    """
    place = workflow.output / f"{job}/report.json"
    try:
        body = connection.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            raise UserError(
                f"There is no report of job {job!r} ({place})",
                "Jobs are named by `client batch status` and in each row that `client batch query` shows.",
            ) from error
        raise
    return dict(json.loads(body.read()))


def _row(document: dict[str, Any]) -> SetAside:
    return SetAside(
        source=document["source"],
        line=document["line"],
        reason=document["reason"],
        record_id=document.get("record_id", ""),
        sample=document.get("sample", document.get("sample_base64", "")),
    )
