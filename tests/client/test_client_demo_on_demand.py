from __future__ import annotations

import io
import itertools
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import Result

from client.async_inference.answers import Written
from client.async_inference.notifications import Notification
from client.async_inference.progress import Instances
from client.async_inference.results import COMPLETED, FAILED
from client.async_inference.results import Result as Ended
from client.async_inference.sending import Request
from client.demos import lambda_inference, serverless
from client.demos.async_inference import Detected
from client.detections import DetectedFrame, Detection, Detections
from tests.client.fakes import VERDICTS, RuntimeServer, ScriptedAws, endpoint, stack

Run = Callable[..., Result]


def counted(invocations: int, cold_starts: int, microseconds: int = 0) -> dict[str, Any]:
    values = {"invocations": invocations, "cold_starts": cold_starts, "setup": microseconds}
    return {
        "MetricDataResults": [
            {"Id": f"m0_{key}", "Values": [float(value)]} for key, value in values.items() if value
        ]
    }


@pytest.fixture
def on_demand(aws: ScriptedAws, runtime: RuntimeServer) -> RuntimeServer:
    """A serverless endpoint that throttles every second large request."""
    aws.deploy(
        stack(
            "serverless",
            "ServerlessInference",
            outputs={
                "EndpointName": "serverless-dev",
                "EndpointConfigName": "config-2",
                "VariantNames": "primary",
            },
        )
    )
    variant = {"VariantName": "primary", "CurrentServerlessConfig": {"MaxConcurrency": 2}}
    aws.answers["DescribeEndpoint"] = endpoint(EndpointName="serverless-dev", ProductionVariants=[variant])
    aws.answers["GetMetricData"] = [
        counted(0, 0),  # nobody called: no pause
        counted(0, 0),
        counted(1, 1, 250_000),
        counted(1, 1, 250_000),
        counted(2, 1, 250_000),
    ]
    numbers = itertools.count()

    async def respond(request: web.Request) -> web.StreamResponse:
        if len(await request.read()) > 10_000 and next(numbers) % 2:
            words = json.dumps({"Message": "Rate exceeded"})
            return web.Response(status=400, text=words, headers={"x-amzn-ErrorType": "ThrottlingException"})
        return web.Response(body=VERDICTS, content_type="application/json")

    runtime.respond = respond
    return runtime


@pytest.mark.usefixtures("on_demand")
def test_a_cold_call_a_warm_one_and_a_throttled_crowd_are_shown(run: Run) -> None:
    result = run("demo", "serverless")
    assert result.exit_code == 0, result.stderr
    for words in ("cold", "250 ms", "warm", "3 throttled", "3 answered", "What to try next"):
        assert words in result.stdout


