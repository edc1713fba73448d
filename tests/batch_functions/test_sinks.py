"""Landing rows in a store: the same behaviour in DynamoDB and in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.batch_functions.stores import Store

OLD, NEW = "2026-11-27T02:30:00.000Z", "2026-11-28T02:30:00.000Z"
POSITIVE: dict[str, Any] = {"label": "positive", "score": 0.9871}
NEGATIVE: dict[str, Any] = {"label": "negative", "score": 1e-07}
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def record(batch: SimpleNamespace) -> Make:
    """Makes a row; what is not given is the same for all."""

    def make(record_id: str, **given: Any) -> Any:
        usual = {
            "answer": POSITIVE,
            "job": "batch-b",
            "job_started_at": NEW,
            "source": "s3://in/input/one.txt",
            "source_offset": 0,
            "content": "0123456789abcdef",
        }
        return batch.sink.Record(record_id=record_id, **{**usual, **given})

    return make


def plenty() -> float:
    """Seconds that a worker has left."""
    return 600.0


def names(outcomes: list[Any]) -> list[str]:
    return [outcome.value for outcome in outcomes]


def test_rows_land_once_and_a_replay_writes_nothing(store: Store, record: Make) -> None:
    # GIVEN rows of three kinds of answers
    answers = [POSITIVE, NEGATIVE, {"answer": '{"이유":["a","b"]}'}]
    rows = [record(f"리뷰 {n}", answer=answers[n % 3], source_offset=n * 10) for n in range(100)]

    # WHEN they are landed
    first = store.sink.land(rows, plenty)

    # THEN they are in the store as they are, and the store counts them
    assert names(first) == ["landed"] * 100
    found = store.rows()
    assert len(found) == 100
    assert found["리뷰 1"] == ("batch-b", "s3://in/input/one.txt", 10, NEGATIVE)
    assert found["리뷰 2"].answer == answers[2]
    assert (store.sink.count("batch-b"), store.sink.count("batch-a")) == (100, 0)

    # WHEN they are landed again
    before = store.writes()
    again = store.sink.land(rows, plenty)

    # THEN the same is told, and nothing is written
    assert names(again) == ["landed"] * 100
    assert store.writes() == before


def test_a_newer_jobs_row_is_never_overwritten_and_an_older_ones_always(store: Store, record: Make) -> None:
    # GIVEN two jobs that have scored the same rows
    old = [record(f"{n}", job="batch-z", job_started_at=OLD, answer=NEGATIVE) for n in range(10)]
    new = [record(f"{n}") for n in range(5, 10)]

    # WHEN the newer one lands first for some rows, and second for the others
    assert names(store.sink.land(old[:7], plenty)) == ["landed"] * 7
    assert names(store.sink.land(new, plenty)) == ["landed"] * 5
    late = store.sink.land(old, plenty)

    # THEN the newer one's answers stay
    assert names(late) == ["landed"] * 5 + ["superseded"] * 5
    assert {key: row.job for key, row in store.rows().items()} == {
        f"{n}": "batch-b" if n >= 5 else "batch-z" for n in range(10)
    }
    assert (store.sink.count("batch-b"), store.sink.count("batch-z")) == (5, 5)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_the_order_the_first_row_of_the_newest_job_stays(
    store: Store, record: Make, data: st.DataObject
) -> None:
    # GIVEN rows of one id in several places, of several jobs, with several contents; in any order
    ids = data.draw(st.uuids().map(str))
    kinds = st.tuples(
        st.sampled_from([OLD, NEW]), st.sampled_from("ab"), st.integers(0, 3), st.sampled_from("xy")
    )
    drawn = data.draw(st.lists(kinds, min_size=1, max_size=6, unique_by=lambda kind: kind[:3]))
    rows = [
        record(
            ids,
            job=f"batch-{at}",
            job_started_at=at,
            source=f"s3://in/{source}",
            source_offset=offset,
            content=text,
        )
        for at, source, offset, text in drawn
    ]

    # WHEN all of them are landed, one after the other, and all of them again
    for row in rows:
        store.sink.land([row], plenty)
    told = [store.sink.land([row], plenty)[0].value for row in rows]

    # THEN the first row of the newest job is there, and of the others it is said what they are
    newest = max(row.age for row in rows)
    kept = min((row for row in rows if row.age == newest), key=lambda row: row.place)
    assert store.rows()[ids][:3] == (kept.job, kept.source, kept.source_offset)

    def expected(row: Any) -> str:
        if row is kept:
            return "landed"
        if row.age < newest:
            return "superseded"
        return "same" if row.content == kept.content else "conflict"

    assert told == [expected(row) for row in rows]


def test_workers_with_the_same_ids_settle_it_in_a_second_pass(store: Store, record: Make) -> None:
    # GIVEN two workers whose parts share all ids, in opposite order
    ids = [f"{n:03}" for n in range(100)]
    one = [record(key, source_offset=n) for n, key in enumerate(ids)]
    two = [record(key, source_offset=1000 + n, content="other") for n, key in enumerate(reversed(ids))]
    problems: list[BaseException] = []

    def land(rows: list[Any]) -> None:
        try:
            store.sink.land(rows, plenty)
        except BaseException as problem:
            problems.append(problem)

    store.sink.land([record("table is there")], plenty)

    # WHEN they land at the same time, a few times over
    for _ in range(5):
        workers = [threading.Thread(target=land, args=(rows,)) for rows in (one, two)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)

    # THEN nobody failed, and one more pass tells which rows stay
    assert problems == []
    assert names(store.sink.land(one, plenty)) == ["landed"] * 100
    assert names(store.sink.land(two, plenty)) == ["conflict"] * 100
    assert store.sink.count("batch-b") == 101


def test_a_store_that_refuses_for_a_while_gets_all_rows(
    store: Store, record: Make, impatient: list[float]
) -> None:
    # GIVEN a store that is out of capacity for a while
    rows = [record(f"{n}", source_offset=n) for n in range(60)]

    # WHEN rows are landed
    with store.refusing(5):
        told = store.sink.land(rows, plenty)

    # THEN all of them are there, and pauses were made
    assert names(told) == ["landed"] * 60
    assert len(store.rows()) == 60
    assert impatient


def test_a_store_that_goes_on_refusing_ends_the_worker_in_time(
    store: Store, record: Make, batch: SimpleNamespace, impatient: list[float]
) -> None:
    # GIVEN a store without capacity, and a worker whose time runs out
    left = iter(range(120, -1, -10))

    # WHEN rows are landed
    with store.refusing(10_000), pytest.raises(batch.failures.SinkThrottled) as caught:
        store.sink.land([record(f"{n}") for n in range(30)], lambda: next(left))

    # THEN the error says what refused, and what to do; and the rows can be landed later
    assert "refused" in str(caught.value)
    assert "land_concurrency" in str(caught.value)
    assert names(store.sink.land([record(f"{n}") for n in range(30)], plenty)) == ["landed"] * 30


def test_a_write_whose_answer_is_lost_is_no_harm(store: Store, record: Make, impatient: list[float]) -> None:
    # GIVEN a sink that has landed something
    store.sink.land([record("first")], plenty)
    rows = [record(f"{n}", source_offset=n) for n in range(20)]

    # WHEN a write is carried out, and its answer does not come back
    with store.losing_an_answer():
        try:
            told = store.sink.land(rows, plenty)
        except ConnectionError:
            told = store.sink.land(rows, plenty)  # the worker is repeated

    # THEN each row is there once
    assert names(told) == ["landed"] * 20
    assert store.sink.count("batch-b") == 21
