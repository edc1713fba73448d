from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.exceptions import NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from client.connection import Connection
from client.errors import UserError
from client.invocation import Target
from client.load import generator
from client.load.answers import kind_and_sample
from client.load.generator import LoadGenerator
from client.load.plan import LoadPlan, make_plan
from client.load.signing import RequestSigner, SignedRequest
from client.load.tally import Tally
from client.payloads import from_texts
from tests.client.fakes import RuntimeServer, ScriptedAws, stack

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws) -> None:
    aws.deploy(stack())


async def nobody_watches(_: Tally) -> None:
    await asyncio.Event().wait()


def signer() -> RequestSigner:
    return RequestSigner(Connection(), Target("realtime-dev"), from_texts(["좋아요"]))


def report_of(plan: LoadPlan, **settings: Any) -> dict[str, Any]:
    return LoadGenerator(plan, signer().sign, **settings).run(nobody_watches).report()


def holding_the_first(seconds: float) -> Callable[[web.Request], Any]:
    """An endpoint that keeps its first caller waiting and answers all others at once."""
    first = True

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal first
        if first:
            first = False
            await asyncio.sleep(seconds)
        return web.Response(text="[]", headers={"x-amzn-Invoked-Production-Variant": "primary"})

    return respond


def test_a_closed_loop_sends_as_many_as_were_asked_for(runtime: RuntimeServer, run: Run) -> None:
    # WHEN three callers send 50 requests between them
    result = run("load", "realtime", "--concurrency", "3", "--requests", "50", "--json")

    # THEN all are answered and counted per variant, and one more went ahead uncounted
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["requests"] == {"sent": 50, "answered": 50, "failed": 0, "not_sent": 0}
    assert report["variants"] == {"primary": 50}
    assert report["errors"] == []
    latency = report["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert len(runtime.requests) == 51


def test_no_more_callers_than_asked_for_wait_at_once(runtime: RuntimeServer) -> None:
    waiting, most = 0, 0

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.005)
        waiting -= 1
        return web.Response(text="[]")

    runtime.respond = respond
    report_of(LoadPlan(concurrency=4, requests=40))
    assert most == 4


def test_an_open_loop_does_not_wait_for_answers(runtime: RuntimeServer) -> None:
    # GIVEN an endpoint that answers nobody before ten have asked
    asked, enough = 0, asyncio.Event()

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 10:
            enough.set()
        await enough.wait()
        return web.Response(text="[]")

    runtime.respond = respond

    # WHEN ten requests begin at a rate, THEN all are answered
    report = report_of(LoadPlan(rate=200, duration_seconds=30, requests=10), timeout_seconds=20)
    assert report["requests"] == {"sent": 10, "answered": 10, "failed": 0, "not_sent": 0}