def test_a_second_cold_start_fails_the_demo(on_demand: RuntimeServer, aws: ScriptedAws, run: Run) -> None:
    aws.answers["GetMetricData"][-1] = counted(2, 2, 500_000)
    result = run("demo", "serverless", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "second call was not warm" in result.stderr


def test_a_warm_first_call_fails_the_demo_in_the_sandbox(
    on_demand: RuntimeServer, aws: ScriptedAws, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serverless, "_PAUSE_SECONDS_SANDBOX", 0)
    aws.answers["GetMetricData"] = [counted(number, 1, 9) for number in (1, 1, 2, 2, 3)]
    result = run("demo", "serverless")
    assert result.exit_code == 1
    assert "first call was not cold" in result.stderr


def test_an_endpoint_that_throttles_nobody_fails_the_demo(on_demand: RuntimeServer, run: Run) -> None:
    on_demand.respond = on_demand._verdicts
    result = run("demo", "serverless")
    assert result.exit_code == 1
    assert "none was throttled" in result.stderr


def reported(inits: list[float | None]) -> Callable[[Any], dict[str, Any]]:
    """Answers whose logs tell in turn what the start of an environment took; the last one again and again."""
    left = list(inits)

    def answer(_: Any) -> dict[str, Any]:
        init = left.pop(0) if len(left) > 1 else left[0]
        words = "START RequestId: 1\nREPORT RequestId: 1\tDuration: 2.00 ms\t"
        words += f"Init Duration: {init:.2f} ms\t\n" if init is not None else "\n"
        return {
            "Payload": io.BytesIO(VERDICTS),
            "ExecutedVersion": "3",
            "LogResult": b64encode(words.encode()).decode(),
        }

    return answer


@pytest.fixture
def function(aws: ScriptedAws, runtime: RuntimeServer) -> RuntimeServer:
    """A function behind a URL that wants signatures."""
    aws.deploy(
        stack(
            "lambda",
            "LambdaInference",
            outputs={
                "FunctionName": "lambda-dev",
                "FunctionAlias": "live",
                "FunctionArn": "arn:aws:lambda:ap-northeast-2:000000000000:function:lambda-dev:live",
                "HttpUrl": f"http://127.0.0.1:{runtime.port}/endpoints/function/url",
                "HttpFront": "function_url",
            },
        )
    )
    aws.answers["GetAlias"] = {"FunctionVersion": "3"}
    aws.answers["GetFunctionConfiguration"] = {"State": "Active", "LastUpdateStatus": "Successful"}
    aws.answers["Invoke"] = reported([180.0, None])
    aws.fail("GetProvisionedConcurrencyConfig", "ProvisionedConcurrencyConfigNotFoundException", "none")

    async def respond(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.json_response({"Message": "Forbidden"}, status=403)
        return web.Response(body=VERDICTS, content_type="application/json")

    runtime.respond = respond
    return runtime


@pytest.mark.usefixtures("function")
def test_a_function_is_called_both_ways_and_refuses_the_unsigned(aws: ScriptedAws, run: Run) -> None:
    result = run("demo", "lambda")
    aws.answers["Invoke"] = reported([180.0, None])
    for_programs = run("demo", "lambda", "--json")
    assert (result.exit_code, for_programs.exit_code) == (0, 0), result.stderr
    for words in (
        "Lambda API, first call",
        "cold: 180 ms",
        "warm",
        "HTTP, signed",
        "refused (403)",
        "What to try next",
    ):
        assert words in result.stdout
    found = json.loads(for_programs.stdout)
    assert [one["labels"] for one in found["calls"]] == [["positive", "negative"]] * 4
    assert [one["init_ms"] for one in found["calls"]] == [180.0, None, None, None]
    assert found["unsigned_status"] == 403


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize(
    ("inits", "status", "words"),
    [
        ([None, 170.0, None], 0, ""),  # one was warm still: the demo waits until it is gone
        ([None], 1, "first call was not cold"),
        ([180.0, 170.0], 1, "next call was not warm"),
    ],
)
def test_a_cold_call_comes_first_and_a_warm_one_next(
    aws: ScriptedAws,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    inits: list[float | None],
    status: int,
    words: str,
) -> None:
    monkeypatch.setattr(lambda_inference, "_PAUSE_SECONDS_SANDBOX", 0)
    aws.answers["Invoke"] = reported(inits)
    result = run("demo", "lambda")
    assert result.exit_code == status, result.stderr
    assert words in result.stderr


@pytest.mark.usefixtures("function")
def test_with_environments_started_ahead_no_call_need_be_cold(aws: ScriptedAws, run: Run) -> None:
    aws.answers["GetProvisionedConcurrencyConfig"] = {"Status": "READY"}
    aws.answers["Invoke"] = reported([None])
    assert run("demo", "lambda").exit_code == 0


def test_a_front_that_is_open_to_all_fails_the_demo(function: RuntimeServer, run: Run) -> None:
    function.respond = function._verdicts
    result = run("demo", "lambda")
    assert result.exit_code == 1
    assert "without a signature was answered 200" in result.stderr


@pytest.mark.usefixtures("function")
def test_ways_that_differ_fail_the_demo(aws: ScriptedAws, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = json.dumps([{"label": "positive", "score": 0.6}, {"label": "negative", "score": 0.6}]).encode()
    monkeypatch.setattr(lambda_inference, "_PAUSE_SECONDS_SANDBOX", 0)
    aws.answers["Invoke"] = lambda _: {"Payload": io.BytesIO(other)}
    result = run("demo", "lambda")
    assert result.exit_code == 1
    assert "do not give the same answers" in result.stderr


FOUND = Detections(640, 360, (DetectedFrame(0, 0.0, (Detection((1, 2, 3, 4), 0.9, 1),)),))


def detected(**changes: Any) -> Detected:
    """What the demo comes to if all was well, with changes."""
    request = Request("id", Path("clip.mp4"), "s3://b/input/x", "s3://b/output/x", "s3://b/failure/x")
    told = Notification("id", "Completed", {})
    given: dict[str, Any] = {
        "good": Written(Ended(request, COMPLETED, 1.0, told, b"{}"), Path("a"), FOUND, Path("a.png")),
        "broken": Written(Ended(request, FAILED, 1.0, Notification("id", "Failed", {}), b"truncated")),
        "instances": Instances(),
        "sleeps": True,
        "asleep_again": True,
        **changes,
    }
    given["instances"].seen = changes.get("seen", [0, 1, 0])
    given.pop("seen", None)
    return Detected(**given, next_steps=[])


def test_a_video_that_woke_the_endpoint_is_well() -> None:
    outcome = detected()
    assert outcome.problem is None
    assert outcome.as_dict()["instances"] == [0, 1, 0]


REQUEST = Request("id", Path("clip.mp4"), "s3://b/input/x", "s3://b/output/x", "s3://b/failure/x")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seen": [1]}, "not seen to wake"),
        ({"asleep_again": False}, "did not go back to zero"),
        ({"good": Written(Ended(REQUEST, COMPLETED, 1.0, None, b"{}", "lost"))}, "no success notification"),
        ({"good": Written(Ended(REQUEST, FAILED, 1.0, None, b"why"))}, "the video ended as Failed"),
        ({"broken": Written(Ended(REQUEST, COMPLETED, 1.0, None, b"{}"))}, "had to fail"),
        ({"broken": Written(Ended(REQUEST, FAILED, 1.0, None, None))}, "no error notification"),
        ({"broken": Written(Ended(REQUEST, FAILED, 1.0, None, None))}, "no failure object"),
    ],
)
def test_what_is_missing_of_asynchronous_inference_is_told(changes: dict[str, Any], words: str) -> None:
    problem = detected(**changes).problem
    assert problem is not None
    assert words in f"{problem.message} {problem.hint}"


def test_an_endpoint_that_never_sleeps_need_not_wake() -> None:
    assert detected(sleeps=False, asleep_again=False, seen=[1]).problem is None
