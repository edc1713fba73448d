"""PostgreSQL as a sink, over the Data API of Aurora: one statement decides which row stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError
from environment import client
from sink import Outcome, Record, outcome
from waiting import Backoff

TABLE = "predictions"
"""The table; made by whoever writes first."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    record_id text PRIMARY KEY,
    answer jsonb NOT NULL,
    label text GENERATED ALWAYS AS (answer ->> 'label') STORED,
    score double precision GENERATED ALWAYS AS ((answer ->> 'score')::double precision) STORED,
    job text NOT NULL,
    job_started_at text NOT NULL,
    source text NOT NULL,
    source_offset bigint NOT NULL,
    content text NOT NULL
)
"""
_INDEX = f"CREATE INDEX IF NOT EXISTS {TABLE}_by_job ON {TABLE} (job)"
_COMPARED = ("record_id", "job", "job_started_at", "source", "source_offset", "content")
_COLUMNS = (*_COMPARED, "answer")
# of 4 MiB that the Data API takes (Aurora User Guide, limitations of the Data API), so that the rest fits
_REQUEST_BYTES = 3 * 1024 * 1024

# the newest job's row stays, and of one job's rows the first by place: see sink.outcome
_UPSERT = f"""
INSERT INTO {TABLE} AS kept ({", ".join(_COLUMNS)})
VALUES ({", ".join(f":{name}" for name in _COMPARED)}, CAST(:answer AS jsonb))
ON CONFLICT (record_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
WHERE (kept.job_started_at COLLATE "C", kept.job COLLATE "C")
    < (excluded.job_started_at COLLATE "C", excluded.job COLLATE "C")
    OR (kept.job = excluded.job AND (kept.source COLLATE "C", kept.source_offset)
        >= (excluded.source COLLATE "C", excluded.source_offset)
        AND (kept.source, kept.source_offset, kept.content, kept.answer)
            IS DISTINCT FROM (excluded.source, excluded.source_offset, excluded.content, excluded.answer))
"""  # noqa: S608  (no input in it)

# of the Data API: too much to do, or a cluster that was paused and wakes up
_AGAIN = frozenset(
    {
        "ThrottlingException",
        "DatabaseResumingException",
        "DatabaseUnavailableException",
        "ServiceUnavailableError",
        "InternalServerErrorException",
        "StatementTimeoutException",
    }
)
# of PostgreSQL: the transaction gave way to another one
_GAVE_WAY = ("SQLState: 40001", "SQLState: 40P01")


class PostgreSql:
    """A table in an Aurora cluster with the Data API (see `sink.Sink`).

    Args:
        cluster_arn: The cluster.
        secret_arn: Its user and password.
        database: The database.
    """

    def __init__(self, *, cluster_arn: str, secret_arn: str, database: str) -> None:
        self._common = {"resourceArn": cluster_arn, "secretArn": secret_arn, "database": database}
        self._has_table = False

    def land(self, rows: Sequence[Record], seconds_left: Callable[[], float]) -> list[Outcome]:
        """See `sink.Sink.land`."""
        if not rows:
            return []
        self._ready(seconds_left)
        # in one order everywhere: workers with the same ids would wait for each other
        ordered = sorted(rows, key=lambda row: row.record_id)
        for group in _groups([_parameters(_values(row)) for row in ordered]):
            self._call("batch_execute_statement", seconds_left, sql=_UPSERT, parameterSets=group)
        names = {f"id{number}": row.record_id for number, row in enumerate(rows)}
        # without the answers, which could be more than the Data API gives back (1 MiB): where a row's own
        # place is in the table, its own answer is
        found = self._call(
            "execute_statement",
            seconds_left,
            sql=f"SELECT {', '.join(_COMPARED)} FROM {TABLE} "  # noqa: S608  (parameters, by name)
            f"WHERE record_id IN ({', '.join(f':{name}' for name in names)})",
            parameters=_parameters(names),
        )
        kept = {values["record_id"]: values for values in map(_compared, found["records"])}
        return [_outcome(row, kept.get(row.record_id)) for row in rows]

    def count(self, job: str) -> int:
        """See `sink.Sink.count`."""
        self._ready(_always)
        found = self._call(
            "execute_statement",
            _always,
            sql=f"SELECT count(*) FROM {TABLE} WHERE job = :job",  # noqa: S608
            parameters=_parameters({"job": job}),
        )
        return int(found["records"][0][0]["longValue"])

    def _ready(self, seconds_left: Callable[[], float]) -> None:
        if self._has_table:
            return
        for statement in (_SCHEMA, _INDEX):
            try:
                self._call("execute_statement", seconds_left, sql=statement)
            except ClientError as error:
                # two that make it at the same time: the other one has made it
                if "already exists" not in str(error) and "unique constraint" not in str(error):
                    raise
        self._has_table = True

    def _call(self, operation: str, seconds_left: Callable[[], float], **request: Any) -> dict[str, Any]:
        backoff = Backoff("The database", seconds_left, first=0.5, longest=15.0)
        while True:
            try:
                return dict(getattr(client("rds-data"), operation)(**self._common, **request))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in _AGAIN and not any(state in str(error) for state in _GAVE_WAY):
                    raise
                backoff.wait(f"a statement ({code})")


def _always() -> float:
    return 120.0


def _values(row: Record) -> dict[str, str | int]:
    return {
        "record_id": row.record_id,
        "answer": json.dumps(dict(row.answer), ensure_ascii=False),
        "job": row.job,
        "job_started_at": row.job_started_at,
        "source": row.source,
        "source_offset": row.source_offset,
        "content": row.content,
    }


def _parameters(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": {"longValue": value} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
    ]


def _groups(sets: Sequence[list[dict[str, Any]]]) -> Iterator[list[list[dict[str, Any]]]]:
    """The same in requests that the Data API takes."""
    group: list[list[dict[str, Any]]] = []
    size = 0
    for parameters in sets:
        more = len(json.dumps(parameters))
        if group and size + more > _REQUEST_BYTES:
            yield group
            group, size = [], 0
        group.append(parameters)
        size += more
    yield group


def _compared(fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return dict(zip(_COMPARED, (next(iter(field.values())) for field in fields), strict=True))


def _outcome(row: Record, kept: dict[str, Any] | None) -> Outcome:
    return outcome(row, Record(**kept, answer=row.answer) if kept else None) or Outcome.LANDED
