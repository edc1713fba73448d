"""Texts to hashed character n-grams, for a whole batch at a time with numpy.

Texts are normalised by `polarity.code_points`. Every 1-, 2- and 3-gram of characters is hashed to one of
`BUCKETS` buckets; a space marks both ends of the text, and grams run across word boundaries because
reviewers' spacing is unreliable. Repeated grams count as often as they occur.

The hash is multilinear (a sum of code points times fixed 64-bit keys, highest bits kept): exact in integer
arithmetic, hence the same on every machine, and a handful of numpy operations for any number of texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from polarity import code_points

BUCKET_BITS = 18
BUCKETS = 1 << BUCKET_BITS
#: Bucket of grams that would reach beyond their text; its weight is 0.
DEAD_BUCKET = BUCKETS
ORDERS = (1, 2, 3)
#: Names this feature definition; a model file carries it, so that the two cannot drift apart unnoticed.
FEATURE_ID = f"nfc-lower-run3/char-{ORDERS[0]}-{ORDERS[-1]}/multilinear-{BUCKET_BITS}"

_SPACE, _NEWLINE = 32, 10
_SHIFT = np.uint64(64 - BUCKET_BITS)


def _key(order: int, part: int) -> np.uint64:
    digest = hashlib.blake2b(f"char-{order}-gram:{part}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


# per order: the constant, then one key for the last character, the one before it, ...
_KEYS = {order: [_key(order, part) for part in range(order + 1)] for order in ORDERS}


@dataclass(frozen=True)
class GramBatch:
    """The grams of a batch of texts.

    Args:
        buckets: ``int64[positions, 3]``, the buckets of the 1-, 2- and 3-gram that end at a position; one
            position for each character of the normalised texts and one for the space after each text.
        starts: ``int64[texts]``, the first position of each text.
        lengths: ``int64[texts]``, the number of positions of each text.
    """

    buckets: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def norms(self) -> NDArray[np.float64]:
        """Return the square root of each text's number of grams: the first position has no 3-gram."""
        return np.sqrt((3 * self.lengths - 1).astype(np.float64))


def grams(texts: Sequence[str]) -> GramBatch:
    """Return the hashed grams of at least one text.

    Args:
        texts: Not one of them empty or white space only.

    Raises:
        UnicodeEncodeError: A text holds half of a surrogate pair.
    """
    points = code_points(texts)
    ends = np.flatnonzero(points == _NEWLINE)
    chars = points.astype(np.uint64)
    chars[ends] = _SPACE
    starts, lengths = ends[:-1], np.diff(ends)  # position 0 of the buckets is character 1
    last, middle, first = chars[1:], chars[:-1], chars[:-2]
    buckets = np.empty((len(last), len(ORDERS)), dtype=np.int64)
    one, two, three = (_KEYS[order] for order in ORDERS)
    buckets[:, 0] = (last * one[1] + one[0]) >> _SHIFT
    buckets[:, 1] = (last * two[1] + middle * two[2] + two[0]) >> _SHIFT
    buckets[1:, 2] = (last[1:] * three[1] + middle[1:] * three[2] + first * three[3] + three[0]) >> _SHIFT
    buckets[starts, 2] = DEAD_BUCKET
    return GramBatch(buckets, starts, lengths)
