"""Texts to rows of an embedding table, for a whole batch at a time with numpy.

Texts are normalised by `polarity.code_points`. There is a position for each character and one for the space
after each text.
after each text. A position has six rows: the hashed 1-, 2- and 3-gram of characters that ends there, and the
three letters (jamo) of a Korean syllable, so that 재밋다 is not all new to who knows 재밌다. A word is a run
of positions up to and including a space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from polarity import code_points

#: Bits of the hash of the 1-, 2- and 3-grams.
GRAM_BITS = (13, 15, 15)
_FIRSTS, _VOWELS, _LASTS = 19, 21, 28
_GRAMS = sum(1 << bits for bits in GRAM_BITS)
#: Rows of the table; one more row, `DEAD_ROW`, is zero.
ROWS = _GRAMS + _FIRSTS + _VOWELS + _LASTS
DEAD_ROW = ROWS
#: Rows of a position.
COLUMNS = 6
#: Names this feature definition; a model file carries it, so that the two cannot drift apart unnoticed.
FEATURE_ID = f"nfc-lower-run3/char-1-3-jamo/multilinear-{'-'.join(map(str, GRAM_BITS))}"

_SPACE, _NEWLINE, _FIRST_SYLLABLE, _SYLLABLES = 32, 10, 0xAC00, 11_172


@dataclass(frozen=True)
class TextBatch:
    """The positions of a batch of texts.

    Args:
        rows: ``int32[positions, COLUMNS]``, rows of the table.
        starts: ``int64[texts]``, the first position of each text.
        lengths: ``int64[texts]``, the number of positions of each text.
        word_starts: ``int64[words]``, the first position of each word.
        word_lengths: ``int64[words]``, the number of positions of each word.
        first_words: ``int64[texts]``, the first word of each text.
        words: ``int64[texts]``, the number of words of each text.
    """

    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    word_starts: NDArray[np.int64]
    word_lengths: NDArray[np.int64]
    first_words: NDArray[np.int64]
    words: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> TextBatch:
        """Return the batch of the chosen texts, in the order given."""
        positions = _spans(self.starts[chosen], self.lengths[chosen])
        words = _spans(self.first_words[chosen], self.words[chosen])
        return TextBatch(
            self.rows[positions],
            _offsets(self.lengths[chosen]),
            self.lengths[chosen],
            _offsets(self.word_lengths[words]),
            self.word_lengths[words],
            _offsets(self.words[chosen]),
            self.words[chosen],
        )


def text_batch(texts: Sequence[str]) -> TextBatch:
    """Return the positions of at least one text.

    Args:
        texts: Not one of them empty or white space only.

    Raises:
        UnicodeEncodeError: A text holds half of a surrogate pair.
    """
    points = code_points(texts)
    ends = np.flatnonzero(points == _NEWLINE)
    characters = points.astype(np.uint64)
    characters[ends] = _SPACE
    starts, lengths = ends[:-1], np.diff(ends)  # position 0 of the rows is character 1
    last = characters[1:]
    second_last = np.concatenate([np.array([_SPACE], dtype=np.uint64), characters[:-2]])
    second_last[starts] = _SPACE  # not the end of the text before
    columns = _grams(last, characters[:-1], second_last) + _letters(last.astype(np.int64))
    breaks = np.flatnonzero(last == _SPACE)
    word_starts = np.concatenate([[0], breaks[:-1] + 1])
    first_words = np.searchsorted(word_starts, starts)
    return TextBatch(
        np.stack(columns, axis=1, dtype=np.int32, casting="unsafe"),
        starts,
        lengths,
        word_starts,
        np.diff(np.append(word_starts, len(last))),
        first_words,
        np.diff(np.append(first_words, len(word_starts))),
    )


def _key(order: int, part: int) -> np.uint64:
    digest = hashlib.blake2b(f"row-{order}-gram:{part}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


# per order: the constant, then one key for the last character, the one before it, ...
_KEYS = [[_key(order, part) for part in range(order + 1)] for order in range(1, len(GRAM_BITS) + 1)]


def _grams(*characters: NDArray[np.uint64]) -> list[NDArray[np.int64]]:
    """Hash the 1-, 2- and 3-grams (multilinear, highest bits kept): exact, the same on every machine."""
    columns, first_row = [], 0
    for keys, bits in zip(_KEYS, GRAM_BITS, strict=True):
        total = np.full(len(characters[0]), keys[0])
        for key, character in zip(keys[1:], characters, strict=False):
            total += character * key
        columns.append((total >> np.uint64(64 - bits)).astype(np.int64) + first_row)
        first_row += 1 << bits
    return columns


def _letters(points: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each syllable's first consonant, vowel and last consonant, else the dead row."""
    syllable = points - _FIRST_SYLLABLE
    korean = (syllable >= 0) & (syllable < _SYLLABLES)
    first = _GRAMS + syllable // (_VOWELS * _LASTS)
    vowel = _GRAMS + _FIRSTS + syllable // _LASTS % _VOWELS
    last = _GRAMS + _FIRSTS + _VOWELS + syllable % _LASTS
    return [np.where(korean, column, DEAD_ROW) for column in (first, vowel, last)]


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(lengths) - lengths


def _spans(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all spans, one span after the other."""
    return np.repeat(starts - _offsets(lengths), lengths) + np.arange(lengths.sum())
