"""Requests and answers of the similarity model, good and bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "similarity"
JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
ONE, OTHER = "이 영화, 정말 재미있어요", '"진짜" 재밌네요'
QUOTED = OTHER.replace('"', '""')
Send = Callable[..., tuple[Any, str]]
Refused = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps({"pairs": [[ONE, OTHER], [OTHER, ONE]]})),
        (None, json.dumps({"pairs": [[ONE, OTHER], [OTHER, ONE]], "id": 7}, ensure_ascii=False)),
        (LINES, json.dumps({"pairs": [[ONE, OTHER]]}) + "\n" + json.dumps({"pairs": [[OTHER, ONE]]})),
        (
            LINES,
            "".join(
                json.dumps({"sentence1": a, "sentence2": b}) + "\n" for a, b in [(ONE, OTHER), (OTHER, ONE)]
            ),
        ),
        (
            CSV,
            f'"{ONE}","{QUOTED}"\r\n"{QUOTED}","{ONE}"\n',
        ),
    ],
)
def test_every_request_format_is_read(inference: ModuleType, content_type: str | None, body: str) -> None:
    # GIVEN two pairs in some format WHEN they are read THEN they come out as they were, in order
    assert inference.input_fn(body.encode(), content_type) == [(ONE, OTHER), (OTHER, ONE)]


def test_a_single_pair_has_its_own_keys(inference: ModuleType) -> None:
    assert inference.input_fn(json.dumps({"sentence1": ONE, "sentence2": OTHER}), JSON) == [(ONE, OTHER)]


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (None, '[{"score": 3.5}, {"score": 0.0}]'),
        (LINES, '{"score": 3.5}\n{"score": 0.0}\n'),
        (CSV, "3.5\n0.0\n"),
    ],
)
def test_every_answer_format_is_written(inference: ModuleType, accept: str | None, body: str) -> None:
    assert inference.output_fn([{"score": 3.5}, {"score": 0.0}], accept) == (body, accept or JSON)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        (JSON, "", 400, "malformed"),
        (JSON, "[]", 400, "the JSON is a list"),
        (JSON, "{}", 400, "neither pairs nor sentence1 and sentence2"),
        (JSON, '{"pairs": [], "sentence1": "a"}', 400, "both pairs and sentence1"),
        (JSON, '{"sentence2": "a"}', 400, "only sentence2: a pair is two sentences"),
        (JSON, '{"pairs": []}', 400, "holds no pair"),
        (JSON, '{"pairs": "a"}', 400, "pairs is a string"),
        (JSON, '{"pairs": ["a", "b"]}', 400, "pairs[0] is a string: a pair is a list of two"),
        (JSON, '{"pairs": [["a", "b"], ["a"]]}', 400, "pairs[1] has 1 sentence:"),
        (JSON, '{"pairs": [["a", "b", "c"]]}', 400, "pairs[0] has 3 sentences"),
        (
            JSON,
            '{"pairs": [["a", ""], [null, "b"], [3, " "]]}',
            400,
            "pairs[0][1] is empty; pairs[1][0] is null; pairs[2][0] is a number; pairs[2][1] is empty",
        ),
        (JSON, '{"sentence1": ["a"], "sentence2": "b"}', 400, "sentence1 is a list"),
        (JSON, '{"pairs": [["\\ud800", "b"]]}', 400, "surrogate"),
        (JSON, b'{"pairs": [["\xff", "b"]]}', 400, "not valid UTF-8"),
        (JSON, json.dumps({"pairs": [["a", "굿" * 501]]}), 413, "pairs[0][1] has 501 characters"),
        (JSON, json.dumps({"pairs": [["a", "b"]] * 1001}), 413, "1,001 pairs: at most 1,000"),
        (JSON, json.dumps({"pairs": [["굿" * 500] * 2] * 101}), 413, "101,000 characters: at most 100,000"),
        (LINES, '{"pairs": [["a", "b"]]}\n\n', 400, "line 2: the line is empty"),
        (LINES, '{"pairs": [["a", "b"]]}\n{"pairs": [["a", ""]]}', 400, "line 2: pairs[0][1] is empty"),
        (CSV, "a,b\nc\n", 400, "row 2 has 1 field:"),
        (CSV, "a,b,c\n", 400, "row 1 has 3 fields"),
        (CSV, "a,\n", 400, "row 1, field 2 is empty"),
        ("text/plain", "a", 415, "not supported: send application/json, application/jsonlines, text/csv"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    refused: Refused, content_type: str, body: str | bytes, status: int, said: str
) -> None:
    found, message = refused(body, content_type)
    assert (found, said in message) == (status, True), message
    assert len(message) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["pairs", "sentence1", "sentence2", "x"]), inner)
    ),
    max_leaves=10,
)


@given(document=json_values)
def test_no_json_document_crashes_the_model(
    code: SimpleNamespace, inference: ModuleType, model: object, document: object
) -> None:
    # GIVEN any JSON document WHEN it is sent THEN it is answered or refused
    try:
        pairs = inference.input_fn(json.dumps(document), JSON)
    except code.client_errors.RequestError as error:
        outcome = error.status_code
    else:
        outcome = "answered" if len(inference.predict_fn(pairs, model)) == len(pairs) > 0 else pairs
    assert outcome in {"answered", 400, 413}


def test_it_serves_behind_awss_toolkit(send: Send) -> None:
    # GIVEN AWS's toolkit WHEN two pairs are sent
    body = json.dumps({"pairs": [[ONE, "이 영화 진짜 재미있네요"], [ONE, "내일은 비가 옵니다"]]}).encode()
    context, answer = send(body, Content_Type=JSON)

    # THEN the paraphrase scores high, the other low
    assert (context.status, context.content_type) == (200, JSON)
    close, far = (entry["score"] for entry in json.loads(answer))
    assert far < 2 < 3 < close

    # AND a bad request gets its status and reason
    context, answer = send(b'{"pairs": [["a"]]}', Content_Type=JSON)
    assert (context.status, context.phrase) == (400, "Bad Request")
    assert "pairs[0] has 1 sentence" in answer