def test_latency_counts_from_the_intended_time(
    runtime: RuntimeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN one connection, and an endpoint that holds the first request for 400 ms
    monkeypatch.setattr(generator, "MAX_IN_FLIGHT", 1)
    runtime.respond = holding_the_first(0.4)

    # WHEN twenty requests are due, one each 10 ms
    report = report_of(LoadPlan(rate=100, duration_seconds=30, requests=20))

    # THEN those that had to wait their turn carry that wait: the last was due at 190 ms and left after 400 ms
    assert report["requests"]["answered"] == 20
    assert report["latency_ms"]["p50"] > 250
    assert report["latency_ms"]["max"] >= 400
    assert report["send_lag_ms"]["p50"] > 250


def test_requests_that_there_was_no_time_for_are_not_forgotten(
    runtime: RuntimeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN one connection that is taken for longer than the load lasts
    monkeypatch.setattr(generator, "MAX_IN_FLIGHT", 1)
    hold = holding_the_first(0.6)
    preflight = True

    async def respond(request: web.Request) -> web.StreamResponse:
        nonlocal preflight
        if preflight:
            preflight = False
            return web.Response(text="[]")
        answer: web.StreamResponse = await hold(request)
        return answer

    runtime.respond = respond

    # WHEN
    result = run("load", "realtime", "--rate", "100", "--duration", "200ms")

    # THEN it says how many, and that is no success
    assert result.exit_code == 3
    assert "1 sent, 1 answered" in result.stdout
    assert "19 requests could not be sent in time" in result.stdout


def test_failures_are_counted_by_kind_with_a_sample(runtime: RuntimeServer, run: Run, tmp_path: Path) -> None:
    # GIVEN a model that fails every second time
    count = 0

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        if count % 2:
            return web.Response(text="[]", headers={"x-amzn-Invoked-Production-Variant": "blue"})
        body = {"Message": f"failure {count}", "OriginalStatusCode": 500}
        return web.json_response(body, status=424, headers={"x-amzn-ErrorType": "ModelError"})

    runtime.respond = respond
    output = tmp_path / "load.json"

    # WHEN
    result = run("load", "realtime", "--concurrency", "1", "--requests", "10", "--output", str(output))

    # THEN
    assert result.exit_code == 3
    report = json.loads(output.read_text())
    assert report["requests"] == {"sent": 10, "answered": 5, "failed": 5, "not_sent": 0}
    assert report["errors"] == [{"kind": "ModelError 424 (model: 500)", "count": 5, "sample": "failure 2"}]
    assert report["variants"] == {"blue": 5}
    assert "5 x ModelError 424 (model: 500)" in result.stdout
    assert "for example: failure 2" in result.stdout


def test_a_dead_endpoint_is_counted_not_raised(runtime: RuntimeServer) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    runtime.respond = respond
    report = report_of(LoadPlan(concurrency=1, requests=3))
    assert report["latency_ms"] is None
    assert [(error["kind"], error["count"]) for error in report["errors"]] == [("connection broken", 3)]


def test_an_answer_that_does_not_come_is_a_failure(runtime: RuntimeServer) -> None:
    runtime.respond = holding_the_first(30)
    report = report_of(LoadPlan(concurrency=1, requests=2), timeout_seconds=0.2)
    assert report["requests"]["answered"] == 1
    assert [error["kind"] for error in report["errors"]] == ["no answer in time"]


def test_load_goes_to_the_named_endpoint_only(runtime: RuntimeServer) -> None:
    runtime.answer_with(307, Location=f"http://127.0.0.1:{runtime.port}/endpoints/elsewhere/invocations")
    report = report_of(LoadPlan(concurrency=1, requests=2))
    assert [error["kind"] for error in report["errors"]] == ["HTTP 307"]
    assert {request.match_info["name"] for request in runtime.requests} == {"realtime-dev"}


def test_a_wrong_set_up_ends_in_one_message(runtime: RuntimeServer, run: Run) -> None:
    runtime.answer_with(400, '{"message": "no such variant"}', **{"x-amzn-ErrorType": "ValidationError"})
    result = run("load", "realtime", "--target-variant", "nope")
    assert result.exit_code == 1
    assert "No load was made. The endpoint refused the request: no such variant" in result.stderr
    assert len(runtime.requests) == 1


def test_ctrl_c_keeps_what_was_counted(runtime: RuntimeServer, run: Run) -> None:
    # GIVEN a load without end, interrupted when the twentieth request has arrived
    count = 0

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        if count == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return web.Response(text="[]")

    runtime.respond = respond

    # WHEN
    result = run("load", "realtime", "--concurrency", "2", "--duration", "1h", "--json")

    # THEN the figures so far are shown, and the exit status says that it was interrupted
    assert result.exit_code == 130
    report = json.loads(result.stdout)
    assert report["interrupted"] is True
    assert report["requests"]["answered"] >= 10


def test_signatures_are_renewed_and_an_end_of_credentials_ends_the_run(
    runtime: RuntimeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN credentials that can be used three times
    monkeypatch.setattr(generator, "RESIGN_AFTER_SECONDS", 0.02)
    real, used = signer(), 0

    def sign() -> SignedRequest:
        nonlocal used
        used += 1
        if used > 3:
            raise NoCredentialsError()
        return real.sign()

    # WHEN a long load runs, THEN it ends with the reason as soon as they cannot be renewed
    with pytest.raises(NoCredentialsError):
        LoadGenerator(LoadPlan(concurrency=1, duration_seconds=60), sign).run(nobody_watches)
    assert used == 4


def test_a_request_is_signed_as_boto3_would_and_nothing_is_sent(runtime: RuntimeServer) -> None:
    # GIVEN what boto3 itself sends
    target, payload = Target("realtime-dev", "blue", "text/csv"), from_texts(["좋아요"])
    connection = Connection()
    connection.client("sagemaker-runtime").invoke_endpoint(**target.parameters(payload))
    [sent] = runtime.requests

    # WHEN the same is signed for many
    signed = RequestSigner(connection, target, payload).sign()

    # THEN it is the same but for the time, and has not been sent
    assert signed.url == f"http://127.0.0.1:{runtime.port}/endpoints/realtime-dev/invocations"
    assert signed.body == runtime.bodies[0]
    for name in ("Content-Type", "Accept", "X-Amzn-SageMaker-Target-Variant"):
        assert signed.headers[name] == sent.headers[name]
    parts = [
        headers["Authorization"].rpartition("Signature=")[0] for headers in (signed.headers, sent.headers)
    ]
    assert parts[0] == parts[1]
    assert not any(name.lower().startswith("amz-sdk-") for name in signed.headers)
    assert len(runtime.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate": 1.0, "concurrency": 1}, "not both"),
        ({}, "give --rate or --concurrency"),
        ({"rate": 0.0}, "--rate 0"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"rate": 5_001.0}, "at most 5,000"),
        ({"concurrency": 0}, "--concurrency 0"),
        ({"concurrency": 501}, "1 to 500"),
        ({"concurrency": 1, "duration_seconds": 3_601.0}, "at most one hour"),
        ({"concurrency": 1, "requests": 0}, "--requests 0"),
        ({"rate": 5_000.0, "duration_seconds": 3_600.0, "requests": 5_000_001}, "--requests 5000001"),
    ],
)
def test_a_load_beyond_the_limits_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        LoadPlan(**arguments)
    assert words in error.value.hint


def test_all_findings_are_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        LoadPlan(rate=-1, duration_seconds=0, requests=0)
    assert len(error.value.hint.splitlines()) == 3


@given(st.floats(0.01, 5_000), st.floats(0.01, 3_600), st.integers(1, 5_000_000))
def test_an_open_loop_never_plans_more_than_asked(rate: float, duration: float, requests: int) -> None:
    planned = LoadPlan(rate=rate, duration_seconds=duration, requests=requests).planned
    assert 1 <= planned <= requests
    assert planned <= rate * duration + 1


def test_defaults() -> None:
    plan = make_plan(None, None, None, None)
    assert (plan.concurrency, plan.rate, plan.duration_seconds) == (4, None, 30)
    assert make_plan(None, 2, None, 10).duration_seconds == 3_600
    assert make_plan(5, None, None, None).planned == 150


def test_an_output_folder_that_is_not_there_is_told_before_the_load(
    runtime: RuntimeServer, run: Run, tmp_path: Path
) -> None:
    result = run("load", "realtime", "--output", str(tmp_path / "missing" / "load.json"))
    assert result.exit_code == 1
    assert "there is no folder" in result.stderr
    assert runtime.requests == []


@given(st.integers(300, 599), st.binary(), st.text())
def test_any_failed_answer_has_a_kind_and_a_short_sample(status: int, body: bytes, code: str) -> None:
    kind, sample = kind_and_sample((status, {"x-amzn-ErrorType": code}, body))
    assert str(status) in kind
    assert 0 < len(sample) <= 500
