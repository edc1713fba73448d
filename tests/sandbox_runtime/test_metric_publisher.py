"""MetricPublisher: what reaches CloudWatch, and that nothing else can break."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import metrics
from sandbox.metrics import MetricPublisher
from tests.sandbox_runtime.fake_aws import FakeAws
from tests.sandbox_runtime.fakes import SCOPE

DIMENSIONS = (("EndpointName", "ep"), ("VariantName", "A"))


def record(publisher: MetricPublisher, *values: float, name: str = "ModelLatency") -> None:
    for value in values:
        publisher.record(SCOPE, "AWS/SageMaker", name, "Microseconds", value, DIMENSIONS)


def counts(aws: FakeAws) -> Counter[float]:
    total: Counter[float] = Counter()
    for datum in aws.data:
        assert len(datum["Values"]) == len(datum["Counts"]) <= 150
        for value, count in zip(datum["Values"], datum["Counts"], strict=True):
            total[value] += int(count)
    return total


def test_values_are_counted_and_flushed_on_stop() -> None:
    aws = FakeAws()

    async def work() -> None:
        publisher = MetricPublisher(aws, interval=1000)
        await publisher.start()
        record(publisher, 5, 5, 7)
        await publisher.stop()

    asyncio.run(work())
    (datum,) = aws.data
    assert datum["Namespace"] == "AWS/SageMaker"
    assert (datum["MetricName"], datum["Unit"]) == ("ModelLatency", "Microseconds")
    assert datum["Dimensions"] == [
        {"Name": "EndpointName", "Value": "ep"},
        {"Name": "VariantName", "Value": "A"},
    ]
    assert dict(zip(datum["Values"], datum["Counts"], strict=True)) == {5: 2, 7: 1}


def test_published_by_itself() -> None:
    aws = FakeAws()

    async def work() -> None:
        publisher = MetricPublisher(aws, interval=0.01)
        await publisher.start()
        record(publisher, 1)
        async with asyncio.timeout(10):
            while not aws.data:
                await asyncio.sleep(0.005)
        await publisher.stop()

    asyncio.run(work())
    assert counts(aws) == {1: 1}


@given(st.lists(st.integers(1, 10**7), max_size=2000))
def test_percentiles_survive(values: list[int]) -> None:
    # GIVEN any latencies WHEN they are published THEN none is lost and each is within 0.5 %
    aws = FakeAws()

    async def work() -> None:
        publisher = MetricPublisher(aws)
        record(publisher, *values)
        await publisher.flush()

    asyncio.run(work())
    published = sorted(counts(aws).elements())
    assert len(published) == len(values)
    assert all(abs(got - true) <= 0.005 * true for got, true in zip(published, sorted(values), strict=True))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    aws = FakeAws()
    monkeypatch.setattr(metrics, "MAX_SERIES", 10)

    async def work() -> None:
        publisher = MetricPublisher(aws)
        record(publisher, *(0.001 * number for number in range(100_000)))
        for number in range(20):
            record(publisher, 1, name=f"metric-{number}")
        await publisher.flush()

    asyncio.run(work())
    latencies = [datum for datum in aws.data if datum["MetricName"] == "ModelLatency"]
    assert sum(len(datum["Values"]) for datum in latencies) < 6000
    assert len({datum["MetricName"] for datum in aws.data}) == 10
    assert "11 metric values were dropped" in caplog.text


def test_a_failure_is_said_once_and_the_next_values_arrive(caplog: pytest.LogCaptureFixture) -> None:
    aws = FakeAws()

    async def work() -> None:
        publisher = MetricPublisher(aws)
        aws.broken = ConnectionError("gateway is away")
        for _ in range(3):
            record(publisher, 1)
            await publisher.flush()
        aws.broken = None
        record(publisher, 2)
        await publisher.flush()

    asyncio.run(work())
    assert caplog.text.count("gateway is away") == 1
    assert counts(aws) == {2: 1}


def test_many_series_go_in_several_requests() -> None:
    requests: list[int] = []

    class Counting(FakeAws):
        def put_metric_data(self, **params: Any) -> None:
            requests.append(len(params["MetricData"]))
            super().put_metric_data(**params)

    async def work() -> None:
        publisher = MetricPublisher(Counting())
        for number in range(2500):
            record(publisher, 1, name=f"m{number}")
        await publisher.flush()

    asyncio.run(work())
    assert sorted(requests) == [500, 1000, 1000]
