"""The client reads back what the functions landed, from either store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from client.batch import records
from client.batch.records import CHUNK, ScoredRow, look_up
from client.connection import Connection
from client.patterns import DeployedPattern
from tests.batch_functions.data_api import DataApi
from tests.batch_functions.stores import PostgreSqlStore, Store

STARTED = "2026-11-28T02:30:00.000Z"


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time; the seconds that would have been waited."""
    seconds: list[float] = []
    monkeypatch.setattr(records, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


def land(batch: SimpleNamespace, store: Store, answers: list[dict[str, Any]]) -> list[str]:
    """Land a row of each answer; their ids."""
    rows = [
        batch.sink.Record(
            record_id=f"리뷰 {number}",
            answer=answer,
            job="batch-b",
            job_started_at=STARTED,
            source="s3://in/input/one.txt",
            source_offset=number * 10,
            content="0123456789abcdef",
        )
        for number, answer in enumerate(answers)
    ]
    store.sink.land(rows, lambda: 600.0)
    return [row.record_id for row in rows]


def deployed(store: Store) -> DeployedPattern:
    return DeployedPattern("batch", "dev", "BatchInference", "CREATE_COMPLETE", outputs=store.outputs)


def test_what_landed_is_found_as_it_is(store: Store, batch: SimpleNamespace) -> None:
    # GIVEN rows of a model that classifies, and one of a model that does not
    ids = land(batch, store, [{"label": "positive", "score": 1e-07}, {"answer": '{"이유":["a"]}'}])

    # WHEN they are looked up, one twice, and with them an id that nobody has
    found = look_up(Connection(), deployed(store), [*ids, ids[0], "nobody"])

    # THEN they are there as they landed, and the other is left out
    common = {"job": "batch-b", "job_started_at": STARTED, "source": "s3://in/input/one.txt"}
    assert found == {
        ids[0]: ScoredRow(ids[0], "positive", 1e-07, None, **common, source_offset=0),
        ids[1]: ScoredRow(ids[1], "", None, {"이유": ["a"]}, **common, source_offset=10),
    }


def test_more_than_one_answer_of_the_service_can_hold(store: Store, batch: SimpleNamespace) -> None:
    # GIVEN rows that are 4 MB together
    ids = land(batch, store, [{"answer": f'"{"x" * 40_000}"'} for _ in range(CHUNK)])

    # WHEN they are looked up at once THEN all of them are found
    found = look_up(Connection(), deployed(store), ids)
    assert found.keys() == set(ids)
    assert all(row.answer == "x" * 40_000 for row in found.values())


def test_a_database_that_is_empty_sleeps_or_is_busy(
    batch: SimpleNamespace, data_api: DataApi, waited: list[float]
) -> None:
    # GIVEN a database that nothing has landed in THEN no row is found, and that is no error
    store = PostgreSqlStore(batch, data_api)
    assert look_up(Connection(), deployed(store), ["r1"]) == {}

    # GIVEN a row, and a cluster that wakes up THEN it is waited for
    ids = land(batch, store, [{"label": "positive", "score": 0.9}])
    with store.refusing(2):
        assert look_up(Connection(), deployed(store), ids)[ids[0]].label == "positive"
