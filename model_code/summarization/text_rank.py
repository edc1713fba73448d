"""The most telling sentences: TextRank with a preference for the beginning, and no two that say the same.

Mihalcea and Tarau, TextRank (2004): sentences are nodes, tied by how much they have in common, and PageRank
finds those that many others support. Carbonell and Goldstein, maximal marginal relevance (1998): each
further sentence must tell something that the chosen ones do not.

The weights are cosines of sparse vectors X, so a step of PageRank is X (X' p) and the matrix of all pairs is
never built: time and memory grow with the text's length and not with its square.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hangul import is_korean, jamo, normalise, words
from morphology import read
from numpy.typing import NDArray

_DAMPING, _TOLERANCE, _STEPS = 0.85, 1e-10, 100
# how many times likelier the first sentence is to start with than a late one
_LEAD = 2.0
# sentences with fewer words say too little to stand alone
_ENOUGH_WORDS = 4
# share of importance against novelty
_IMPORTANCE = 0.7
_REPEATED = 0.95
_PART_OF_WORD = 0.4
# verbs that only help others, pronouns, adverbs: they tie sentences that have nothing in common
_SMALL_WORDS = (
    "있 하 되 것 수 등 이 그 저 때문 위 및 또 더 같 보 않 아니 중 때 데 거 게 통하 대하 따르 밝히 말하 전하 "
    "그리고 그러나 하지만 그래서 또한 즉 정말 너무 진짜 매우 아주 참 이번 이날"
)
_SAY_LITTLE = frozenset(map(jamo, _SMALL_WORDS.split()))


@dataclass(frozen=True)
class SentenceVectors:
    """What sentences are about, as sparse rows of length one (or zero).

    Args:
        rows, columns, values: The entries that are not zero, in the order of the rows.
        sentences: Number of rows.
        features: Number of columns.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    sentences: int
    features: int

    def times(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return X v, a number for each sentence."""
        return _summed(self.rows, self.values * vector[self.columns], self.sentences)

    def transposed_times(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return X' v, a number for each feature."""
        return _summed(self.columns, self.values * vector[self.rows], self.features)

    def likeness_to(self, sentence: int) -> NDArray[np.float64]:
        """Return the cosine of every sentence with one of them."""
        one = np.zeros(self.sentences)
        one[sentence] = 1.0
        return self.times(self.transposed_times(one))


def vectors(sentences: Sequence[str]) -> SentenceVectors:
    """Weigh what occurs in each sentence: stems, and pairs of syllables for compounds (전기차, 전기 버스)."""
    numbers: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    counts: list[float] = []
    for row, sentence in enumerate(sentences):
        occurring: defaultdict[str, float] = defaultdict(float)
        for feature, weight in _features(sentence):
            occurring[feature] += weight
        for feature, count in occurring.items():
            rows.append(row)
            columns.append(numbers.setdefault(feature, len(numbers)))
            counts.append(count)
    row_index, column_index = np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)
    frequency = np.bincount(column_index, minlength=len(numbers))
    # at least log 2: what occurs in every sentence is what the text is about
    values = np.sqrt(np.array(counts)) * np.log1p(len(sentences) / frequency[column_index])
    norms = np.sqrt(_summed(row_index, values * values, len(sentences)))
    return SentenceVectors(row_index, column_index, values / norms[row_index], len(sentences), len(numbers))


def _features(sentence: str) -> Iterator[tuple[str, float]]:
    for word in words(normalise(sentence)):
        stem = read(word).stem
        if stem in _SAY_LITTLE:
            continue
        yield stem, 1.0
        if is_korean(word):
            for index in range(len(word) - 1):
                yield f"+{word[index : index + 2]}", _PART_OF_WORD


def _summed(places: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Add up the values of each place."""
    return np.asarray(np.bincount(places, values, minlength=size), dtype=np.float64)


def starting_points(sentences: Sequence[str]) -> NDArray[np.float64]:
    """Return how likely a reader begins at each sentence: early ones are likelier, very short ones less."""
    places = np.arange(len(sentences), dtype=np.float64)
    early = 1.0 + (_LEAD - 1.0) / (1.0 + places)
    lengths = np.array([len(words(sentence)) for sentence in sentences], dtype=np.float64)
    weights = early * np.clip(lengths / _ENOUGH_WORDS, 0.1, 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def importance(found: SentenceVectors, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the PageRank of each sentence; they add up to 1.

    Args:
        found: What the sentences are about.
        start: Where the reader begins, and begins again, see `starting_points`.
    """
    own = _summed(found.rows, found.values * found.values, found.sentences)

    def neighbours(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(found.times(found.transposed_times(vector)) - own * vector, 0.0)

    degrees = neighbours(np.ones(found.sentences))
    lonely = degrees < 1e-9
    shares = np.where(lonely, 0.0, 1.0 / np.where(lonely, 1.0, degrees))
    rank = start
    for _ in range(_STEPS):
        moved = neighbours(rank * shares)
        following = _DAMPING * (moved + rank[lonely].sum() * start) + (1 - _DAMPING) * start
        following /= following.sum()
        change = float(np.abs(following - rank).sum())
        rank = following
        if change < _TOLERANCE:
            break
    return rank


def chosen(sentences: Sequence[str], most: int) -> list[int]:
    """Return the places of the most telling sentences, in reading order.

    Args:
        sentences: In reading order, at least one.
        most: How many; all of them if there are no more.
    """
    if most >= len(sentences):
        return list(range(len(sentences)))
    found = vectors(sentences)
    rank = importance(found, starting_points(sentences))
    rank = rank / rank.max()
    covered = np.zeros(len(sentences))
    picked: list[int] = []
    for _ in range(most):
        gain = _IMPORTANCE * rank - (1 - _IMPORTANCE) * covered
        gain[covered > _REPEATED] -= 1.0  # the same again: only if nothing else is left
        gain[picked] = -math.inf
        best = int(np.argmax(gain))
        picked.append(best)
        covered = np.maximum(covered, found.likeness_to(best))
    return sorted(picked)
