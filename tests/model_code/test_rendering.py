"""The pipeline's last stage: words that fit the score, every answer format, strict reading of what came."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "rendering"

JSON, LINES, CSV, PLAIN = "application/json", "application/jsonlines", "text/csv", "text/plain"
PREDICTIONS = [{"label": "positive", "score": 0.88}, {"label": "negative", "score": 0.97}]
prediction = st.fixed_dictionaries(
    {"label": st.sampled_from(["positive", "negative"]), "score": st.floats(0.5, 1)}
)


@pytest.mark.parametrize(
    ("label", "score", "ko", "en"),
    [
        ("positive", 1.0, "매우 긍정적입니다 (99 %)", "Strongly positive (99 %)"),
        ("negative", 0.95, "매우 부정적입니다 (95 %)", "Strongly negative (95 %)"),
        ("positive", 0.9499, "매우 긍정적입니다 (95 %)", "Strongly positive (95 %)"),
        ("positive", 0.94, "긍정적입니다 (94 %)", "Positive (94 %)"),
        ("negative", 0.8, "부정적입니다 (80 %)", "Negative (80 %)"),
        ("negative", 0.79, "부정에 가깝습니다 (79 %)", "Probably negative (79 %)"),
        ("positive", 0.6, "긍정에 가깝습니다 (60 %)", "Probably positive (60 %)"),
        ("positive", 0.59, "판단하기 어렵습니다, 긍정 쪽입니다 (59 %)", "Unsure, leaning positive (59 %)"),
        ("negative", 0.5, "판단하기 어렵습니다, 부정 쪽입니다 (50 %)", "Unsure, leaning negative (50 %)"),
    ],
)
def test_the_words_fit_the_percentage_shown(
    code: SimpleNamespace, label: str, score: float, ko: str, en: str
) -> None:
    assert code.renderer.rendered(label, score) == {"label": label, "score": score, "ko": ko, "en": en}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps(PREDICTIONS)),
        (None, json.dumps(PREDICTIONS)),
        ("application/json; charset=utf-8", json.dumps([entry | {"more": 1} for entry in PREDICTIONS])),
        (LINES, "".join(json.dumps(entry) + "\n" for entry in PREDICTIONS)),
        (CSV, "positive,0.88\nnegative,0.97\n"),
    ],
)
@pytest.mark.parametrize("encoded", [True, False])
def test_all_that_the_classifier_can_answer_is_read(
    inference: ModuleType, content_type: str | None, body: str, encoded: bool
) -> None:
    assert inference.input_fn(body.encode() if encoded else body, content_type) == PREDICTIONS


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        ("*/*", JSON),
        (LINES, LINES),
        (PLAIN, "text/plain; charset=utf-8"),
        ("text/*", "text/plain; charset=utf-8"),
    ],
)
def test_the_answer_has_the_type_that_was_asked_for(
    inference: ModuleType, model: Callable[..., object], accept: str | None, kind: str
) -> None:
    # GIVEN two predictions WHEN they are written THEN the words are there, an entry or a line for each
    body, content_type = inference.output_fn(inference.predict_fn(PREDICTIONS, model), accept)
    assert content_type == kind
    if kind == JSON:
        assert [entry["en"] for entry in json.loads(body)] == ["Positive (88 %)", "Strongly negative (97 %)"]
    elif kind == LINES:
        assert [json.loads(line)["ko"] for line in body.splitlines()] == [
            "긍정적입니다 (88 %)",
            "매우 부정적입니다 (97 %)",
        ]
    else:
        assert body == (
            "긍정적입니다 (88 %) / Positive (88 %)\n매우 부정적입니다 (97 %) / Strongly negative (97 %)\n"
        )


def test_another_answer_type_is_not_acceptable(inference: ModuleType, model: Callable[..., object]) -> None:
    with pytest.raises(
        Exception, match="accept application/json, application/jsonlines, text/plain"
    ) as caught:
        inference.output_fn(inference.predict_fn(PREDICTIONS, model), CSV)
    assert caught.value.status_code == 406


@given(predictions=st.lists(prediction, min_size=1, max_size=20))
@pytest.mark.parametrize("accept", [JSON, LINES, PLAIN])
def test_number_and_order_survive_every_format(
    inference: ModuleType, model: Callable[..., object], accept: str, predictions: list[dict[str, object]]
) -> None:
    # GIVEN any predictions, WHEN they are read and answered
    answers = inference.predict_fn(inference.input_fn(json.dumps(predictions), JSON), model)
    body, _ = inference.output_fn(answers, accept)

    # THEN there is an answer for each, in order
    if accept == PLAIN:
        sides = [
            "positive" if "ositive" in line else "negative" for line in body.removesuffix("\n").split("\n")
        ]
    else:
        found = json.loads(body) if accept == JSON else [json.loads(line) for line in body.splitlines()]
        assert [{"label": entry["label"], "score": entry["score"]} for entry in found] == predictions
        sides = [entry["label"] for entry in found]
    assert sides == [entry["label"] for entry in predictions]


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        (JSON, '{"error": "out of memory"}', ["the JSON is an object, not a list", "out of memory"]),
        (JSON, "<html>Bad Gateway</html>", ["malformed at line 1", "<html>Bad Gateway"]),
        (JSON, "", ["malformed"]),
        (JSON, b"\xff\xfe", ["not valid UTF-8"]),
        (JSON, "[]", ["it holds no prediction"]),
        (JSON, '["positive", null]', ["[0] is a string", "[1] is null"]),
        (JSON, '[{"label": "positive"}, {}]', ["[0] has no score", "[1] has no label and no score"]),
        (JSON, '[{"label": "neutral", "score": 0.9}]', ["[0] has the label 'neutral'"]),
        (JSON, '[{"label": ["positive"], "score": 0.9}]', ["[0] has the label ['positive']"]),
        (JSON, '[{"label": "positive", "score": 1.2}]', ["[0] has the score 1.2"]),
        (JSON, '[{"label": "positive", "score": "0.9"}]', ["[0] has the score '0.9'"]),
        (JSON, '[{"label": "positive", "score": true}]', ["[0] has the score True"]),
        (JSON, '[{"label": "positive", "score": NaN}]', ["NaN is not JSON"]),
        (JSON, json.dumps([1] * 50), ["[4] is a number; and 45 more"]),
        (LINES, '{"label": "positive", "score": 0.9}\n{', ["line 2: the JSON is malformed"]),
        (CSV, "positive,0.9\nnegative\n", ["[1] is a list"]),
        (CSV, "positive,nan\n", ["[0] has the score nan"]),
        ("text/html", "<html>", ["content type 'text/html' is not supported", "<html>"]),
    ],
)
def test_anything_else_is_the_fault_of_the_stage_before(
    inference: ModuleType, content_type: str, body: str | bytes, said: list[str]
) -> None:
    with pytest.raises(Exception, match="the stage before did not answer with predictions") as caught:
        inference.input_fn(body, content_type)
    assert caught.value.status_code == 500
    assert all(part in caught.value.message for part in said), caught.value.message
    assert '"score" (0 to 1)' in caught.value.message
    assert len(caught.value.message) < 500


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
@pytest.mark.parametrize("content_type", [JSON, LINES, CSV])
def test_no_body_crashes_the_stage(inference: ModuleType, content_type: str, body: bytes) -> None:
    try:
        assert inference.input_fn(body, content_type)
    except Exception as error:
        assert getattr(error, "status_code", error) == 500  # noqa: PT017  (an answer is as good)
