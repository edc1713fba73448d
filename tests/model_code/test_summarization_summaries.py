"""Summaries of Korean texts, and the requests for them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "summarization"
JSON, LINES, PLAIN = "application/json", "application/jsonlines", "text/plain"
Send = Callable[..., tuple[Any, str]]
Refused = Callable[..., tuple[int, str]]

BUSES = (
    "서울시는 내년부터 시내버스에 전기차를 더 많이 들여온다고 밝혔다. "
    "서울시는 전기 시내버스를 2030년까지 전체 시내버스의 절반으로 늘릴 계획이다. "
    "이날 발표장에는 시민 백여 명이 모였다. 점심으로는 김밥이 나왔다. "
    "전기 시내버스가 늘면 시내의 공기가 좋아질 것으로 서울시는 기대한다."
)
LIBRARY = (
    "구립 도서관이 밤 열 시까지 문을 연다. 지난해 주민 조사에서 열람 시간을 늘려 달라는 요구가 가장 많았다. "
    "도서관은 열람 시간을 늘리기 위해 직원 다섯 명을 더 뽑았다. 건물 앞에는 오래된 은행나무가 서 있다. "
    "늘어난 열람 시간은 다음 달부터 구립 도서관 세 곳에 적용된다. 어떤 주민은 고양이를 데리고 왔다."
)
REVIEW = (
    "주말에 가족과 함께 봤습니다. 배우들의 연기가 정말 훌륭했어요! "
    "특히 주인공 배우의 연기는 소름이 돋을 만큼 훌륭했습니다. 팝콘은 조금 짰네요. "
    "배우들의 연기 덕분에 이야기에 끝까지 몰입할 수 있었어요. 극장 주차장은 좁았습니다."
)
EARTHQUAKE = (
    "어제 오후 동해에서 규모 4.5의 지진이 일어났다. 지진의 진앙은 해안에서 50km 떨어진 바다였다. "
    "기상청은 지진으로 인한 해일은 없을 것이라고 밝혔다. 한 어민은 저녁에 먹을 생선을 손질하고 있었다. "
    "지진으로 다친 사람은 없었고, 소방서에는 지진을 느꼈다는 신고가 백 건 들어왔다. 날씨는 맑았다."
)

WORDS = "서울 버스가 늘었다 도서관이 문을 열었다 영화 좋아요 정말 3.5점 그"
sentence = st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=6).map(
    lambda words: " ".join(words) + "."
)
texts = st.lists(sentence, min_size=1, max_size=15).map(" ".join) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80
).filter(lambda text: not text.isspace())


def summarise(inference: ModuleType, text: str, sentences: int) -> Any:
    request = inference.input_fn(json.dumps({"text": text, "sentences": sentences}), JSON)
    (answer,) = inference.predict_fn(request, None)
    return answer


@pytest.mark.parametrize(
    ("text", "wanted", "told", "untold"),
    [
        (BUSES, 2, ["전기 시내버스를 2030년까지"], ["김밥", "백여 명"]),
        (BUSES, 3, ["전기 시내버스를 2030년까지"], ["김밥", "백여 명"]),
        (LIBRARY, 2, ["열람 시간"], ["은행나무", "고양이"]),
        (LIBRARY, 3, ["열람 시간", "구립 도서관 세 곳"], ["은행나무", "고양이"]),
        (REVIEW, 2, ["연기"], ["팝콘", "주차장"]),
        (REVIEW, 1, ["연기"], []),
        (EARTHQUAKE, 2, ["지진"], ["생선", "날씨"]),
        (EARTHQUAKE, 3, ["규모 4.5", "지진"], ["생선", "날씨"]),
    ],
)
def test_the_central_sentences_are_told(
    inference: ModuleType, text: str, wanted: int, told: list[str], untold: list[str]
) -> None:
    # GIVEN a text about one thing, with asides WHEN it is summarised THEN the asides are not told
    summary = " ".join(summarise(inference, text, wanted)["summary"])
    assert all(part in summary for part in told), summary
    assert not any(part in summary for part in untold), summary


def test_the_same_is_not_told_twice(inference: ModuleType) -> None:
    # GIVEN a text that says its central sentence three times
    central = "전기 버스가 시내 공기를 맑게 한다."
    text = f"{central} {central} 전기 버스는 값이 비싸다. {central} 시내 공기는 작년보다 맑다."
    # WHEN two sentences are wanted THEN they are two different ones
    assert len(set(summarise(inference, text, 2)["summary"])) == 2


@given(text=texts, wanted=st.integers(1, 20))
def test_a_summary_is_made_of_the_texts_sentences_in_order(
    code: SimpleNamespace, inference: ModuleType, text: str, wanted: int
) -> None:
    # GIVEN any text WHEN it is summarised, twice
    answer = summarise(inference, text, wanted)
    # THEN both summaries are the same
    assert summarise(inference, text, wanted) == answer
    # AND there are as many sentences as wanted, or all of them, verbatim, in reading order
    sentences = code.sentences.split(text)
    places = answer["positions"]
    assert places == sorted(set(places))
    assert len(places) == min(wanted, len(sentences)) > 0
    assert answer["summary"] == [sentences[place] for place in places]
    assert all(part in text for part in answer["summary"])


@given(text=texts)
def test_importance_is_shared_out(code: SimpleNamespace, text: str) -> None:
    # GIVEN any sentences WHEN they are ranked THEN the ranks are positive and add up to 1
    sentences = code.sentences.split(text)
    start = code.text_rank.starting_points(sentences)
    rank = code.text_rank.importance(code.text_rank.vectors(sentences), start)
    assert rank.sum() == pytest.approx(1)
    assert rank.min() > 0


def test_ranks_are_those_of_the_full_matrix(code: SimpleNamespace) -> None:
    # GIVEN a text, and the matrix of all its pairs
    sentences = code.sentences.split(f"{BUSES} {LIBRARY}")
    found, start = code.text_rank.vectors(sentences), code.text_rank.starting_points(sentences)
    likeness = np.stack([found.likeness_to(index) for index in range(len(sentences))])
    np.fill_diagonal(likeness, 0)
    # WHEN PageRank is solved as linear equations (no sentence here stands alone)
    moves = likeness / likeness.sum(axis=0)
    exact = np.linalg.solve(np.eye(len(sentences)) - 0.85 * moves, 0.15 * start)
    # THEN the iteration came to the same
    assert code.text_rank.importance(found, start) == pytest.approx(exact, abs=1e-8)


def test_ten_thousand_sentences_take_little_memory(inference: ModuleType) -> None:
    # GIVEN 10,000 different sentences, whose pairs would fill 800 MB
    text = " ".join(
        f"{number}번 버스가 정류장 {number % 97}에 {number % 60}분 늦었다." for number in range(10_000)
    )
    # WHEN they are summarised
    tracemalloc.start()
    answer = summarise(inference, text, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # THEN it took a small part of that
    assert len(answer["summary"]) == 5
    assert peak < 150e6


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        (JSON, '{"text": "a", "sentences": 2}', [("a", 2)]),
        (None, '{"text": "a"}', [("a", 3)]),
        (JSON, '{"inputs": ["a", "b"], "sentences": 1}', [("a", 1), ("b", 1)]),
        (LINES, '{"text": "a"}\n{"inputs": ["b", "c"], "sentences": 9}\n', [("a", 3), ("b", 9), ("c", 9)]),
        (PLAIN, "첫 줄이다.\n둘째 줄이다.\n", [("첫 줄이다.\n둘째 줄이다.\n", 3)]),
    ],
)
def test_every_request_format_is_read(
    inference: ModuleType, content_type: str | None, body: str, found: list[tuple[str, int]]
) -> None:
    requests = inference.input_fn(body.encode(), content_type)
    assert [(request.text, request.sentences) for request in requests] == found


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        (JSON, "{}", 400, "neither text nor inputs"),
        (JSON, '{"text": "a", "inputs": ["b"]}', 400, "both text and inputs"),
        (JSON, '{"inputs": []}', 400, "holds no text"),
        (JSON, '{"text": " "}', 400, "text is empty"),
        (JSON, '{"inputs": ["a", 3, null]}', 400, "inputs[1] is a number; inputs[2] is null"),
        (JSON, '{"text": "a", "sentences": 0}', 400, "sentences is 0: give a whole number from 1 to 100"),
        (JSON, '{"text": "a", "sentences": 101}', 400, "sentences is 101"),
        (JSON, '{"text": "a", "sentences": "2"}', 400, "sentences is a string"),
        (JSON, '{"text": "a", "sentences": 2.0}', 400, "sentences is a number"),
        (JSON, '{"text": "a", "sentences": true}', 400, "sentences is a boolean"),
        (JSON, '{"text": "a", "sentences": ' + "9" * 300 + "}", 400, "sentences is a number"),
        (LINES, '{"text": "a"}\n{"text": ""}', 400, "line 2: text is empty"),
        (PLAIN, "", 400, "holds no text"),
        (PLAIN, " \n ", 400, "the body is empty"),
        (PLAIN, "굿" * 1_000_001, 413, "the body has 1,000,001 characters"),
        (JSON, json.dumps({"inputs": ["a"] * 1001}), 413, "1,001 texts: at most 1,000"),
        (JSON, json.dumps({"inputs": ["a" * 600_000] * 2}), 413, "1,200,000 characters: at most 1,000,000"),
        ("text/csv", "a", 415, "not supported: send application/json, application/jsonlines, text/plain"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    refused: Refused, content_type: str, body: str, status: int, said: str
) -> None:
    found, message = refused(body, content_type)
    assert (found, said in message) == (status, True), message
    assert len(message) < 400


def test_it_serves_behind_awss_toolkit(send: Send) -> None:
    # GIVEN AWS's toolkit WHEN a text is sent, as JSON and as it is
    as_json, answer = send(json.dumps({"text": BUSES, "sentences": 2}).encode(), Content_Type=JSON)
    as_text, plain = send(BUSES.encode(), Content_Type=PLAIN, Accept=LINES)

    # THEN the answers are summaries in readable Korean, in the type asked for
    assert (as_json.status, as_json.content_type, as_text.content_type) == (200, JSON, LINES)
    (summary,) = json.loads(answer)
    assert summary["positions"] == [1, 4]
    assert all(part in BUSES for part in summary["summary"])
    assert "전기 시내버스" in plain

    # AND a bad request gets its status and reason
    context, answer = send(b'{"text": "", "sentences": 2}', Content_Type=JSON)
    assert (context.status, context.phrase) == (400, "Bad Request")
    assert "text is empty" in answer

    # AND an answer in a type that holds no lists is refused
    assert send(json.dumps({"text": BUSES}).encode(), Content_Type=JSON, Accept="text/csv")[0].status == 406
