"""Boxes: overlaps, and the best assignment of boxes to boxes."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

MODEL = "video_detection"

gains = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays.arrays(float, shape, elements=st.integers(-10, 10).map(lambda value: value / 10))
)
box = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def best_sum(gain: np.ndarray, least: float) -> float:
    """What the best pairs are worth above the least, by trying all of them."""
    worth = np.maximum(gain - least, 0)
    if gain.shape[0] > gain.shape[1]:
        worth = worth.T
    rows, columns = worth.shape
    return max(
        sum(worth[row, chosen[row]] for row in range(rows)) for chosen in permutations(range(columns), rows)
    )


@settings(deadline=None)
@given(gain=gains, least=st.sampled_from([-0.5, 0.0, 0.3]))
def test_no_other_assignment_is_better(code: SimpleNamespace, gain: np.ndarray, least: float) -> None:
    # GIVEN what each pair would be worth WHEN pairs are made
    pairs = code.boxes.assign(gain, least)

    # THEN each is in one pair at most, no pair is below the least, and no choice of pairs is worth more
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(gain[pair] >= least for pair in pairs)
    assert sum(gain[pair] - least for pair in pairs) == pytest.approx(best_sum(gain, least))


def test_nothing_is_assigned_to_nothing(code: SimpleNamespace) -> None:
    assert code.boxes.assign(np.zeros((0, 3)), 0.0) == []
    assert code.boxes.assign(np.zeros((3, 0)), 0.0) == []


@given(first=st.lists(box, min_size=1, max_size=4), second=st.lists(box, min_size=1, max_size=4))
def test_overlaps_are_shares(code: SimpleNamespace, first: list[list[int]], second: list[list[int]]) -> None:
    # GIVEN boxes WHEN they are compared
    one, two = np.array(first, float), np.array(second, float)
    iou, giou, covered = code.boxes.iou(one, two), code.boxes.giou(one, two), code.boxes.covered(one, two)

    # THEN it does not matter which comes first, and a box is all of itself
    assert np.allclose(iou, code.boxes.iou(two, one).T)
    assert np.allclose(np.diag(code.boxes.iou(one, one)), 1)
    # AND they are in range, the generalised one never above the plain one
    assert (iou >= 0).all()
    assert (iou <= 1 + 1e-9).all()
    assert (giou <= iou + 1e-9).all()
    assert (giou >= -1).all()
    assert (iou <= covered + 1e-9).all()


def test_overlap_of_a_known_pair(code: SimpleNamespace) -> None:
    # GIVEN two boxes of 10 x 10 that share a quarter
    first, second = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15]])

    # THEN 25 of 175 pixels are shared, and 50 of the hull's 225 belong to neither
    assert code.boxes.iou(first, second)[0, 0] == pytest.approx(25 / 175)
    assert code.boxes.giou(first, second)[0, 0] == pytest.approx(25 / 175 - 50 / 225)
    assert code.boxes.covered(first, second)[0, 0] == pytest.approx(0.25)
