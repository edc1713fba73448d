"""The stems of Korean words, by rules: particles come off nouns, endings off verbs and adjectives.

A word may be read in more than one way (나는: "I" or "flying"), and rules cannot know which is meant. So a
word has all the stems that the rules allow, and two words are related if any of their stems agree. Stems are
keys to compare by, not forms to show: irregular verbs are brought into one shape (춥다, 추워요: ㅊㅜㅂ).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hangul import ends_in_consonant, is_korean, jamo
from suffixes import BEFORE_ENDINGS, ENDINGS, LINKS, PARTICLES, VERBALISERS, Role


@dataclass(frozen=True)
class Reading:
    """What a word can be.

    Args:
        stems: All that the rules allow, in letters (`hangul.jamo`): the word as it stands, without particles,
            without endings, and for 공부했다 also 공부. The word itself comes first.
        stem: The likeliest of them.
        role: What its particle says; None without one that says something.
        negated: It denies by itself (없다, 재미없다, 좋지않다); the stems are those of what it denies.
        linked: It ends so that a 않다, 못하다 or 말다 after it denies it (좋지 않다).
        denies: It is such a 않다, 못하다, 말다 itself, or 아니다.
        verbal: It has the ending of a verb or adjective, or looks so.
    """

    stems: tuple[str, ...]
    stem: str
    role: Role | None = None
    negated: bool = False
    linked: bool = False
    denies: bool = False
    verbal: bool = False


_LONGEST_PARTICLE = max(map(len, PARTICLES))
_PLURAL = "들"


def _any_of(suffixes: Iterable[str]) -> re.Pattern[str]:
    spelt = sorted({jamo(suffix) for suffix in suffixes}, key=lambda suffix: (-len(suffix), suffix))
    return re.compile(f"(?:{'|'.join(spelt)})$")


_ENDING, _BEFORE_ENDING = _any_of(ENDINGS), _any_of(BEFORE_ENDINGS)
_LINK = _any_of(LINKS)
_ROOT_VERB = _any_of(VERBALISERS)
_VOWELS = "".join(map(chr, range(0x1161, 0x1176)))
_BARE_INITIAL = re.compile("[\u1100-\u1112]$")
_TWO_VOWELS = re.compile(f"(?<=[{_VOWELS}])[{jamo('ㅏㅓ')}]$")
_SHORT_LONG = re.compile(f"{jamo('ㄹ')}ᄅ[{jamo('ㅏㅓ')}]$")  # 달라, of 다르다
_SOFT_P = re.compile(f"(?<=.)ᄋ[{jamo('ㅜㅗ')}]$")  # 추우-, of 춥다
_WEAK_FINAL = re.compile(f"(?<=.{{4}})[{jamo('ㄹㅎ')}]$")  # 만들다, 만드는; 하얗다, 하얀
_WEAK_VOWEL = re.compile(f"(?<=.{{3}})[{jamo('ㅏㅓㅡ')}]$")  # 바쁘다, 바빠요
_IRREGULAR = {
    jamo(shape): jamo(stem)
    for shape, stem in zip("커써떠꺼노드여거머부우아", "크쓰뜨끄놀들열걸멀불울알", strict=True)
}
_EXISTS, _LACKS, _DID = jamo("있"), jamo("없"), jamo("해")
_DENYING_TAIL = _any_of(("지않", "지못하"))
_DENYING = frozenset(map(jamo, ("않", "아니하", "못하", "말", "마", "아니")))
NEGATIONS = frozenset({"안", "못"})
"""Words that deny the verb after them."""


@lru_cache(maxsize=65_536)
def read(word: str) -> Reading:
    """Return what a word of a normalised text can be."""
    if not is_korean(word):
        return Reading((word,), word)
    letters = jamo(word)
    noun, role = _without_particle(word)
    stems = {letters: None, jamo(noun): None}
    ending = _ENDING.search(letters)
    verb = _verb_stem(letters, ending.start()) if ending else ""
    if not ending or not verb:
        return Reading(tuple(stems), jamo(noun), role)
    denies = verb in _DENYING
    verb, negated = _without_denial(verb)
    stems[verb] = None
    root = _ROOT_VERB.search(verb)
    has_root = root is not None and root.start() >= 3
    stem = jamo(word[: _syllables(verb[: root.start()])]) if root and has_root else _regular(verb)
    stems[stem] = None
    # the longer suffix is the likelier one: 합니다 ends in ㅂ니다 rather than in 다
    is_noun = len(letters) - len(jamo(noun)) >= len(letters) - ending.start()
    likeliest = jamo(noun) if is_noun and noun != word and not has_root and not negated else stem
    linked = _LINK.search(letters) is not None
    return Reading(tuple(stems), likeliest, role, negated, linked, denies, verbal=True)


def _without_particle(word: str) -> tuple[str, Role | None]:
    """Return the noun and its role; the word itself if no particle fits."""
    for length in range(min(_LONGEST_PARTICLE, len(word) - 1), 0, -1):
        noun, particle = word[:-length], word[-length:]
        if particle not in PARTICLES:
            continue
        after_consonant, role = PARTICLES[particle]
        if after_consonant in {None, ends_in_consonant(noun)}:
            return noun.removesuffix(_PLURAL) or noun, role
    return word, None


def _verb_stem(letters: str, end: int) -> str:
    """Take an ending off, then tense and courtesy; empty if nothing would be left."""
    stem = _cut(letters, end)
    while not stem.endswith(_EXISTS) and (before := _BEFORE_ENDING.search(stem)) and before.start():
        stem = _cut(stem, before.start())
    if stem.endswith(_DID):
        stem = stem[:-1] + jamo("ㅏ")  # 해, 했-: of 하다
    return stem if len(stem) > 1 else ""


def _cut(letters: str, end: int) -> str:
    """Shorten to so many letters, but leave no consonant without its vowel: 가 + 았 is 갔."""
    return letters[: end + 1] if _BARE_INITIAL.search(letters[:end]) else letters[:end]


def _without_denial(verb: str) -> tuple[str, bool]:
    """Turn 재미없-, 좋지않- and 없- into what they deny; 재미있- becomes 재미 as well."""
    if tail := _DENYING_TAIL.search(verb):
        return (verb[: tail.start()], True) if tail.start() else (verb, False)
    if verb == _LACKS:
        return _EXISTS, True
    if verb.endswith((_EXISTS, _LACKS)) and verb != _EXISTS:
        return verb[:-3], verb.endswith(_LACKS)
    return verb, False


def _regular(verb: str) -> str:
    """Bring the shapes of an irregular verb together."""
    verb = _SHORT_LONG.sub(jamo("르"), _TWO_VOWELS.sub("", verb))
    verb = _SOFT_P.sub(jamo("ㅂ"), _IRREGULAR.get(verb, verb))
    return _WEAK_VOWEL.sub(jamo("ㅡ"), _WEAK_FINAL.sub("", verb))


def _syllables(letters: str) -> int:
    return sum("\u1100" <= letter <= "\u1112" for letter in letters)
