"""The handler functions behind AWS's own toolkit, in process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

MODEL = "sentiment"

REVIEWS = ["불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요."]


Send = Callable[..., tuple[Any, str]]


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"Content_Type": "application/json"}, "application/json"),
        ({"Content_Type": "application/json; charset=utf-8", "Accept": "*/*"}, "application/json"),
        ({"Accept": "application/jsonlines"}, "application/jsonlines"),
        ({"Content_Type": "application/json", "Accept": "text/csv"}, "text/csv"),
    ],
)
def test_the_workshops_request_is_answered(send: Send, headers: dict[str, str], kind: str) -> None:
    # GIVEN the workshop's two reviews WHEN they are sent
    context, answer = send(json.dumps({"inputs": REVIEWS}).encode(), **headers)

    # THEN the answer is there in the type asked for, positive before negative
    assert (context.status, context.content_type) == (200, kind)
    assert 0 <= answer.index("positive") < answer.index("negative")
    if kind == "application/json":
        assert [entry["label"] for entry in json.loads(answer)] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "phrase", "said"),
    [
        (b'{"inputs": [""]}', {"Content_Type": "application/json"}, 400, "Bad Request", "inputs[0] is empty"),
        (b"{", {"Content_Type": "application/json"}, 400, "Bad Request", "malformed"),
        (
            b'{"text": "\xff"}',
            {"Content_Type": "application/json;charset=utf-8"},
            400,
            "Bad Request",
            "UTF-8",
        ),
        (b"\xff", {"Content_Type": "text/plain"}, 400, "Bad Request", "UTF-8"),
        (b"x", {"Content_Type": "image/png"}, 415, "Unsupported Media Type", "not supported"),
        (b'{"text": "a"}', {"Accept": "image/png"}, 406, "Not Acceptable", "no answer can be written"),
        (b"a" * 10_001, {"Content_Type": "text/plain"}, 413, "Request Entity Too Large", "10,001 characters"),
    ],
)
def test_a_bad_request_gets_its_status(
    send: Send, body: bytes, headers: dict[str, str], status: int, phrase: str, said: str
) -> None:
    # GIVEN a bad request WHEN it is sent
    context, answer = send(body, **headers)

    # THEN its status tells the kind, the first line of the answer tells what was wrong
    assert (context.status, context.phrase) == (status, phrase)
    assert said in answer.splitlines()[0]

    # AND the next good request is answered
    assert send(b'{"text": "\xea\xb5\xbf"}')[0].status == 200
