from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from typer.testing import Result

from client.demos import inference_pipeline
from tests.client.fakes import RuntimeServer, ScriptedAws, container_stack, endpoint

Run = Callable[..., Result]

DIRECT = {
    "sentiment": [{"label": "positive", "score": 0.95}, {"label": "negative", "score": 0.9}],
    "similarity": [{"score": 4.5}, {"score": 2.0}, {"score": 0.1}],
    "summarization": [{"summary": ["하나.", "둘."], "positions": [0, 2]}],
}
RENDERED = [
    {"label": "positive", "score": 0.96, "ko": "긍정적입니다 (96 %)", "en": "Positive (96 %)"},
    {"label": "negative", "score": 0.73, "ko": "부정에 가깝습니다 (73 %)", "en": "Probably negative (73 %)"},
]


@pytest.fixture
def direct(aws: ScriptedAws, runtime: RuntimeServer) -> None:
    """Three containers; a request that names none is refused."""
    aws.deploy(container_stack("multi-container", "Direct", *DIRECT))
    aws.answers["DescribeEndpoint"] = endpoint(EndpointName="multi-container-dev")

    async def respond(request: web.Request) -> web.StreamResponse:
        hostname = request.headers.get("X-Amzn-SageMaker-Target-Container-Hostname")
        if hostname is None:
            words = json.dumps({"Message": "the target container hostname header is required"})
            return web.Response(status=400, text=words, headers={"x-amzn-ErrorType": "ValidationError"})
        return web.json_response(DIRECT[hostname])

    runtime.respond = respond


@pytest.mark.usefixtures("direct")
def test_three_models_and_the_refusal_are_shown(run: Run) -> None:
    result, for_programs = run("demo", "multi-container"), run("demo", "multi-container", "--json")
    assert (result.exit_code, for_programs.exit_code) == (0, 0), result.stderr
    for words in (
        *DIRECT,
        "0.950",
        "4.50 of 5",
        "3. 둘.",
        "refused",
        "hostname header is required",
        "What to try",
    ):
        assert words in result.stdout
    found = json.loads(for_programs.stdout)
    assert found["ok"] is True
    assert [one["hostname"] for one in found["containers"]] == list(DIRECT)
    assert found["containers"][1]["similarities"][0]["score"] == 4.5


@pytest.mark.usefixtures("direct")
def test_a_container_with_another_models_answer_fails_the_demo(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIRECT, "similarity", [{"label": "positive", "score": 0.5}])
    result = run("demo", "multi-container")
    assert result.exit_code == 1
    assert "similarity answered" in result.stderr


def test_an_endpoint_that_refuses_nothing_fails_the_demo(
    aws: ScriptedAws, runtime: RuntimeServer, run: Run
) -> None:
    aws.deploy(container_stack("multi-container", "Direct", "sentiment"))
    aws.answers["DescribeEndpoint"] = endpoint(EndpointName="multi-container-dev")
    result = run("demo", "multi-container")
    assert result.exit_code == 1
    assert "without TargetContainerHostname was not refused" in result.stderr


@pytest.fixture
def pipeline(aws: ScriptedAws, runtime: RuntimeServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    monkeypatch.setattr(inference_pipeline, "_METRICS_WITHIN_SECONDS_SANDBOX", 0.05)
    monkeypatch.setattr(inference_pipeline, "_POLL_SECONDS", 0.01)
    aws.deploy(container_stack("inference-pipeline", "Serial", "normalize", "classify", "render"))
    aws.answers["DescribeEndpoint"] = endpoint(EndpointName="inference-pipeline-dev")

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.json_response(RENDERED)

    runtime.respond = respond
    return aws


def test_the_readable_answer_and_every_stage_are_shown(
    pipeline: ScriptedAws, runtime: RuntimeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_pipeline, "_METRICS_WITHIN_SECONDS_SANDBOX", 30)
    # GIVEN figures that arrive at the second look
    some = [{"Id": f"m{stage}_invocations", "Values": [40.0]} for stage in range(3)]
    latency = {"Id": "m1_latency_p50_ms", "Values": [1_250.0]}
    pipeline.answers["GetMetricData"] = [{"MetricDataResults": []}, {"MetricDataResults": [*some, latency]}]

    # WHEN
    result = run("demo", "inference-pipeline")

    # THEN raw text went in, words came out, and each stage has its figures
    assert result.exit_code == 0, result.stderr
    assert "ㅋㅋㅋㅋㅋㅋ" in json.loads(runtime.bodies[0])["inputs"][0]
    assert "normalize -> classify -> render" in result.stderr
    for words in (
        "긍정적입니다 (96 %)",
        "Probably negative",
        "normalize",
        "classify",
        "render",
        "1.25",
        "40",
    ):
        assert words in result.stdout
    assert "no figures yet" not in result.stdout


def test_without_figures_the_answer_is_what_matters(pipeline: ScriptedAws, run: Run) -> None:
    assert "no figures yet" in run("demo", "inference-pipeline").stdout
    pipeline.fail("GetMetricData", "AccessDenied", "you may not")
    result = run("demo", "inference-pipeline", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["stages"][0] == {"hostname": "normalize"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"label": "positive", "score": 0.9}] * 2, "no Korean and English words"),
        (RENDERED[::-1], "Expected the labels positive, negative"),
    ],
)
@pytest.mark.usefixtures("pipeline")
def test_another_answer_fails_the_demo(
    runtime: RuntimeServer, run: Run, answer: list[dict[str, object]], words: str
) -> None:
    runtime.answer_with(200, json.dumps(answer), **{"Content-Type": "application/json"})
    result = run("demo", "inference-pipeline")
    assert result.exit_code == 1
    assert words in result.stderr
