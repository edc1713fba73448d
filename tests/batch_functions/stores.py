"""Both stores as tests see them: the sink, what is really in the store, and ways to make it refuse work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import boto3

from tests.batch_functions.data_api import DataApi

SHARDS = 4


class Row(NamedTuple):
    """A row, read past the sink."""

    job: str
    source: str
    source_offset: int
    answer: dict[str, Any]


class Store(Protocol):
    """A store with its sink, and what a stack's outputs say of it."""

    sink: Any
    outputs: dict[str, str]

    def rows(self) -> dict[str, Row]:
        """All rows by id."""
        ...

    def writes(self) -> int:
        """How often rows were changed until now."""
        ...

    def refusing(self, times: int) -> Any:
        """While it lasts, so many calls are refused for lack of capacity, as far as the store can."""
        ...

    def losing_an_answer(self) -> Any:
        """While it lasts, one write is carried out and answered with an error."""
        ...


class DynamoDbStore:
    """A table of its own in the sandbox."""

    def __init__(self, batch: SimpleNamespace, table: str) -> None:
        self._table, self._client = table, boto3.client("dynamodb")
        self.outputs = {"TableName": table}
        self._used = batch.environment.client("dynamodb")
        text = [{"AttributeName": name, "AttributeType": "S"} for name in ("record_id", "job_shard")]
        key = {"AttributeName": "record_id", "KeyType": "HASH"}
        self._client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=text,
            KeySchema=[key],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-job",
                    "KeySchema": [
                        {"AttributeName": "job_shard", "KeyType": "HASH"},
                        {"AttributeName": "record_id", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
        self.sink = batch.dynamodb.DynamoDb(table=table, index="by-job", shards=SHARDS, ttl_days=None)
        self._writes = 0
        self._used.meta.events.register("before-call.dynamodb", self._count)

    def rows(self) -> dict[str, Row]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table)
        return {item["record_id"]["S"]: _row(item) for page in pages for item in page["Items"]}

    def writes(self) -> int:
        return self._writes

    @contextmanager
    def refusing(self, times: int) -> Iterator[None]:
        left = [times]

        def unprocessed(parsed: dict[str, Any], model: Any, **rest: Any) -> None:
            # carried out and said not to be: what is repeated must not harm either
            if left[0] > 0 and model.name == "BatchWriteItem":
                left[0] -= 1
                put = self._asked["RequestItems"][self._table]
                parsed["UnprocessedItems"] = {self._table: put[len(put) // 2 :]}

        def asked(params: dict[str, Any], model: Any, **rest: Any) -> None:
            self._asked = params

        events = self._used.meta.events
        events.register("provide-client-params.dynamodb.BatchWriteItem", asked)
        events.register("after-call.dynamodb.BatchWriteItem", unprocessed)
        try:
            yield
            assert left == [0] or times > 1000
        finally:
            events.unregister("provide-client-params.dynamodb.BatchWriteItem", asked)
            events.unregister("after-call.dynamodb.BatchWriteItem", unprocessed)

    @contextmanager
    def losing_an_answer(self) -> Iterator[None]:
        done: list[str] = []

        def lost(http_response: Any, parsed: dict[str, Any], model: Any, **rest: Any) -> None:
            if not done:
                done.append(model.name)
                raise ConnectionResetError("made to fail after it was done")

        events = self._used.meta.events
        events.register("after-call.dynamodb.BatchWriteItem", lost)
        try:
            yield
            assert done
        finally:
            events.unregister("after-call.dynamodb.BatchWriteItem", lost)

    def _count(self, model: Any, params: dict[str, Any], **rest: Any) -> None:
        if model.name in {"BatchWriteItem", "PutItem"} and f'"{self._table}"' in str(params["body"]):
            self._writes += 1


class PostgreSqlStore:
    """An emptied database."""

    def __init__(self, batch: SimpleNamespace, api: DataApi) -> None:
        self._api = api
        self._table = batch.postgresql.TABLE
        api.rows(f"DROP TABLE IF EXISTS {self._table}")
        api.failures.clear()
        cluster = "arn:aws:rds:ap-northeast-2:000000000000:cluster:batch"
        secret = "arn:aws:secretsmanager:ap-northeast-2:000000000000:secret:batch"
        self.outputs = {"ClusterArn": cluster, "SecretArn": secret, "Database": "batch"}
        self.sink = batch.postgresql.PostgreSql(cluster_arn=cluster, secret_arn=secret, database="batch")

    def rows(self) -> dict[str, Row]:
        found = self._api.rows(
            f"SELECT record_id, job, source, source_offset, answer::text FROM {self._table}"
        )
        return {row[0]: Row(row[1], row[2], row[3], json.loads(row[4])) for row in found}

    def writes(self) -> int:
        # each new version of a row has the number of the transaction that wrote it
        return sum(row[0] for row in self._api.rows(f"SELECT xmin::text::bigint FROM {self._table}"))

    @contextmanager
    def refusing(self, times: int) -> Iterator[None]:
        kinds = ("ThrottlingException", "DatabaseResumingException", "StatementTimeoutException")
        self._api.failures += [kinds[number % len(kinds)] for number in range(times)]
        try:
            yield
            assert not self._api.failures or times > 1000
        finally:
            self._api.failures.clear()

    @contextmanager
    def losing_an_answer(self) -> Iterator[None]:
        # after the two statements that make the table, if the sink has not made it
        self._api.failures += ["late:InternalServerErrorException"]
        yield
        assert not self._api.failures


def _row(item: dict[str, Any]) -> Row:
    answer: dict[str, Any] = {
        name: float(item[name]["N"]) if "N" in item[name] else item[name]["S"]
        for name in ("label", "score", "answer")
        if name in item
    }
    return Row(item["job"]["S"], item["source"]["S"], int(item["source_offset"]["N"]), answer)
