"""DynamoDB as a sink: compare, then write what differs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from environment import client
from sink import Outcome, Record, outcome
from waiting import Backoff

WRITES = 25
"""Requests of one BatchWriteItem (API shape BatchWriteItemRequestMap)."""

_THREADS = 4
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "InternalServerError",
        "LimitExceededException",
    }
)
_ANSWERS = ("label", "score", "answer")

Item = dict[str, Any]


class DynamoDb:
    """A table whose key is ``record_id``, with an index of each job's rows (see `sink.Sink`).

    Args:
        table: Name of the table.
        index: Name of the index.
        shards: Keys that a job's rows are spread over in the index.
        ttl_days: Days until a row is removed; None for never.
    """

    def __init__(self, *, table: str, index: str, shards: int, ttl_days: int | None) -> None:
        self._table, self._index, self._shards, self._ttl_days = table, index, shards, ttl_days

    def land(self, rows: Sequence[Record], seconds_left: Callable[[], float]) -> list[Outcome]:
        """See `sink.Sink.land`."""
        kept = self._read([row.record_id for row in rows], seconds_left)
        outcomes = [outcome(row, kept.get(row.record_id)) for row in rows]
        missing = [row for row, known in zip(rows, outcomes, strict=True) if known is None]
        # a row of this job that a later one holds is taken from it, not simply written: another worker may
        # be landing a third one
        contested: list[Record] = []
        free: list[Record] = []
        for row in missing:
            holder = kept.get(row.record_id)
            (contested if holder and holder.job == row.job else free).append(row)
        self._write(free, seconds_left)
        for row in contested:
            self._take(row)
        return [known or Outcome.LANDED for known in outcomes]

    def count(self, job: str) -> int:
        """See `sink.Sink.count`."""
        with ThreadPoolExecutor(_THREADS) as threads:
            return sum(threads.map(lambda shard: self._count(f"{job}#{shard}"), range(self._shards)))

    def _count(self, shard: str) -> int:
        pages = client("dynamodb").get_paginator("query")
        return sum(
            page["Count"]
            for page in pages.paginate(
                TableName=self._table,
                IndexName=self._index,
                Select="COUNT",
                KeyConditionExpression="job_shard = :shard",
                ExpressionAttributeValues={":shard": {"S": shard}},
            )
        )

    def _read(self, ids: Sequence[str], seconds_left: Callable[[], float]) -> dict[str, Record]:
        asked: dict[str, Any] = {
            self._table: {
                "Keys": [{"record_id": {"S": record_id}} for record_id in ids],
                "ConsistentRead": True,
            }
        }
        found: dict[str, Record] = {}
        backoff = Backoff(f"Table {self._table}", seconds_left)
        while asked:
            answer = _called("batch_get_item", {"RequestItems": asked})
            if answer is not None:
                for item in answer["Responses"].get(self._table, []):
                    found[item["record_id"]["S"]] = _record(item)
                asked = answer.get("UnprocessedKeys") or {}
            if asked:
                backoff.wait(f"{len(asked[self._table]['Keys'])} reads")
        return found

    def _write(self, rows: Sequence[Record], seconds_left: Callable[[], float]) -> None:
        for start in range(0, len(rows), WRITES):
            requests = [{"PutRequest": {"Item": self._item(row)}} for row in rows[start : start + WRITES]]
            backoff = Backoff(f"Table {self._table}", seconds_left)
            while requests:
                answer = _called("batch_write_item", {"RequestItems": {self._table: requests}})
                if answer is not None:
                    requests = (answer.get("UnprocessedItems") or {}).get(self._table, [])
                if requests:
                    backoff.wait(f"{len(requests)} writes")

    def _take(self, row: Record) -> None:
        """Put a row in the place of one of the same job that comes after it."""
        try:
            client("dynamodb").put_item(
                TableName=self._table,
                Item=self._item(row),
                ConditionExpression="job = :job AND (#source > :source OR (#source = :source "
                "AND source_offset >= :offset))",
                ExpressionAttributeNames={"#source": "source"},
                ExpressionAttributeValues={
                    ":job": {"S": row.job},
                    ":source": {"S": row.source},
                    ":offset": {"N": str(row.source_offset)},
                },
            )
        except ClientError as error:
            # an even earlier one, or a newer job's, came meanwhile: the count shows it, and the next pass
            # tells what came of this one
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _item(self, row: Record) -> Item:
        shard = zlib.crc32(row.record_id.encode()) % self._shards
        item: Item = {
            "record_id": {"S": row.record_id},
            "job": {"S": row.job},
            "job_started_at": {"S": row.job_started_at},
            "job_shard": {"S": f"{row.job}#{shard}"},
            "source": {"S": row.source},
            "source_offset": {"N": str(row.source_offset)},
            "content": {"S": row.content},
        }
        for name, value in row.answer.items():
            item[name] = {"S": value} if isinstance(value, str) else {"N": repr(value)}
        if self._ttl_days is not None:
            # by the job's start, so that a replay writes the same
            ends = datetime.fromisoformat(row.job_started_at) + timedelta(days=self._ttl_days)
            item["expires_at"] = {"N": str(int(ends.timestamp()))}
        return item


def _record(item: Item) -> Record:
    return Record(
        record_id=item["record_id"]["S"],
        answer=dict(_answer(item)),
        job=item["job"]["S"],
        job_started_at=item["job_started_at"]["S"],
        source=item["source"]["S"],
        source_offset=int(item["source_offset"]["N"]),
        content=item["content"]["S"],
    )


def _answer(item: Item) -> Iterator[tuple[str, str | float]]:
    for name in _ANSWERS:
        if name in item:
            yield name, float(item[name]["N"]) if "N" in item[name] else item[name]["S"]


def _called(operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of DynamoDB; None when it refused all of it for lack of capacity."""
    try:
        return dict(getattr(client("dynamodb"), operation)(**request))
    except ClientError as error:
        if error.response["Error"]["Code"] in _THROTTLED:
            return None
        raise
