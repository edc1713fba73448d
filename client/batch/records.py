"""Looks up scored rows, in whichever sink they landed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern

#: Rows of one look-up: what BatchGetItem takes.
CHUNK = 100

_ATTEMPTS = 8
# of the Data API: a cluster that was paused wakes up, or others ask at the same time
_BUSY = frozenset(
    {
        "DatabaseResumingException",
        "DatabaseUnavailableException",
        "ServiceUnavailableError",
        "ThrottlingException",
    }
)
# half a minute in all: what a paused cluster takes to wake (Aurora User Guide, auto-pause and resume)
_WAKING_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
_COLUMNS = ("record_id", "answer", "job", "job_started_at", "source", "source_offset")


@dataclass(frozen=True)
class ScoredRow:
    """A row as it landed.

    Args:
        record_id: What identifies it.
        label: What the model said; empty for models that do not classify.
        score: How sure it was; None for the same.
        answer: What other models said.
        job: The job that scored it.
        job_started_at: When that job's execution began.
        source: The object that it came from.
        source_offset: Its first byte there.
    """

    record_id: str
    label: str
    score: float | None
    answer: Any
    job: str
    job_started_at: str
    source: str
    source_offset: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}


def look_up(connection: Connection, deployed: DeployedPattern, ids: Sequence[str]) -> dict[str, ScoredRow]:
    """Rows by their ids; one that is not there is left out.

    Args:
        connection: Where.
        deployed: The batch pattern.
        ids: At most `CHUNK`.

    Raises:
        UserError: The stack names no sink, or the sink stayed too busy.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: It could not be asked.
    """
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    if "TableName" in deployed.outputs:
        rows = _from_table(connection, deployed.outputs["TableName"], wanted)
    elif "ClusterArn" in deployed.outputs:
        rows = _from_database(connection, deployed.outputs, wanted)
    else:
        raise UserError(
            f"Stack {deployed.stack_name} names neither a table nor a database in its outputs",
            "Deploy it again: its last deployment may have failed.",
        )
    return {row.record_id: row for row in rows}


def _from_table(connection: Connection, table: str, ids: Sequence[str]) -> list[ScoredRow]:
    asked: Mapping[str, Any] = {table: {"Keys": [{"record_id": {"S": one}} for one in ids]}}
    rows: list[ScoredRow] = []
    for attempt in range(_ATTEMPTS):
        answer = connection.client("dynamodb").batch_get_item(RequestItems=asked)
        rows += [_of_item(item) for item in answer["Responses"].get(table, [])]
        asked = answer.get("UnprocessedKeys") or {}
        if not asked:
            return rows
        time.sleep(0.1 * 2**attempt)
    raise UserError(f"Table {table} is too busy to be read", "Try again later.")


def _of_item(item: Mapping[str, Any]) -> ScoredRow:
    return ScoredRow(
        record_id=item["record_id"]["S"],
        label=item.get("label", {}).get("S", ""),
        score=float(item["score"]["N"]) if "score" in item else None,
        answer=json.loads(item["answer"]["S"]) if "answer" in item else None,
        job=item["job"]["S"],
        job_started_at=item["job_started_at"]["S"],
        source=item["source"]["S"],
        source_offset=int(item["source_offset"]["N"]),
    )


def _from_database(connection: Connection, outputs: Mapping[str, str], ids: Sequence[str]) -> list[ScoredRow]:
    try:
        return [_of_fields(fields) for fields in _select(connection, outputs, ids)]
    except ClientError as error:
        said = str(error)
        # whoever lands rows first makes the table: none has landed
        if "SQLState: 42P01" in said:
            return []
        # the Data API gives back 1 MiB at most
        if "response size limit" not in said or len(ids) == 1:
            raise
    half = len(ids) // 2
    return [row for some in (ids[:half], ids[half:]) for row in _from_database(connection, outputs, some)]


def _select(connection: Connection, outputs: Mapping[str, str], ids: Sequence[str]) -> Sequence[Any]:
    names = {f"id{number}": one for number, one in enumerate(ids)}
    pauses = iter(_WAKING_SECONDS)
    while True:
        try:
            answer = connection.client("rds-data").execute_statement(
                resourceArn=outputs["ClusterArn"],
                secretArn=outputs["SecretArn"],
                database=outputs["Database"],
                sql=f"SELECT {', '.join(_COLUMNS)} FROM predictions "  # noqa: S608  (parameters, by name)
                f"WHERE record_id IN ({', '.join(f':{name}' for name in names)})",
                parameters=[{"name": name, "value": {"stringValue": one}} for name, one in names.items()],
            )
            return list(answer["records"])
        except ClientError as error:
            pause = next(pauses, None)
            if pause is None or error.response.get("Error", {}).get("Code") not in _BUSY:
                raise
        time.sleep(pause)


def _of_fields(fields: Sequence[Mapping[str, Any]]) -> ScoredRow:
    found = dict(zip(_COLUMNS, (next(iter(field.values())) for field in fields), strict=True))
    answer = json.loads(found.pop("answer"))
    classified = "label" in answer
    return ScoredRow(
        **found,
        label=answer["label"] if classified else "",
        score=answer["score"] if classified else None,
        answer=None if classified else json.loads(answer["answer"]),
    )
