from __future__ import annotations

import binascii
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import Result

from client.invocation import model_message
from tests.client.fakes import RuntimeServer, ScriptedAws, stack

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws) -> None:
    aws.deploy(stack())


def test_two_reviews_by_default(runtime: RuntimeServer, run: Run) -> None:
    # WHEN nothing is said but the pattern
    result = run("invoke", "realtime")

    # THEN the workshop's two reviews go to its endpoint, and a table shows what came
    assert result.exit_code == 0, result.stderr
    [request] = runtime.requests
    assert request.path == "/endpoints/realtime-dev/invocations"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(runtime.bodies[0])["inputs"][0].startswith("불후의 명작")
    for words in ("불후의 명작", "positive", "0.950", "negative", "0.890", "variant primary", " ms"):
        assert words in result.stdout


def test_own_texts_type_accept_and_variant(runtime: RuntimeServer, run: Run) -> None:
    more = ("--content-type", "text/csv", "--accept", "text/csv", "--target-variant", "green", "--json")
    result = run("invoke", "realtime", "좋아요, 정말", "별로", *more)
    [request] = runtime.requests
    assert runtime.bodies[0].decode().splitlines() == ['"좋아요, 정말"', "별로"]
    assert request.headers["Content-Type"] == "text/csv"
    assert request.headers["Accept"] == "text/csv"
    assert request.headers["X-Amzn-SageMaker-Target-Variant"] == "green"
    answer = json.loads(result.stdout)
    assert [one["text"] for one in answer["predictions"]] == ["좋아요, 정말", "별로"]
    assert answer["variant"] == "primary"
    assert answer["latency_ms"] > 0


def test_standard_input_is_sent_as_it_is(runtime: RuntimeServer, run: Run) -> None:
    result = run(
        "invoke",
        "realtime",
        "--file",
        "-",
        "--content-type",
        "application/x-mine",
        "--json",
        input=b"\x00\xff",
    )
    assert runtime.bodies == [b"\x00\xff"]
    # the texts in it are not known, so predictions are numbered
    assert [one["text"] for one in json.loads(result.stdout)["predictions"]] == ["#1", "#2"]


def test_an_answer_of_another_form_is_shown_as_it_came(runtime: RuntimeServer, run: Run) -> None:
    runtime.answer_with(200, '[bold]{"embedding": [1, 2]}\x1b[31m', **{"Content-Type": "application/json"})
    result = run("invoke", "realtime")
    assert '[bold]{"embedding": [1, 2]}' in result.stdout  # neither markup
    assert "\x1b[31m" not in result.stdout  # nor a way to write to the terminal
    answer = json.loads(run("invoke", "realtime", "--json").stdout)
    assert answer["body"].startswith('[bold]{"embedding"')
    assert "predictions" not in answer


def test_an_error_of_the_model(runtime: RuntimeServer, run: Run) -> None:
    # GIVEN a model that refuses, in the words of AWS's toolkit
    body = {
        "Message": "Received client error (400) from primary",
        "OriginalStatusCode": 400,
        "OriginalMessage": "inputs[0] is empty\nTraceback (most recent call last):\n  File ...\nError: x",
        "LogStreamArn": "arn:aws:logs:somewhere",
    }
    runtime.answer_with(424, json.dumps(body), **{"x-amzn-ErrorType": "ModelError"})

    # WHEN
    result = run("invoke", "realtime", "")

    # THEN status, message and the place of the logs are shown, and the traceback is left to the logs
    assert result.exit_code == 1
    assert "The model answered 400: inputs[0] is empty" in result.stderr
    assert "/aws/sagemaker/Endpoints/realtime-dev" in result.stderr
    assert "arn:aws:logs:somewhere" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"error": "no such label"}', "no such label"),
        ('{"code": 500, "message": "out of memory"}', "out of memory"),
        ("Traceback (most recent call last):\n  File\nValueError: bad\n", "ValueError: bad"),
        ("just words", "just words"),
        ('["a list"]', '["a list"]'),
    ],
)
def test_the_models_own_words(text: str, words: str) -> None:
    assert model_message(text) == words


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "ValidationError", "The endpoint refused the request: because"),
        (429, "ModelNotReadyException", "not ready yet: because"),
        (500, "InternalFailure", "InternalFailure: because"),
        (403, "AccessDeniedException", "Not allowed"),
    ],
)
def test_a_refusal_of_the_endpoint(
    runtime: RuntimeServer, run: Run, status: int, code: str, words: str
) -> None:
    runtime.answer_with(
        status, json.dumps({"message": "because", "Message": "because"}), **{"x-amzn-ErrorType": code}
    )
    result = run("invoke", "realtime")
    assert result.exit_code == 1
    assert words in result.stderr


