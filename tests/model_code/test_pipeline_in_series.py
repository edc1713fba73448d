"""The three stages in series, as the service runs them: each answer is the next stage's request.

The service hands a stage's Content-Type on with its body; only the last stage gets the caller's Accept.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

STAGES = ("normalization", "sentiment", "rendering")
JSON, LINES, CSV, PLAIN = "application/json", "application/jsonlines", "text/csv", "text/plain"
PRAISE, BLAME = "정말 최고의 영화ㅋㅋㅋㅋㅋ 감동!! :)", "최악이다  돈이 아깝다&nbsp;👎"
Chain = Callable[[bytes, str | None, str | None], tuple[str, str]]

noise = st.sampled_from(
    ["ㅋ" * 6, " :) ", "<br>", "&amp;", "ㅠ.ㅠ", "😀", "http://a.kr", "\u200b", "！", "😭" * 3]
)
some_texts = st.lists(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | noise, max_size=5)
    .map("".join)
    .filter(lambda text: text and not text.isspace()),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def stages(load_code: Callable[[str], SimpleNamespace]) -> list[tuple[SimpleNamespace, object]]:
    """Each stage's handler functions and its loaded model."""
    folders = [load_code(name) for name in STAGES]
    return [(code.inference, code.inference.model_fn(str(code.folder))) for code in folders]


@pytest.fixture(scope="module")
def chain(stages: list[tuple[SimpleNamespace, object]]) -> Chain:
    """Send a request through the stages; return the last answer and its content type."""

    def send(body: bytes, content_type: str | None, accept: str | None) -> tuple[str, str]:
        kind = content_type
        for position, (handlers, model) in enumerate(stages, 1):
            found = handlers.predict_fn(handlers.input_fn(body, kind), model)
            text, kind = handlers.output_fn(found, accept if position == len(stages) else None)
            body = text.encode()
        return body.decode(), str(kind)

    return send


def written(texts: list[str], kind: str) -> bytes:
    """Write texts as a request of this type."""
    if kind == JSON:
        return json.dumps({"inputs": texts}).encode()
    if kind == LINES:
        return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()
    if kind == CSV:
        out = io.StringIO(newline="")
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
        return out.getvalue().encode()
    return "\n".join(texts).encode()


def sides(body: str, kind: str) -> list[str]:
    """Read the labels of an answer of this type."""
    if kind == JSON:
        return [entry["label"] for entry in json.loads(body)]
    lines = body.removesuffix("\n").split("\n")
    if kind == LINES:
        return [json.loads(line)["label"] for line in lines]
    return ["positive" if "ositive" in line else "negative" for line in lines]


@pytest.mark.parametrize("content_type", [JSON, LINES, CSV, PLAIN])
@pytest.mark.parametrize("accept", [JSON, LINES, PLAIN])
def test_raw_texts_become_readable_answers(chain: Chain, content_type: str, accept: str) -> None:
    # GIVEN raw reviews in some format WHEN they go through the three stages
    body, kind = chain(written([PRAISE, BLAME, PRAISE], content_type), content_type, accept)

    # THEN there is a readable answer for each, in order, in the format asked for
    assert kind.startswith(accept)
    assert sides(body, accept) == ["positive", "negative", "positive"]
    assert "긍정" in body if accept != JSON else "긍정" in json.loads(body)[0]["ko"]


@settings(deadline=None)  # the machine's load is not the code's
@given(texts=some_texts)
@pytest.mark.parametrize("accept", [JSON, LINES, PLAIN])
def test_number_and_order_of_records_survive(
    chain: Chain, stages: list[tuple[SimpleNamespace, object]], accept: str, texts: list[str]
) -> None:
    # GIVEN any texts, each on a line of JSON, as a transform job sends them
    body, _ = chain(written(texts, LINES), LINES, accept)

    # WHEN they went through the stages THEN a record's answer is the one that it gets alone
    (normalize, normalizer), (classify, classifier), _ = stages
    alone = [classify.predict_fn(normalize.predict_fn([text], normalizer), classifier)[0] for text in texts]
    assert sides(body, accept) == [answer["label"] for answer in alone]
    if accept == LINES:
        assert [json.loads(line)["score"] for line in body.splitlines()] == [
            answer["score"] for answer in alone
        ]


def test_thousands_of_records_come_back_in_order(chain: Chain) -> None:
    # GIVEN a transform job's batch of lines WHEN it goes through THEN there is a line for each
    texts = [PRAISE if number % 3 else BLAME for number in range(5000)]
    body, _ = chain(written(texts, LINES), LINES, LINES)
    assert sides(body, LINES) == ["positive" if number % 3 else "negative" for number in range(5000)]


def test_whatever_passes_the_first_stage_passes_the_second(chain: Chain) -> None:
    # GIVEN texts that are nothing but noise, or longer than their limit once normalised
    texts = ["<br>", "\u200b", "http://a.kr", "👎a" * 5000, "굿" * 10_000, "&#x20;"]
    # WHEN they go through THEN each is answered
    assert len(json.loads(chain(written(texts, JSON), JSON, JSON)[0])) == len(texts)


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "said"),
    [
        (b'{"text": ["a", ""]}', JSON, JSON, 400, "text[1] is empty"),
        (b"\xff", PLAIN, JSON, 400, "UTF-8"),
        (b"x", "image/png", JSON, 415, "image/png"),
        (b'{"text": "a"}', JSON, "image/png", 406, "accept application/json"),
    ],
)
def test_the_callers_mistakes_are_refused_with_their_reason(
    chain: Chain, body: bytes, content_type: str, accept: str, status: int, said: str
) -> None:
    with pytest.raises(Exception, match=re.escape(said)) as caught:
        chain(body, content_type, accept)
    assert caught.value.status_code == status
