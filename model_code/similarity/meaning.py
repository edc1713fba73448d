"""A sentence as units of meaning: stems, what they weigh, what denies them, their role, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from hangul import is_korean, jamo, normalise, words
from morphology import NEGATIONS, read
from suffixes import Role
from thesaurus import Thesaurus

_NUMERALS = {
    **{"한": "1", "두": "2", "세": "3", "네": "4", "다섯": "5", "여섯": "6", "일곱": "7", "여덟": "8"},
    **{"아홉": "9", "열": "10", "열한": "11", "열두": "12", "스무": "20", "서른": "30"},
}
_COUNTER_WORDS = "시 시간 명 개 번 마리 살 잔 권 대 병 그릇 달 벌 장 송이 켤레 가지 사람 분 채 쌍 줄 상자"
_COUNTERS = frozenset(jamo(word) for word in _COUNTER_WORDS.split())
_IS_NOT = jamo("아니")
_LONGEST_UNSPACED = 3  # syllables; longer words may be several, written together


@dataclass(frozen=True)
class Unit:
    """A word that carries meaning.

    Args:
        stem: The likeliest stem.
        stems: All of them.
        weight: How much it says, 0 (nothing) to 1.
        role: Of a noun; None if unknown.
        negated: Denied by itself or by the words around it.
        number: Its value, as written; empty for words.
        groups: See `Thesaurus.groups`.
        sides: See `Thesaurus.sides`.
        traces: Two units without a trace in common have nothing in common.
    """

    stem: str
    stems: frozenset[str]
    weight: float
    role: Role | None
    negated: bool
    number: str
    groups: frozenset[int]
    sides: frozenset[tuple[int, int]]
    traces: frozenset[str]


def tokens(text: str) -> list[str]:
    """Return the words of a sentence as written."""
    return words(normalise(text))


def respaced(sentence: Sequence[str], other: Sequence[str]) -> list[str]:
    """Cut words that were written together where the other sentence has them apart: 전기차, 전기 차.

    Args:
        sentence: The words to cut; one that shares a stem with a word of the other sentence stays whole.
        other: The words to look for.
    """
    known = {stem for word in other for stem in read(word).stems}
    pieces = sorted({word for word in other if is_korean(word) and len(word) > 1}, key=lambda w: (-len(w), w))
    if not pieces:
        return list(sentence)
    cut = re.compile(f"({'|'.join(map(re.escape, pieces))})")
    apart = {*other, *NEGATIONS}
    found: list[str] = []
    for word in sentence:
        whole = len(word) <= _LONGEST_UNSPACED or not is_korean(word) or known.intersection(read(word).stems)
        parts = [word] if whole else [part for part in cut.split(word) if part]
        # a syllable that is left over belongs to a word: 불친절 is not 불 and 친절
        found.extend(parts if all(len(part) > 1 or part in apart for part in parts) else [word])
    return found


def units(sentence: Sequence[str], weigh: Callable[[str], float], thesaurus: Thesaurus) -> list[Unit]:
    """Return a sentence's units in order; words that only deny others are gone.

    Args:
        sentence: Its words.
        weigh: Stem -> weight.
        thesaurus: Gives groups and sides.
    """
    found: list[Unit] = []
    linked = denied_ahead = False
    for index, word in enumerate(sentence):
        following = sentence[index + 1] if index + 1 < len(sentence) else ""
        if word in NEGATIONS and following and read(following).verbal:
            denied_ahead = not denied_ahead
            continue
        reading = read(word)
        if reading.denies and found and (linked or reading.stem == _IS_NOT):
            found[-1] = replace(found[-1], negated=not found[-1].negated)
            linked = reading.linked
            continue
        number = _number(word, following)
        groups, sides = thesaurus.groups(reading.stems), thesaurus.sides(reading.stems)
        found.append(
            Unit(
                reading.stem,
                frozenset(reading.stems),
                1.0 if number else weigh(reading.stem),
                reading.role,
                reading.negated != denied_ahead,
                number,
                groups,
                sides,
                _traces(number, reading.stems, groups, sides),
            )
        )
        linked, denied_ahead = reading.linked, False
    return found


@lru_cache(maxsize=16_384)
def _traces(
    number: str, stems: tuple[str, ...], groups: frozenset[int], sides: frozenset[tuple[int, int]]
) -> frozenset[str]:
    if number:
        return frozenset({"#"})
    letters = {a + b for stem in stems for a, b in pairwise(f" {stem} ")}
    return frozenset(letters | {f"={group}" for group in groups} | {f"!{group}" for group, _ in sides})


def _number(word: str, following: str) -> str:
    if word[0].isdecimal():
        return word.replace(",", "")
    counted = following and not _COUNTERS.isdisjoint(read(following).stems)
    return _NUMERALS.get(word, "") if counted else ""
