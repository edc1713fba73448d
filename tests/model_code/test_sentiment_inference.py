"""Requests and answers of the sentiment model, in every format, good and bad."""

from __future__ import annotations

import csv
import io
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "sentiment"

JSON, LINES, CSV, PLAIN = "application/json", "application/jsonlines", "text/csv", "text/plain"
GOOD, BAD = "정말 최고의 영화, 감동!", '"최악" 돈이 아깝다'

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda text: not text.isspace()
)
any_texts = st.lists(any_text, min_size=1, max_size=20)


def as_csv(texts: list[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
    return out.getvalue()


def as_lines(texts: list[str]) -> str:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def refused(inference: ModuleType, body: str | bytes, content_type: str | None = JSON) -> tuple[int, str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (the class is looked at below)
        inference.input_fn(body, content_type)
    assert type(caught.value).__name__ == "RequestError", repr(caught.value)
    return caught.value.status_code, caught.value.message


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps({"inputs": [GOOD, BAD]})),
        (JSON, json.dumps({"text": [GOOD, BAD]}, ensure_ascii=False)),
        (None, json.dumps({"text": [GOOD, BAD], "id": 7})),
        (LINES, as_lines([GOOD, BAD])),
        (LINES, json.dumps({"inputs": [GOOD, BAD]})),
        (LINES, as_lines([GOOD]) + json.dumps({"inputs": [BAD]}) + "\r\n"),
        (CSV, as_csv([GOOD, BAD])),
        (CSV, as_csv([GOOD, BAD]).removesuffix("\r\n").replace("\r\n", "\n")),
        (PLAIN, f"{GOOD}\n{BAD}\n"),
        (PLAIN, f"{GOOD}\r\n{BAD}"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoded", [True, False])
def test_every_request_format_is_read(
    inference: ModuleType, content_type: str | None, body: str, mark: str, encoded: bool
) -> None:
    # GIVEN two texts in some format, as bytes or decoded, with or without a byte order mark
    request = mark + body
    # WHEN the request is read THEN the texts come out as they were
    assert inference.input_fn(request.encode() if encoded else request, content_type) == [GOOD, BAD]


@pytest.mark.parametrize("key", ["inputs", "text"])
def test_a_single_string_is_one_text(inference: ModuleType, key: str) -> None:
    assert inference.input_fn(json.dumps({key: GOOD}), JSON) == [GOOD]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        ' application/json ;charset="UTF-8" ; x=y',
        JSON + ";",
    ],
)
def test_media_types_are_read_as_http_means_them(inference: ModuleType, content_type: str) -> None:
    assert inference.input_fn(b'{"text": "\xea\xb5\xbf"}', content_type) == ["굿"]


@given(texts=any_texts)
def test_rows_and_order_survive_every_format(inference: ModuleType, texts: list[str]) -> None:
    # GIVEN any texts, WHEN they are sent in a format that can hold them, THEN they arrive unchanged, in order
    assert inference.input_fn(json.dumps({"inputs": texts}), JSON) == texts
    assert inference.input_fn(as_lines(texts).encode(), LINES) == texts
    assert inference.input_fn(as_csv(texts).encode(), CSV) == [
        text.removeprefix("\ufeff") for text in texts
    ] or any("\ufeff" in text for text in texts)


@given(texts=any_texts)
def test_a_text_is_answered_alike_alone_and_among_others(
    inference: ModuleType, model: object, texts: list[str]
) -> None:
    # GIVEN any texts, WHEN they are predicted together
    answers = inference.predict_fn(texts, model)
    # THEN there is one answer for each, in order, the same as alone
    assert answers == [inference.predict_fn([text], model)[0] for text in texts]
    assert all(0.5 <= answer["score"] <= 1 for answer in answers)
    assert {answer["label"] for answer in answers} <= {"positive", "negative"}


def test_many_texts_are_answered_in_order(inference: ModuleType, model: object) -> None:
    # GIVEN more texts than are hashed at a time, some of them long
    texts = [(GOOD if number % 3 else BAD) + " 영화" * (number % 7) for number in range(3000)]
    texts[1500] = BAD * 1000
    # WHEN they are predicted THEN each has its own answer
    answers = inference.predict_fn(texts, model)
    assert len(answers) == 3000
    for number in (0, 1, 1499, 1500, 1501, 2999):
        assert answers[number] == inference.predict_fn([texts[number]], model)[0]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("Application/JSON; charset=utf-8", JSON),
        (LINES, LINES),
        (CSV, CSV),
        ("text/*", CSV),
        ("image/png, text/csv", CSV),
        ("application/json;q=0.2, text/csv;q=0.9", CSV),
        ("text/csv;q=0, */*", JSON),
    ],
)
def test_the_answer_has_the_type_that_was_asked_for(
    inference: ModuleType, accept: str | None, kind: str
) -> None:
    # GIVEN two predictions
    predictions = [{"label": "positive", "score": 0.75}, {"label": "negative", "score": 1.0}]

    # WHEN they are written
    body, content_type = inference.output_fn(predictions, accept)

    # THEN the type is right, and each prediction has its entry, line or row
    assert content_type == kind
    if kind == JSON:
        assert json.loads(body) == predictions
    elif kind == LINES:
        assert body.endswith("\n")
        assert [json.loads(line) for line in body.splitlines()] == predictions
    else:
        assert body == "positive,0.75\nnegative,1.0\n"


