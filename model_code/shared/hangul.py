"""Korean text as words, letters (jamo) and character n-grams: what the models of meaning have in common."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LONG_RUN = re.compile(r"(\D)\1{2,}")
# Korean words, loose letters (ㅋㅋ), numbers with their separators (3.5, 10,000, 09:30), other words
_WORD = re.compile(r"[가-힣]+|[ㄱ-ㆎ]+|\d+(?:[.,:]\d+)*|[^\W\d_가-힣ㄱ-ㆎ]+")
# 와 is 오 + 아, 져 is 지 + 어: written apart, a contracted ending comes off like any other
_CONTRACTED: Final = str.maketrans({"ᅪ": "ᅩᅡ", "ᅯ": "ᅮᅥ", "ᅧ": "ᅵᅥ", "ᅫ": "ᅬᅥ"})
_FINALS: Final = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
# a loose letter of an ending, as Unicode's conjoining letter: a consonant at a syllable's end, or a vowel
_CONJOINING: Final = str.maketrans(
    {letter: chr(0x11A8 + index) for index, letter in enumerate(_FINALS)}
    | {chr(0x314F + index): chr(0x1161 + index) for index in range(21)}
)


def normalise(text: str) -> str:
    """Return the text as NFC, in lower case, with single spaces and no character three times in a row."""
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    return _LONG_RUN.sub(r"\1\1", " ".join(text.lower().split()))


def words(text: str) -> list[str]:
    """Return a normalised text's words in order: Korean, loose letters, numbers, others; no punctuation."""
    return _WORD.findall(text)


def jamo(text: str) -> str:
    """Spell text in letters; a consonant that ends a syllable is another character than one that begins it.

    The vowels ㅘ, ㅝ, ㅕ and ㅙ become two (ㅗㅏ, ㅜㅓ, ㅣㅓ, ㅚㅓ), so that 보았다 and 봤다 are alike.
    A loose consonant counts as one that ends a syllable: ``"ㅂ니다"`` is how 갑니다 ends.
    """
    return unicodedata.normalize("NFD", text.translate(_CONJOINING)).translate(_CONTRACTED)


def is_korean(word: str) -> bool:
    """Tell whether a word is made of Korean syllables, by its first."""
    return "가" <= word[:1] <= "힣"


def ends_in_consonant(word: str) -> bool:
    """Tell whether a word's last syllable has a final consonant, on which the form of a particle depends."""
    return is_korean(word[-1:]) and (ord(word[-1]) - ord("가")) % 28 != 0
