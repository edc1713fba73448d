"""Where rows land: what every sink does, and what becomes of a row that meets another with its id."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """A scored row.

    Args:
        record_id: What identifies it.
        answer: What the model said: ``label`` and ``score``, or ``answer`` as JSON.
        job: The job that scored it.
        job_started_at: When that job's execution began, ISO 8601 in UTC: tells which of two jobs is newer.
        source: URI of its input object.
        source_offset: Its first byte there.
        content: Digest of its text.
    """

    record_id: str
    answer: Mapping[str, str | float]
    job: str
    job_started_at: str
    source: str
    source_offset: int
    content: str

    @property
    def age(self) -> tuple[str, str]:
        """Sorts jobs by their age."""
        return self.job_started_at, self.job

    @property
    def place(self) -> tuple[str, int]:
        """Sorts the rows of a job by their place."""
        return self.source, self.source_offset


class Outcome(Enum):
    """What came of a row."""

    LANDED = "landed"
    """It is in the sink."""
    SAME = "same"
    """An earlier row of the job has its id and its content, and is in the sink."""
    CONFLICT = "conflict"
    """An earlier row of the job has its id and other content, and is in the sink."""
    SUPERSEDED = "superseded"
    """A newer job's row is in the sink."""


def outcome(row: Record, kept: Record | None) -> Outcome | None:
    """What comes of a row, given what the sink has under its id; None if it is to be written.

    Whatever the order in which rows come, and however often, the same ones stay in the end: those of the
    newest job, and of its rows with one id the first by place.

    Args:
        row: The row.
        kept: What the sink has.
    """
    if kept is None or kept.age < row.age:
        return None
    if kept.age > row.age:
        return Outcome.SUPERSEDED
    if kept.place == row.place:
        return Outcome.LANDED if kept.content == row.content and kept.answer == row.answer else None
    if kept.place > row.place:
        return None
    return Outcome.SAME if kept.content == row.content else Outcome.CONFLICT


class Sink(Protocol):
    """A store of scored rows."""

    def land(self, rows: Sequence[Record], seconds_left: Callable[[], float]) -> list[Outcome]:
        """Bring rows in that are not there, and tell what came of each.

        Args:
            rows: At most `CHUNK` rows of one job, each with an id of its own.
            seconds_left: How long the worker may go on.

        Raises:
            SinkThrottled: The sink did not take all of them in that time. They may be landed again.
        """
        ...

    def count(self, job: str) -> int:
        """How many rows of a job there are."""
        ...


CHUNK = 100
"""Rows that are landed in one go: what BatchGetItem takes."""


@cache
def open_sink() -> Sink:
    """The sink that the stack has chosen."""
    if os.environ["SINK"] == "postgresql":
        from postgresql import PostgreSql

        return PostgreSql(
            cluster_arn=os.environ["CLUSTER_ARN"],
            secret_arn=os.environ["SECRET_ARN"],
            database=os.environ["DATABASE"],
        )
    from dynamodb import DynamoDb

    days = os.environ.get("TTL_DAYS", "")
    return DynamoDb(
        table=os.environ["TABLE_NAME"],
        index=os.environ["INDEX_NAME"],
        shards=int(os.environ["INDEX_SHARDS"]),
        ttl_days=int(days) if days else None,
    )
