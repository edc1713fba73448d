"""Texts to hashed n-grams."""

from __future__ import annotations

import random
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "sentiment"

# any text that is not only white space, surrogates excluded
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: not text.isspace()
)


def row(batch: object, index: int) -> list[list[int]]:
    begin, length = batch.starts[index], batch.lengths[index]
    return batch.buckets[begin : begin + length].tolist()


def test_a_text_gives_every_gram_of_one_to_three_characters(code: SimpleNamespace) -> None:
    # GIVEN texts that share grams
    # WHEN they are hashed
    batch = code.features.grams(["영화", "화영화", "화"])

    # THEN equal grams share a bucket, wherever they stand, and the first position has no 3-gram
    first, second, third = (row(batch, index) for index in range(3))
    assert first[0][0] == second[1][0]  # 영
    assert first[1][:2] == second[2][:2]  # 화, 영화
    assert first[2] == second[3]  # the closing space, "화 ", "영화 "
    assert third[0][1] == second[0][1]  # " 화"
    assert first[0][2] == second[0][2] == third[0][2] == code.features.DEAD_BUCKET
    assert [len(part) for part in (first, second, third)] == [3, 4, 2]
    # and different grams do not collide here: 3 of one character, 4 of two, 3 of three, and the dead bucket
    assert len({bucket for position in second for bucket in position}) == 3 + 4 + 3 + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GOOD 영화", "good 영화"),
        ("  재밌는\t영화\n", "재밌는 영화"),
        ("재밌다", unicodedata.normalize("NFD", "재밌다")),
        ("ㅋㅋㅋㅋㅋㅋㅋㅋ", "ㅋㅋㅋ"),
        ("최고\u3000영화", "최고 영화"),
    ],
)
def test_spellings_of_one_text_are_one_text(code: SimpleNamespace, one: str, other: str) -> None:
    # GIVEN two spellings WHEN both are hashed THEN their grams are the same
    assert row(code.features.grams([one]), 0) == row(code.features.grams([other]), 0)


def test_order_of_characters_matters(code: SimpleNamespace) -> None:
    assert row(code.features.grams(["안 좋다"]), 0) != row(code.features.grams(["좋다 안"]), 0)


@given(batch=st.lists(texts, min_size=1, max_size=8))
def test_a_text_is_hashed_alike_alone_and_among_others(code: SimpleNamespace, batch: list[str]) -> None:
    # GIVEN any texts
    # WHEN they are hashed together
    together = code.features.grams(batch)

    # THEN there is a row for each, the same as alone, in whole buckets, and its norm counts its grams
    assert len(together.starts) == len(batch)
    for index, text in enumerate(batch):
        alone = row(code.features.grams([text]), 0)
        assert row(together, index) == alone
        real = np.array(alone) != code.features.DEAD_BUCKET
        assert together.norms()[index] == pytest.approx(real.sum() ** 0.5)
        assert 0 <= np.min(alone) <= np.max(alone) <= code.features.DEAD_BUCKET


def test_buckets_are_used_evenly(code: SimpleNamespace) -> None:
    # GIVEN a long text of syllables drawn at random
    source = random.Random(5)
    text = "".join(chr(0xAC00 + source.randrange(11_172)) for _ in range(100_000))

    # WHEN their 2-grams are hashed
    buckets = code.features.grams([text]).buckets[:, 1]

    # THEN they collide no more than chance has it: n distinct into m buckets fill m (1 - exp(-n/m))
    distinct = len({text[index : index + 2] for index in range(len(text) - 1)})
    size = code.features.BUCKETS
    assert len(np.unique(buckets)) == pytest.approx(size * (1 - np.exp(-distinct / size)), rel=0.02)
