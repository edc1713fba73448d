"""The Lambda function: direct events and HTTP requests get the answers of an endpoint."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "sentiment"
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [
    ROOT / "model_code" / name for name in ("lambda_handler", "lambda_sentiment", "sentiment", "shared")
]
REVIEWS = ["불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요."]


@pytest.fixture(scope="module")
def handler(code: SimpleNamespace) -> Iterator[ModuleType]:
    """The handler as Lambda has it: with the model's modules beside it."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LAMBDA_TASK_ROOT", str(code.folder))
    patch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3538")
    patch.setenv("OMP_NUM_THREADS", "forgotten")
    patch.delenv("OMP_NUM_THREADS")
    for name in ("inference", "client_errors"):
        patch.setitem(sys.modules, name, getattr(code, name))
    spec = importlib.util.spec_from_file_location("lambda_handler", FOLDERS[0] / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    patch.undo()


def http(body: str | None, *, method: str = "POST", encoded: bool = False, **headers: str) -> dict[str, Any]:
    """An event in payload format 2.0, as function URLs and HTTP APIs send it."""
    return {
        "version": "2.0",
        "rawPath": "/",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": "/"}},
        "body": body,
        "isBase64Encoded": encoded,
    }


def test_libraries_compute_with_the_cores_that_the_memory_brings(handler: ModuleType) -> None:
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_direct_and_http_events_get_the_same_answers(handler: ModuleType) -> None:
    # GIVEN a request
    request = {"inputs": REVIEWS}

    # WHEN it comes directly, over HTTP, and over HTTP in base64
    direct = handler.handler(request, None)
    body = json.dumps(request, ensure_ascii=False)
    plain = handler.handler(http(body, content_type="application/json"), None)
    coded = handler.handler(http(base64.b64encode(body.encode()).decode(), encoded=True), None)

    # THEN the answers are the same, and right
    assert [answer["label"] for answer in direct] == ["positive", "negative"]
    assert plain["statusCode"] == coded["statusCode"] == 200
    assert json.loads(plain["body"]) == json.loads(coded["body"]) == direct
    assert plain["headers"]["content-type"].startswith("application/json")


def test_http_speaks_the_formats_of_an_endpoint(handler: ModuleType) -> None:
    # GIVEN JSON lines, and an answer wanted as CSV
    lines = "\n".join(json.dumps({"text": [review]}, ensure_ascii=False) for review in REVIEWS)

    # WHEN they are sent
    answer = handler.handler(http(lines, content_type="application/jsonlines", accept="text/csv"), None)

    # THEN so it is
    assert answer["statusCode"] == 200
    assert [row.split(",")[0] for row in answer["body"].splitlines()] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("event", "status", "word"),
    [
        (http("{", content_type="application/json"), 400, "JSON"),
        (http(None), 400, "JSON"),
        (http('{"inputs": ["x"]}', content_type="image/png"), 415, "image/png"),
        (http('{"inputs": ["x"]}', accept="image/png"), 406, "image/png"),
        (http("", method="GET"), 405, "POST"),
        (http("%%%", encoded=True), 400, "base64"),
        ({"requestContext": {}, "httpMethod": "POST", "body": "{}"}, 400, "2.0"),
    ],
    ids=["json", "no body", "content type", "accept", "method", "base64", "format 1.0"],
)
def test_a_bad_http_request_gets_its_status_and_the_reason(
    handler: ModuleType, event: dict[str, Any], status: int, word: str
) -> None:
    # GIVEN a request that is wrong
    # WHEN it comes over HTTP
    answer = handler.handler(event, None)

    # THEN the status is the client's, and the reason is told
    assert answer["statusCode"] == status
    assert word in json.loads(answer["body"])["error"]


@pytest.mark.parametrize("event", [{}, {"inputs": []}, {"inputs": [1]}, [], "text", None, 7])
def test_a_bad_direct_request_raises_what_lambda_reports(handler: ModuleType, event: object) -> None:
    # GIVEN an event that is no request
    # WHEN it comes directly
    # THEN the error names its class and says what is allowed
    with pytest.raises(Exception, match="400 Bad Request") as raised:
        handler.handler(event, None)
    assert type(raised.value).__name__ == "RequestError"


@given(body=st.binary(max_size=200), content_type=st.text(max_size=30), accept=st.text(max_size=30))
def test_whatever_comes_over_http_is_answered_with_a_status(
    handler: ModuleType, body: bytes, content_type: str, accept: str
) -> None:
    # GIVEN any body and headers
    event = http(base64.b64encode(body).decode(), encoded=True, content_type=content_type, accept=accept)

    # WHEN they come over HTTP
    answer = handler.handler(event, None)

    # THEN there is a status of the client's or success, and text to send
    assert answer["statusCode"] in {200, 400, 406, 413, 415}
    assert isinstance(answer["body"], str)


def test_the_image_holds_all_that_the_handler_imports(tmp_path: Path) -> None:
    # GIVEN what the Dockerfile copies, laid together as the build context is
    for folder in FOLDERS:
        for path in [*folder.glob("*.py"), *folder.glob("model.npz")]:
            target = tmp_path / path.name
            assert not target.exists(), f"{path.name} is in two folders"
            target.write_bytes(path.read_bytes())
    dockerfile = (FOLDERS[1] / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY *.py model.npz" in dockerfile

    # WHEN a fresh interpreter without anything else on its path imports the handler and asks
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import handler; "
        "print(json.dumps(handler.handler({'inputs': ['최고의 영화입니다']}, None)))"
    )
    asked = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path)],
        env={**os.environ, "LAMBDA_TASK_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # THEN it answers
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)[0]["label"] == "positive"