def test_texts_and_a_file_are_one_too_many(run: Run, tmp_path: Path) -> None:
    result = run("invoke", "realtime", "text", "--file", str(tmp_path / "x.json"))
    assert result.exit_code == 1
    assert "Both texts and --file" in result.stderr


def event(payload: bytes, **headers: str) -> bytes:
    """A message of the type application/vnd.amazon.eventstream."""
    names = {f":{name.replace('_', '-')}": value for name, value in headers.items()}
    fields = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    prelude = struct.pack(">II", 16 + len(fields) + len(payload), len(fields))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + fields + payload
    return message + struct.pack(">I", binascii.crc32(message))


PART = {"message_type": "event", "event_type": "PayloadPart"}


def stream(runtime: RuntimeServer, *messages: bytes, break_off: bool = False) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(
            headers={
                "Content-Type": "application/vnd.amazon.eventstream",
                "X-Amzn-SageMaker-Content-Type": "text/plain",
                "x-amzn-Invoked-Production-Variant": "primary",
            }
        )
        await answer.prepare(request)
        for message in messages:
            await answer.write(message)
        if break_off:
            assert request.transport is not None
            request.transport.abort()
        return answer

    runtime.respond = respond


def test_a_streamed_answer(runtime: RuntimeServer, run: Run) -> None:
    # GIVEN a model that answers in three parts, one of which ends within a character
    word = "좋아요".encode()
    stream(runtime, event(word[:4], **PART), event(word[4:], **PART), event(b"!", **PART))

    # WHEN
    shown, result = (
        run("invoke", "realtime", "x", "--stream"),
        run("invoke", "realtime", "x", "--stream", "--json"),
    )

    # THEN the parts are shown whole, with their number and the time of the first
    assert shown.exit_code == 0, shown.stderr
    assert runtime.requests[0].path.endswith("/invocations-response-stream")
    assert "좋아요!" in shown.stdout
    assert "3 parts, the first after" in shown.stdout
    answer = json.loads(result.stdout)
    assert answer["body"] == "좋아요!"
    assert answer["stream"]["parts"] == 3
    assert 0 < answer["stream"]["first_byte_ms"] <= answer["latency_ms"]


def test_a_model_that_fails_within_a_stream(runtime: RuntimeServer, run: Run) -> None:
    failure = event(
        b'{"Message": "gave up", "ErrorCode": "ModelInvocationTimeExceeded"}',
        message_type="exception",
        exception_type="ModelStreamError",
    )
    stream(runtime, event(b"so far", **PART), failure)
    result = run("invoke", "realtime", "x", "--stream")
    assert result.exit_code == 1
    assert "so far" in result.stdout
    assert "gave up" in result.stderr


def test_a_stream_that_breaks_off(runtime: RuntimeServer, run: Run) -> None:
    stream(runtime, event(b"so far", **PART), event(b"never whole", **PART)[:20], break_off=True)
    result = run("invoke", "realtime", "x", "--stream")
    assert result.exit_code == 1
    assert "broke off after 1 part" in result.stderr
