"""The pipeline's first stage: noise becomes plain spelling, everything else stays, nothing is lost."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "normalization"

JSON, LINES, CSV, PLAIN = "application/json", "application/jsonlines", "text/csv", "text/plain"
#: Pieces of noisy reviews, so that random texts are made of what the rules look for.
PIECES = [
    "재밌다",
    " ",
    "\u3000\t\n",
    "ㅋ" * 5,
    "ㅠ.ㅠ",
    ":)",
    ":(",
    "^_^",
    "😀",
    "❤️",
    "👍🏽",
    "<br>",
    "&lt;",
    "&#x20;",
    "http://a.kr/b",
    "！",
    "\u200b",
    "\x00",
    "너무" * 3,
    "!" * 6,
    unicodedata.normalize("NFD", "한글"),
    "\u1100",
    "ﾡ",
    "ﷺ",
]
noisy_text = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=12
).map("".join)
some_text = noisy_text.filter(lambda text: text and not text.isspace())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # white space, forms, invisible characters
        ("  재밌다\t\u3000정말\n좋다 ", "재밌다 정말 좋다"),
        (unicodedata.normalize("NFD", "한글 영화"), "한글 영화"),
        ("Ｇｏｏｄ！　１０점？", "Good! 10점?"),
        ("\uffbb\uffbb\uffbb 재밌다", "ㅋㅋㅋ 재밌다"),
        ("\u110f\u110f\u110f 웃김 \u1172\u1172", "ㅋㅋㅋ 웃김 ㅠㅠ"),
        ("\ufeff재\u200b밌\u00ad다", "재밌다"),
        ("재밌다\x00\x07정말", "재밌다 정말"),
        # HTML leftovers and links
        ("재밌다<br/>정말 <b>최고</b>", "재밌다 정말 최고"),
        ('<a href="x.html">최고</a>', "최고"),
        ("톰 &amp; 제리 &quot;최고&quot; &#54620;", '톰 & 제리 "최고" 한'),
        ("<그녀에게> 보고 1 < 2", "<그녀에게> 보고 1 < 2"),
        ("예고편 https://youtu.be/a-b?c=1 보세요 www.naver.com.", "예고편 보세요 ."),
        ("참고(http://me2.do/x)하세요", "참고( )하세요"),
        # emoticons
        ("좋아요^-^", "좋아요^^"),
        ("좋아요^_^ ^.^ ^^^^", "좋아요^^ ^^ ^^"),
        ("좋아요 :) 또 :-)) 또 =) 또 :D", "좋아요 ^^ 또 ^^ 또 ^^ 또 ^^"),
        ("싫어 :( >:(", "싫어 ㅡㅡ ㅡㅡ"),
        ("싫어-_- ㅡ.ㅡ", "싫어ㅡㅡ ㅡㅡ"),
        ("슬퍼 ㅠ.ㅠ a ㅜㅜ b ㅠㅜㅠ", "슬퍼 ㅠㅠ a ㅠㅠ b ㅠㅠㅠ"),
        ("슬퍼 T_T a TT b :'(", "슬퍼 ㅠㅠ a ㅠㅠ b ㅠㅠ"),
        ("사랑 <3", "사랑 ♥"),
        # what only looks like an emoticon
        ("제목:D등급, A:) 주의:(필독) 점수<3점 8:00-9:00", "제목:D등급, A:) 주의:(필독) 점수<3점 8:00-9:00"),
        ("CCTV ATT TTL", "CCTV ATT TTL"),
        # emoji, with modifiers
        ("재밌다😀😀", "재밌다 ^^"),
        ("사랑해❤️❤️💕", "사랑해 ♥ ♥"),
        ("최고👍🏽", "최고 굿"),
        ("😭😡😂👎", "ㅠㅠ ㅡㅡ ㅋㅋ 별로"),
        ("🎬 영화", "🎬 영화"),
        # runs
        ("ㅋㅋㅋㅋㅋㅋ 웃김ㅎㅎㅎㅎ", "ㅋㅋㅋ 웃김ㅎㅎㅎ"),
        ("ㅋㅋ 그대로 ㅋ", "ㅋㅋ 그대로 ㅋ"),
        ("와아아아아 대박", "와아아 대박"),
        ("너무너무너무너무 재밌다", "너무너무 재밌다"),
        ("진짜 진짜 진짜 진짜 최고 ^^ :) ^-^ ^^", "진짜 진짜 최고 ^^ ^^"),
        ("최고!!!!!! 정말...... 뭐??", "최고!!! 정말... 뭐??"),
        ("1000000명 zzzzz", "1000000명 zzzzz"),
    ],
)
def test_noise_becomes_plain_spelling(code: SimpleNamespace, raw: str, expected: str) -> None:
    assert code.normalizer.normalized(raw, 1000) == expected


@pytest.mark.parametrize("raw", ["<br>", "\u200b", "http://a.kr/b", "&nbsp;<p></p>", "\x00"])
def test_a_text_of_nothing_but_noise_stays(code: SimpleNamespace, raw: str) -> None:
    assert code.normalizer.normalized(raw, 1000) == raw


def test_a_text_that_would_grow_beyond_the_limit_stays(code: SimpleNamespace) -> None:
    # GIVEN a text whose tokens are longer than its emoji WHEN the limit is reached THEN it stays as it was
    assert code.normalizer.normalized("👎a" * 100, 100 * 4) == "👎a" * 100
    assert len(code.normalizer.normalized("👎a" * 100, 100 * 5)) == 100 * 5 - 1


def test_every_emoji_has_one_token(code: SimpleNamespace) -> None:
    every = [emoji for group in code.normalizer._EMOJI.values() for emoji in group]
    assert len(every) == len(set(every))
    for emoji in every:
        assert code.normalizer.normalized(f"영화 {emoji}", 100) != f"영화 {emoji}"


@given(text=some_text)
def test_any_text_comes_out_clean_and_not_empty(code: SimpleNamespace, text: str) -> None:
    # GIVEN any text WHEN it is normalised
    clean = code.normalizer.normalized(text, 10_000)

    # THEN there is a text that can be sent on, in one line and one form unless it was all noise
    assert clean
    clean.encode()
    if clean != text:
        assert clean == " ".join(clean.split())
        assert unicodedata.is_normalized("NFC", clean)
        assert "ㅋㅋㅋㅋ" not in clean
        assert "\u200b" not in clean


@pytest.mark.parametrize(
    ("unit", "count"),
    [("www.!", 2000), ("ㅠ.", 5000), ("<b ", 3300), ("가나", 5000), ("! ", 5000), ("&#", 5000), ("-_", 5000)],
)
def test_long_texts_of_one_kind_are_no_trap(code: SimpleNamespace, unit: str, count: int) -> None:
    # GIVEN the longest texts, all of what a rule looks for, WHEN they are normalised THEN it ends
    assert code.normalizer.normalized(unit * count, 10_000)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, '{"inputs": ["좋다 :)", "별로ㅋㅋㅋㅋ"]}'),
        (None, '{"text": ["좋다 :)", "별로ㅋㅋㅋㅋ"], "id": 7}'),
        (LINES, '{"text": "좋다 :)"}\n{"text": ["별로ㅋㅋㅋㅋ"]}\n'),
        (CSV, "좋다 :)\r\n별로ㅋㅋㅋㅋ\r\n"),
        (PLAIN, "좋다 :)\n별로ㅋㅋㅋㅋ"),
    ],
)
@pytest.mark.parametrize("accept", [None, JSON, "text/plain", "image/png"])
def test_every_request_becomes_the_next_stages_json(
    inference: ModuleType,
    model: Callable[[str], str],
    content_type: str | None,
    body: str,
    accept: str | None,
) -> None:
    # GIVEN a request in some format, whatever the caller accepts at the pipeline's end
    texts = inference.input_fn(body.encode(), content_type)

    # WHEN it is answered THEN the next stage gets JSON
    answer, kind = inference.output_fn(inference.predict_fn(texts, model), accept)
    assert kind == JSON
    assert json.loads(answer) == {"inputs": ["좋다 ^^", "별로ㅋㅋㅋ"]}


@pytest.mark.parametrize(
    ("content_type", "body", "status", "said"),
    [
        (JSON, "{", 400, "malformed"),
        (JSON, '{"inputs": ["굿", " "]}', 400, "inputs[1] is empty"),
        (LINES, '{"text": "굿"}\n{"text": 5}', 400, "line 2, text is a number"),
        ("image/png", "x", 415, "not supported"),
        (PLAIN, "굿" * 10_001, 413, "10,001 characters"),
    ],
)
def test_a_bad_request_is_refused_here_and_not_later(
    inference: ModuleType, content_type: str, body: str, status: int, said: str
) -> None:
    with pytest.raises(Exception, match=re.escape(said)) as caught:
        inference.input_fn(body, content_type)
    assert caught.value.status_code == status