@pytest.mark.parametrize("accept", ["image/png", "text/plain", "application/json;q=0", ",", "x" * 500])
def test_another_answer_type_is_not_acceptable(inference: ModuleType, accept: str) -> None:
    with pytest.raises(Exception, match="accept application/json, application/jsonlines, text/csv") as caught:
        inference.output_fn([{"label": "positive", "score": 1.0}], accept)
    assert caught.value.status_code == 406
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "malformed at line 1, column 1"),
        ("{", "malformed"),
        ('{"inputs": ["굿"]', "malformed"),
        ('{"inputs": NaN}', "NaN is not JSON"),
        ('{"inputs": ["굿"], "x": -Infinity}', "-Infinity is not JSON"),
        ('{"inputs": ' + "9" * 5000 + "}", "malformed"),
        ('{"inputs": ' + "[" * 200_000, "nested too deeply"),
        ('{"inputs": ' + "[" * 50 + "]" * 50 + "}", "inputs[0] is a list"),
        ("[]", "the JSON is a list"),
        ('"굿"', "the JSON is a string"),
        ("null", "the JSON is null"),
        ("{}", 'has neither "inputs" and "text"'),
        ('{"inputs": ["굿"], "text": ["굿"]}', 'has both "inputs" and "text"'),
        ('{"inputs": []}', "holds no text"),
        ('{"inputs": null}', "inputs is null"),
        ('{"inputs": {"a": 1}}', "inputs is an object"),
        ('{"inputs": ""}', "inputs is empty"),
        (
            '{"text": ["굿", " \\t\\u3000", "굿", 5, true]}',
            "text[1] is empty; text[3] is a number; text[4] is a boolean",
        ),
        ('{"inputs": ["\\ud800"]}', "inputs[0] holds half of a surrogate pair"),
        (b'{"inputs": ["\xff"]}', "not valid UTF-8 at byte 13"),
        (json.dumps({"inputs": [""] * 50}), "inputs[4] is empty; and 45 more"),
    ],
)
def test_bad_json_is_refused(inference: ModuleType, body: str | bytes, said: str) -> None:
    status, message = refused(inference, body)
    assert status == 400
    assert said in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        (LINES, "", "holds no text"),
        (LINES, '{"text": "굿"}\n\n{"text": "굿"}', "line 2: the line is empty"),
        (LINES, '{"text": "굿"}\n{"text": }', "line 2: the JSON is malformed at column"),
        (LINES, '{"text": "굿"}\n["굿"]', "line 2: the JSON is a list"),
        (LINES, '{"text": "굿"}\n{"text": []}', "line 2: text is an empty list"),
        (LINES, '{"text": ["굿", "굿"]}\n{"text": "굿"}\n{"text": ["굿", ""]}', "line 3, text[1] is empty"),
        (LINES, '{"text": ["굿", "굿"]}\n{"inputs": 3}', "line 2, inputs is a number"),
        (CSV, "", "holds no text"),
        (CSV, "굿\n\n굿\n", "row 2 is empty"),
        (CSV, '굿\n""\n', "row 2 is empty"),
        (CSV, "굿\n좋다, 정말\n", "row 2 has 2 fields"),
        (CSV, '굿\n"열린', "row 2: the CSV is malformed"),
        (CSV, '"굿" 나쁨\n', "row 1: the CSV is malformed"),
        (PLAIN, "", "holds no text"),
        (PLAIN, "굿\n\n굿", "line 2 is empty"),
        (PLAIN, "굿\n\n", "line 2 is empty"),
        (PLAIN, b"\xea\xb5", "not valid UTF-8"),
    ],
)
def test_other_bad_content_is_refused(
    inference: ModuleType, content_type: str, body: str | bytes, said: str
) -> None:
    status, message = refused(inference, body, content_type)
    assert status == 400
    assert said in message


