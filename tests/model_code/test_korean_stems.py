"""Stems of Korean words: what one verb or noun looks like in its many forms, and what denies it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "similarity"


@pytest.mark.parametrize(
    "forms",
    [
        "재미있어요 재미있네요 재미있다 재미있었습니다 재밌다 재미가",
        "가다 갔다 갑니다 간다 가요 가는 갔어요 가서",
        "춥다 추워요 추운 추웠다 춥네요",
        "보다 봤어요 보았다 봐요 봅니다",
        "바쁘다 바빠요 바빴다 바쁜",
        "다르다 달라요 다른 달랐다",
        "만들다 만들었다 만드는 만듭니다",
        "공부했다 공부합니다 공부를 공부하는 공부해요",
        "영화입니다 영화였다 영화를 영화예요 영화가",
        "사람들이 사람이 사람들은 사람에게",
        "놀다 논다 놀고 놀았다 놉니다",
        "크다 커요 큰 컸다",
        "마시다 마셨다 마신다 마셔요",
        "배우다 배웠다 배운다",
        "하얗다 하얀",
    ],
)
def test_the_forms_of_a_word_have_a_stem_in_common(code: SimpleNamespace, forms: str) -> None:
    # GIVEN forms of one word WHEN they are read THEN one stem is in all of them
    readings = [code.morphology.read(form) for form in forms.split()]
    common = set.intersection(*(set(reading.stems) for reading in readings))
    assert common
    # and it is the likeliest of most
    assert max(sum(reading.stem == stem for reading in readings) for stem in common) > len(readings) / 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("가다", "오다"),
        ("나이", "나는"),
        ("영화", "음악"),
        ("먹다", "마시다"),
        ("크다", "작다"),
        ("불", "비"),
    ],
)
def test_different_words_have_different_stems(code: SimpleNamespace, one: str, other: str) -> None:
    first, second = code.morphology.read(one), code.morphology.read(other)
    assert set(first.stems).isdisjoint(second.stems)


@pytest.mark.parametrize(
    ("denied", "asserted"), [("재미없어요", "재미있어요"), ("없다", "있다"), ("좋지않다", "좋다")]
)
def test_a_word_that_denies_has_the_stem_of_what_it_denies(
    code: SimpleNamespace, denied: str, asserted: str
) -> None:
    no, yes = code.morphology.read(denied), code.morphology.read(asserted)
    assert no.stem == yes.stem
    assert (no.negated, yes.negated) == (True, False)


def test_particles_tell_the_role(code: SimpleNamespace) -> None:
    role = code.suffixes.Role
    expected = {
        "민수가": role.SUBJECT,
        "책을": role.OBJECT,
        "영희에게": role.RECIPIENT,
        "집에서": role.SOURCE,
        "형보다": role.COMPARED,
        "물": None,
    }
    assert {word: code.morphology.read(word).role for word in expected} == expected
    # 가 follows a vowel, 이 a consonant: 나이 is an age, not 나 with a particle
    assert code.morphology.read("나이").role is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ㅋㅋㅋㅋㅋ 재밌다ㅠㅠㅠ", ["ㅋㅋ", "재밌다", "ㅠㅠ"]),
        ("평점 3.5점, 10,000원!", ["평점", "3.5", "점", "10,000", "원"]),
        ("iPhone15를 샀다", ["iphone", "15", "를", "샀다"]),
        ("", []),
        ("!?…", []),
    ],
)
def test_words_are_parted_by_script(code: SimpleNamespace, text: str, words: list[str]) -> None:
    assert code.hangul.words(code.hangul.normalise(text)) == words


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_can_be_read(code: SimpleNamespace, text: str) -> None:
    # GIVEN any text WHEN its words are read THEN each has a likeliest stem, one of its stems, none empty
    for word in code.hangul.words(code.hangul.normalise(text)):
        reading = code.morphology.read(word)
        assert reading.stem in reading.stems
        assert all(reading.stems)
        assert len(set(reading.stems)) == len(reading.stems)
