from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from typer.testing import Result

from client import waiting
from tests.client.fakes import RuntimeServer, ScriptedAws, endpoint, stack

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    monkeypatch.setattr(waiting, "_POLL_SECONDS_SANDBOX", 0.001)
    aws.deploy(stack())
    aws.answers["DescribeEndpoint"] = endpoint()
    return aws


def judge_by(runtime: RuntimeServer, verdict: Callable[[str], str]) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        texts = json.loads(await request.read())["inputs"]
        return web.json_response(
            [{"label": verdict(text), "score": 0.9} for text in texts],
            headers={"x-amzn-Invoked-Production-Variant": "primary"},
        )

    runtime.respond = respond


def by_star(text: str) -> str:
    return "negative" if "1점" in text else "positive"


def test_the_demo_waits_and_shows_both_predictions(
    deployed: ScriptedAws, runtime: RuntimeServer, run: Run
) -> None:
    # GIVEN an endpoint that is still being made, with a model that knows its trade
    judge_by(runtime, by_star)
    deployed.answers["DescribeEndpoint"] = [endpoint(EndpointStatus="Creating")] * 2 + [endpoint()]
    deployed.answers["DescribeScalingPolicies"] = {
        "ScalingPolicies": [
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 600.0,
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                    },
                }
            }
        ]
    }

    # WHEN
    result = run("demo", "realtime")

    # THEN it waits, sends each review by itself, shows label, score and latency, and says what to try
    assert result.exit_code == 0, result.stderr
    assert "realtime-dev is Creating" in result.stderr
    assert len(runtime.requests) == 2
    for words in ("positive", "negative", "0.900", " ms", "What to try next", "make down"):
        assert words in result.stdout
    # 1.5 times the policy's 600 invocations per minute and instance
    assert "-m sandbox run -- " in result.stdout
    assert "load realtime --rate 15 " in result.stdout


def test_a_wrong_prediction_fails_the_demo(runtime: RuntimeServer, run: Run) -> None:
    judge_by(runtime, lambda _: "positive")
    result, for_programs = run("demo", "realtime"), run("demo", "realtime", "--json")
    assert (result.exit_code, for_programs.exit_code) == (1, 1)
    assert "1 of 2 predictions are not right" in result.stderr
    assert "expected negative, got 'positive'" in result.stderr
    assert "What to try next" not in result.stdout
    assert json.loads(for_programs.stdout)["ok"] is False


def test_an_answer_without_labels_fails_the_demo(runtime: RuntimeServer, run: Run) -> None:
    runtime.answer_with(200, "hello", **{"Content-Type": "text/plain"})
    result = run("demo", "realtime")
    assert result.exit_code == 1
    assert "2 of 2 predictions are not right" in result.stderr
    assert "'hello'" in result.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"EndpointStatus": "Failed", "FailureReason": "did not pass the ping health check"},
            "ping health check",
        ),
        ({"EndpointConfigName": "config-1", "FailureReason": "alarm fired"}, "the stack expects config-2"),
        ({"EndpointStatus": "Deleting"}, "is Deleting"),
    ],
)
def test_an_endpoint_that_is_not_what_was_deployed(
    deployed: ScriptedAws, runtime: RuntimeServer, run: Run, changes: dict[str, str], words: str
) -> None:
    deployed.answers["DescribeEndpoint"] = endpoint(**changes)
    result = run("demo", "realtime")
    assert result.exit_code == 1
    assert words in result.stderr
    assert runtime.requests == []


def test_an_endpoint_that_never_becomes_ready(
    deployed: ScriptedAws, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_WAIT_SECONDS", -1)
    deployed.answers["DescribeEndpoint"] = endpoint(EndpointStatus="Creating")
    result = run("demo", "realtime")
    assert result.exit_code == 1
    assert "still Creating" in result.stderr


def test_on_aws_the_hints_name_the_cdk_and_the_cost(
    deployed: ScriptedAws, runtime: RuntimeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    judge_by(runtime, by_star)
    result = run("demo", "realtime")
    assert result.exit_code == 0, result.stderr
    assert ".venv/bin/cdk destroy RealtimeInference" in result.stdout
    assert "costs money" in result.stdout
    assert "sandbox" not in result.stdout


def test_a_pattern_without_a_demo(aws: ScriptedAws, run: Run) -> None:
    aws.deploy(stack("of-my-own", "OfMyOwn"))
    result = run("demo", "of-my-own")
    assert result.exit_code == 1
    assert (
        "There is one of: ab-test, async, batch, blue-green, inference-pipeline, lambda, ml-pipeline, "
        "multi-container, realtime, serverless" in result.stderr
    )
