"""Log events reach CloudWatch Logs in batches that it takes, and never hold anybody up."""

from __future__ import annotations

from typing import Any

import pytest
import uvloop
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from sandbox import logs as logs_module
from sandbox.logs import EVENT_OVERHEAD, MAX_BATCH_BYTES, MAX_EVENTS, LogPublisher, _Event, batches
from sandbox.store import Scope
from tests.sandbox_fleet.world import SCOPE, until

GROUP = "/aws/sagemaker/Endpoints/reviews"


class FakeCloudWatchLogs:
    """Groups, streams and events, with the service's errors."""

    class exceptions:  # noqa: N801  (boto3's name)
        class ResourceNotFoundException(ClientError):
            pass

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.groups: set[str] = set()
        self.away = False

    def create_log_group(self, logGroupName: str) -> None:  # noqa: N803
        if logGroupName in self.groups:
            raise ClientError({"Error": {"Code": "ResourceAlreadyExistsException"}}, "CreateLogGroup")
        self.groups.add(logGroupName)

    def create_log_stream(self, logGroupName: str, logStreamName: str) -> None:  # noqa: N803
        if (logGroupName, logStreamName) in self.streams:
            raise ClientError({"Error": {"Code": "ResourceAlreadyExistsException"}}, "CreateLogStream")
        self.streams[logGroupName, logStreamName] = []

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.away:
            raise ConnectionError("nobody there")
        if (logGroupName, logStreamName) not in self.streams:
            raise self.exceptions.ResourceNotFoundException(
                {"Error": {"Code": "ResourceNotFoundException"}}, "Put"
            )
        self.streams[logGroupName, logStreamName] += logEvents

    def client(self, service: str, scope: Scope) -> FakeCloudWatchLogs:
        assert service == "logs"
        return self

    def messages(self, stream: str) -> list[str]:
        return [event["message"] for event in self.streams.get((GROUP, stream), [])]


@pytest.fixture
def cloudwatch() -> FakeCloudWatchLogs:
    return FakeCloudWatchLogs()


def publisher(cloudwatch: Any, **options: Any) -> LogPublisher:
    return LogPublisher(cloudwatch, **options)


def test_events_arrive_in_order_of_time_in_their_streams(cloudwatch: FakeCloudWatchLogs) -> None:
    logs = publisher(cloudwatch)
    logs.write(SCOPE, GROUP, "a", "second", 2)
    logs.write(SCOPE, GROUP, "a", "first", 1)
    logs.write(SCOPE, GROUP, "b", "안녕", 1)
    logs.write(SCOPE, GROUP, "b", "")
    logs.flush()
    assert cloudwatch.messages("a") == ["first", "second"]
    assert cloudwatch.messages("b") == ["안녕"]


def test_events_are_sent_without_being_asked_and_the_rest_at_the_end(cloudwatch: FakeCloudWatchLogs) -> None:
    async def scenario() -> None:
        logs = publisher(cloudwatch, interval=0.01)
        await logs.start()
        logs.write(SCOPE, GROUP, "a", "soon")
        await until(lambda: cloudwatch.messages("a") == ["soon"])
        logs.write(SCOPE, GROUP, "a", "last")
        await logs.stop()
        assert cloudwatch.messages("a") == ["soon", "last"]

    uvloop.run(scenario())


def test_a_group_that_exists_and_one_that_was_deleted_are_no_obstacle(cloudwatch: FakeCloudWatchLogs) -> None:
    cloudwatch.create_log_group(GROUP)
    logs = publisher(cloudwatch)
    logs.write(SCOPE, GROUP, "a", "one")
    logs.flush()
    cloudwatch.groups.clear()
    cloudwatch.streams.clear()
    logs.write(SCOPE, GROUP, "a", "two")
    logs.flush()
    assert cloudwatch.messages("a") == ["two"]


def test_events_wait_while_cloudwatch_is_away(
    cloudwatch: FakeCloudWatchLogs, caplog: pytest.LogCaptureFixture
) -> None:
    logs = publisher(cloudwatch)
    cloudwatch.away = True
    for at in range(3):
        logs.write(SCOPE, GROUP, "a", f"line {at}", at)
        logs.flush()
    assert caplog.text.count("logs cannot be sent") == 1  # said once, not each second
    cloudwatch.away = False
    logs.flush()
    assert cloudwatch.messages("a") == ["line 0", "line 1", "line 2"]


def test_the_oldest_are_dropped_when_too_many_wait_and_that_is_said(cloudwatch: FakeCloudWatchLogs) -> None:
    logs = publisher(cloudwatch, capacity=3)
    cloudwatch.away = True
    for at in range(4):
        logs.write(SCOPE, GROUP, "a", f"line {at}", at)
    logs.flush()
    for at in range(4, 6):
        logs.write(SCOPE, GROUP, "a", f"line {at}", at)
    cloudwatch.away = False
    logs.flush()
    logs.flush()
    *kept, note = cloudwatch.messages("a")
    assert kept == ["line 3", "line 4", "line 5"]
    assert "3 older log events were dropped" in note


def test_what_the_service_refuses_is_not_sent_again_and_holds_nobody_up(
    cloudwatch: FakeCloudWatchLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cloudwatch.put_log_events

    def put(**request: Any) -> None:
        if request["logStreamName"] == "bad":
            raise ClientError({"Error": {"Code": "InvalidParameterException"}}, "PutLogEvents")
        real(**request)

    monkeypatch.setattr(cloudwatch, "put_log_events", put)
    logs = publisher(cloudwatch)
    for stream in ("bad", "good"):
        logs.write(SCOPE, GROUP, stream, "line")
    logs.flush()
    assert cloudwatch.messages("good") == ["line"]
    monkeypatch.undo()
    logs.flush()
    assert cloudwatch.messages("bad") == []


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * 24 * 3600 * 1000), st.integers(1, 400_000), st.sampled_from("x안🙂")),
        max_size=12,
    )
)
def test_batches_keep_the_limits_of_the_service_and_every_event(rows: list[tuple[int, int, str]]) -> None:
    events = [_Event(SCOPE, GROUP, "a", when, letter * length) for when, length, letter in rows]
    made = list(batches(events))
    for batch in made:
        assert 0 < len(batch) <= MAX_EVENTS
        assert sum(len(event["message"].encode()) + EVENT_OVERHEAD for event in batch) <= MAX_BATCH_BYTES
        times = [event["timestamp"] for event in batch]
        assert times == sorted(times)
        assert times[-1] - times[0] < 24 * 3600 * 1000
    assert sorted(event["timestamp"] for batch in made for event in batch) == sorted(
        when for when, _, _ in rows
    )
    assert all(event["message"] for batch in made for event in batch)


def test_a_batch_ends_at_the_limit_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "MAX_EVENTS", 2)
    made = list(batches([_Event(SCOPE, GROUP, "a", at, "x") for at in range(5)]))
    assert [len(batch) for batch in made] == [2, 2, 1]
