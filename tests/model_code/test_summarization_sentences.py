"""Korean text to sentences."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "summarization"

fragments = st.sampled_from(
    [
        "좋아요",
        "갔다",
        " ",
        ".",
        "...",
        "?",
        "!",
        "\n",
        "3.5",
        "“",
        "”",
        '"',
        "라고",
        "(",
        ")",
        "ㅋㅋ",
        "…",
        "A",
        "1. ",
    ]
)
any_text = st.lists(
    fragments | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=30
).map("".join)


@pytest.mark.parametrize(
    "sentences",
    [
        ["영화가 좋았다.", "배우도 좋았다.", "정말?"],
        ["평점은 3.5점이다.", "값은 10,000원이다.", "v2.0을 냈다."],
        ["2024. 5. 3. 개봉했다.", "모두 기다렸다."],
        ["그는 “간다. 꼭 간다.”라고 말했다.", "모두 놀랐다."],
        ['"정말 좋아요!"라고 했다.', '"끝났어?"', "그가 물었다."],
        ["저런...5점 만점에 1점 주기도 힘들어요.", "아쉽다."],
        ["음... 그게 말이죠...", "잘 모르겠어요…", "끝."],
        ["정말 재미있어요", "또 보고 싶어요", "추천합니다"],
        ["좋아요!! ㅎㅎ", "다음에 또 올게요~ ㅠㅠ", "끝^^"],
        ["1. 서론이다.", "2. 본론이다.", "가. 항목이다."],
        ["U.S. 대통령이 Mr. Kim을 만났다.", "naver.com에서 찾았다."],
        ["그는 (물론 농담이다. 정말이다.) 웃었다.", "끝났다."],
        ["열린 “따옴표가 있다.", "닫히지 않는다."],
        ["왜 갔을까?", "아무도 모른다!", "그래서 물었다."],
    ],
)
def test_sentences_are_found(code: SimpleNamespace, sentences: list[str]) -> None:
    # GIVEN sentences with a space between them WHEN the text is split THEN they are there again
    assert code.sentences.split(" ".join(sentences)) == sentences
    # and with lines between them
    assert code.sentences.split("\n".join(sentences)) == sentences
    assert code.sentences.split("  " + "\r\n\r\n".join(sentences) + "\n") == sentences


def test_no_space_is_needed_after_a_full_stop(code: SimpleNamespace) -> None:
    split = code.sentences.split("영화가 좋았다.배우도 좋았어요!음악은?별로였다.")
    assert split == ["영화가 좋았다.", "배우도 좋았어요!", "음악은?", "별로였다."]


def test_a_heading_is_a_line_of_its_own(code: SimpleNamespace) -> None:
    split = code.sentences.split("서울시, 전기 버스 늘린다\n\n서울시가 밝혔다. 내년부터다.")
    assert split == ["서울시, 전기 버스 늘린다", "서울시가 밝혔다.", "내년부터다."]


@given(text=any_text)
def test_nothing_is_lost_or_changed(code: SimpleNamespace, text: str) -> None:
    # GIVEN any text WHEN it is split
    spans = list(code.sentences.spans(text))
    # THEN the sentences stand in it in order, without white space around them, and all else is white space
    at = 0
    for begin, end in spans:
        assert text[at:begin].strip() == ""
        assert text[begin:end] == text[begin:end].strip() != ""
        at = end
    assert text[at:].strip() == ""