@pytest.mark.parametrize(
    "content_type",
    [
        "image/png",
        "application/x-npy",
        "application/json; charset=euc-kr",
        "json",
        ";",
        "a/b\r\nX: y",
        "x" * 900,
    ],
)
def test_another_content_type_is_not_supported(inference: ModuleType, content_type: str) -> None:
    status, message = refused(inference, '{"text": "굿"}', content_type)
    assert status == 415
    assert "not supported: send" in message
    assert "\r" not in message
    assert len(message) < 300


def test_limits_hold_to_the_character_and_the_text(code: SimpleNamespace, inference: ModuleType) -> None:
    # GIVEN texts at the limits THEN they pass
    most, longest = code.formats.MAX_TEXTS, code.formats.MAX_TEXT_CHARACTERS
    assert len(inference.input_fn("굿\n" * most, PLAIN)) == most
    assert inference.input_fn(json.dumps({"text": "굿" * longest}), JSON) == ["굿" * longest]

    # GIVEN one more THEN it is too large
    assert refused(inference, "굿\n" * (most + 1), PLAIN) == (
        413,
        "100,001 texts: at most 100,000 in one request",
    )
    status, message = refused(inference, json.dumps({"text": ["굿", "굿" * (longest + 1)]}))
    assert (status, message.partition(":")[0]) == (413, "text[1] has 10,001 characters")
    assert refused(inference, "굿" * 200_000, CSV)[0] == 413

    # GIVEN a text that is too long beside one that is wrong THEN both are named
    status, message = refused(inference, f"{'굿' * (longest + 1)}\n\n굿", PLAIN)
    assert (status, message.partition(":")[0]) == (400, "line 1 has 10,001 characters; line 2 is empty")


def outcome(inference: ModuleType, model: object, body: str | bytes, content_type: str) -> object:
    """Return "answered", the status of a refusal, or whatever else came out."""
    try:
        texts = inference.input_fn(body, content_type)
    except Exception as error:
        return getattr(error, "status_code", error)
    return "answered" if len(inference.predict_fn(texts, model)) == len(texts) > 0 else texts


@given(
    body=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@pytest.mark.parametrize("content_type", [JSON, LINES, CSV, PLAIN])
def test_no_body_crashes_the_model(
    inference: ModuleType, model: object, content_type: str, body: bytes
) -> None:
    # GIVEN any bytes WHEN they are sent THEN they are answered or refused
    assert outcome(inference, model, body, content_type) in {"answered", 400, 413}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["inputs", "text", "x"]), inner)
    ),
    max_leaves=8,
)


@given(document=json_values)
def test_no_json_document_crashes_the_model(inference: ModuleType, model: object, document: object) -> None:
    assert outcome(inference, model, json.dumps(document), JSON) in {"answered", 400, 413}


def test_a_refusal_reaches_the_client_through_flask(
    inference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a request that Flask serves, as in AWS's scikit-learn image (an error alone becomes 500)
    answers = []
    flask = SimpleNamespace(has_request_context=lambda: True, after_this_request=answers.append)
    monkeypatch.setitem(sys.modules, "flask", flask)
    response = SimpleNamespace(status_code=500, mimetype="text/html")
    response.set_data = lambda data: setattr(response, "data", data)

    # WHEN the request is refused
    assert refused(inference, '{"inputs": [""]}')[0] == 400
    (answer,) = answers

    # THEN the response is changed into the refusal
    assert answer(response) is response
    assert (response.status_code, response.mimetype) == (400, JSON)
    assert json.loads(response.data)["error"].startswith("inputs[0] is empty")
