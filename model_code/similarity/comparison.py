"""Two sentences side by side: which words correspond, and what contradicts what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from hangul import jamo
from meaning import Unit

# what two words have in common, from 0 to 1
_SAME, _SAME_PERHAPS, _SYNONYM, _OPPOSITE = 1.0, 0.8, 0.9, 0.95
_PART, _SPELLING = 0.65, 0.8
_LEAST_SPELLING = 0.6
_DENYING_PREFIXES = frozenset(map(jamo, "불비미무"))
# a contradiction counts in full once it is this share of the words
_FULL_SHARE = 0.2


@dataclass(frozen=True)
class Comparison:
    """What two sentences have in common.

    Args:
        overlap: Share of the meaning that corresponds, whether asserted or denied, 0 to 1.
        letters: Likeness of the letters in sequence, 0 to 1.
        contradiction: How much of what corresponds is denied, opposite, another number or has other roles,
            0 to 1.
    """

    overlap: float
    letters: float
    contradiction: float


@dataclass(frozen=True)
class _Link:
    """Two corresponding units."""

    one: Unit
    other: Unit
    likeness: float
    opposite: bool


def compare(one: Sequence[Unit], other: Sequence[Unit]) -> Comparison:
    """Compare two sentences, each with at least one unit."""
    links = _links(one, other)
    total_one, total_other = (sum(unit.weight for unit in units) for units in (one, other))
    covered_one = sum(link.one.weight * link.likeness for link in links) / total_one
    covered_other = sum(link.other.weight * link.likeness for link in links) / total_other
    together = covered_one + covered_other
    overlap = 2 * covered_one * covered_other / together if together else 0.0
    letters = likeness_of_letters("".join(unit.stem for unit in one), "".join(unit.stem for unit in other))
    share = 2 * _contradicted(links) / (len(one) + len(other))
    return Comparison(overlap, letters, min(1.0, share / _FULL_SHARE))


def _links(one: Sequence[Unit], other: Sequence[Unit]) -> list[_Link]:
    """Pair the units, the likeliest pairs first, each unit at most once."""
    candidates = []
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            likeness, opposite = _likeness(left, right)
            if likeness:
                distance = abs(i / len(one) - j / len(other))
                candidates.append((-likeness, distance, i, j, opposite))
    free_one, free_other = set(range(len(one))), set(range(len(other)))
    links = []
    for likeness, _, i, j, opposite in sorted(candidates):
        if i in free_one and j in free_other:
            free_one.remove(i)
            free_other.remove(j)
            links.append(_Link(one[i], other[j], -likeness, opposite))
    return links


def _likeness(one: Unit, other: Unit) -> tuple[float, bool]:
    """Return what two words have in common, and whether they deny each other."""
    if one.traces.isdisjoint(other.traces):
        return 0.0, False
    denied = one.negated != other.negated
    if one.number or other.number:
        both = bool(one.number and other.number)
        return (_SAME if both else 0.0), both and one.number != other.number
    if one.stem in other.stems or other.stem in one.stems:
        return _SAME, denied
    for group, side in one.sides:
        if any(group == same and side != another for same, another in other.sides):
            return _OPPOSITE, not denied
    if one.groups & other.groups:
        return _SYNONYM, denied
    if any(len(stem) > 4 for stem in one.stems & other.stems):
        return _SAME_PERHAPS, denied
    shorter, longer = sorted((one.stem, other.stem), key=len)
    if longer.endswith(shorter) and longer[: -len(shorter)] in _DENYING_PREFIXES:  # 친절, 불친절
        return _OPPOSITE, not denied
    if len(shorter) > 4 and (longer.startswith(shorter) or longer.endswith(shorter)):
        return _PART, denied
    spelling = likeness_of_letters(one.stem, other.stem)
    return (spelling * _SPELLING, denied) if spelling >= _LEAST_SPELLING else (0.0, False)


def _contradicted(links: Sequence[_Link]) -> int:
    """Count the links that deny what they link."""
    denied = [link for link in links if link.opposite]
    roles = [link for link in links if link.one.role and link.other.role and link.one.role != link.other.role]
    # one changed role is a matter of style (the topic); two are two that changed places
    swapped = [link for link in roles if link not in denied] if len(roles) > 1 else []
    return len(denied) + len(swapped)


def likeness_of_letters(one: str, other: str) -> float:
    """Return the cosine of the pairs of letters in two words or sentences."""
    left, right = _pairs(one), _pairs(other)
    shared = sum(count * right[pair] for pair, count in left.items() if pair in right)
    return shared / math.sqrt(_square(one) * _square(other)) if shared else 0.0


@lru_cache(maxsize=8_192)
def _pairs(letters: str) -> Counter[str]:
    return Counter(a + b for a, b in pairwise(f" {letters} "))


@lru_cache(maxsize=8_192)
def _square(letters: str) -> int:
    return sum(count * count for count in _pairs(letters).values())
