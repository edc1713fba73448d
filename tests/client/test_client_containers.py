from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from typer.testing import Result

from client.predictions import Prediction, Similarity, Summary, read_answers, read_predictions
from tests.client.fakes import RuntimeServer, ScriptedAws, container_stack

Run = Callable[..., Result]

ANSWERS = {
    "sentiment": [{"label": "positive", "score": 0.95}],
    "similarity": [{"score": 4.25}],
    "summarization": [{"summary": ["둘째.", "넷째."], "positions": [1, 3]}],
}


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws, runtime: RuntimeServer) -> None:
    aws.deploy(container_stack("multi-container", "Direct", *ANSWERS))

    async def respond(request: web.Request) -> web.StreamResponse:
        hostname = request.headers["X-Amzn-SageMaker-Target-Container-Hostname"]
        return web.json_response(ANSWERS[hostname])

    runtime.respond = respond


def sent(runtime: RuntimeServer) -> object:
    return json.loads(runtime.bodies[-1])


def test_two_texts_for_the_similarity_container_are_a_pair(runtime: RuntimeServer, run: Run) -> None:
    arguments = ("invoke", "multi-container", "--container", "similarity", "비가 온다", "비가 내린다")
    result, for_programs = run(*arguments), run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    assert sent(runtime) == {"pairs": [["비가 온다", "비가 내린다"]]}
    for words in ("비가 온다", "비가 내린다", "4.25 of 5"):
        assert words in result.stdout
    assert json.loads(for_programs.stdout)["similarities"] == [
        {"sentences": ["비가 온다", "비가 내린다"], "score": 4.25}
    ]


def test_three_texts_make_no_pairs(runtime: RuntimeServer, run: Run) -> None:
    result = run("invoke", "multi-container", "--container", "similarity", "하나", "둘", "셋")
    assert result.exit_code == 1
    assert "3 texts make no pairs" in result.stderr
    assert not runtime.requests


def test_a_text_for_the_summarization_container(runtime: RuntimeServer, run: Run) -> None:
    arguments = ("invoke", "multi-container", "--container", "summarization", "첫째. 둘째. 셋째. 넷째.")
    result, for_programs = run(*arguments), run(*arguments, "--json")
    assert sent(runtime) == {"inputs": ["첫째. 둘째. 셋째. 넷째."], "sentences": 2}
    assert "2. 둘째." in result.stdout
    assert "4. 넷째." in result.stdout
    [summary] = json.loads(for_programs.stdout)["summaries"]
    assert summary == {"text": "첫째. 둘째. 셋째. 넷째.", "summary": ["둘째.", "넷째."], "positions": [1, 3]}


@pytest.mark.parametrize(
    ("hostname", "key"), [("sentiment", "inputs"), ("similarity", "pairs"), ("summarization", "inputs")]
)
def test_each_container_has_an_example_of_its_own(
    runtime: RuntimeServer, run: Run, hostname: str, key: str
) -> None:
    assert run("invoke", "multi-container", "--container", hostname).exit_code == 0
    body = sent(runtime)
    assert isinstance(body, dict)
    assert body[key]


def test_json_of_ones_own(runtime: RuntimeServer, run: Run) -> None:
    body = '{"sentence1": "하나", "sentence2": "둘"}'
    arguments = ("invoke", "multi-container", "--container", "similarity")
    result = run(*arguments, "--json-body", body)
    assert runtime.bodies == [body.encode()]
    assert runtime.requests[0].headers["Content-Type"] == "application/json"
    assert "하나" in result.stdout

    broken = run(*arguments, "--json-body", "{")
    assert broken.exit_code == 1
    assert "--json-body is not JSON" in broken.stderr
    both = run(*arguments, "글", "--json-body", body)
    assert "Both texts and --json-body were given" in both.stderr


def test_texts_for_these_containers_are_written_as_json_only(run: Run) -> None:
    result = run(
        "invoke", "multi-container", "--container", "similarity", "a", "b", "--content-type", "text/csv"
    )
    assert result.exit_code == 1
    assert "written as application/json, not 'text/csv'" in result.stderr
    assert "--file" in result.stderr


def test_without_a_hostname_the_hostnames_are_listed(runtime: RuntimeServer, run: Run) -> None:
    result = run("invoke", "multi-container", "좋아요")
    assert result.exit_code == 1
    assert "each request names one" in result.stderr
    assert "--container: sentiment, similarity, summarization" in result.stderr
    assert not runtime.requests


def test_an_unknown_hostname_is_told_with_the_near_one(run: Run) -> None:
    result = run("invoke", "multi-container", "--container", "similarit")
    assert result.exit_code == 1
    assert "has no container 'similarit'" in result.stderr
    assert "Did you mean 'similarity'?" in result.stderr


@pytest.mark.parametrize(
    ("mode", "hostnames", "why"), [("Serial", ("a", "b"), "one after the other"), ("", (), "single")]
)
def test_an_endpoint_that_takes_no_hostname(
    aws: ScriptedAws, run: Run, mode: str, hostnames: tuple[str, ...], why: str
) -> None:
    aws.deploy(container_stack("inference-pipeline", mode, *hostnames))
    result = run("invoke", "inference-pipeline", "--container", "a")
    assert result.exit_code == 1
    assert "takes no container hostname" in result.stderr
    assert why in result.stderr


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ('[{"score": 3}]', "application/json", [Similarity(3.0)]),
        ('{"score": 1}\n{"score": 2}\n', "application/jsonlines", [Similarity(1.0), Similarity(2.0)]),
        ('[{"summary": ["가"], "positions": [0]}]', "application/json", [Summary(("가",), (0,))]),
        (
            '[{"label": "positive", "score": 1, "ko": "긍정", "en": "Positive"}]',
            "application/json",
            [Prediction("positive", 1.0, "긍정", "Positive")],
        ),
        ('[{"other": 1}]', "application/json", None),
        ('["text"]', "application/json", None),
        ("[1]", "application/json", None),
        ("[]", "application/json", None),
        ('{"score": 1}', "application/json", None),
        ('[{"summary": 5}]', "application/json", None),
        ("hello", "text/plain", None),
    ],
)
def test_answers_are_read_by_their_form(body: str, kind: str, expected: object) -> None:
    assert read_answers(body.encode(), kind) == expected
    labels = expected is not None and all(isinstance(one, Prediction) for one in expected)  # type: ignore[attr-defined]
    assert read_predictions(body.encode(), kind) == (expected if labels else None)
