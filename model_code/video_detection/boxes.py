"""Boxes as arrays ``[left, top, right, bottom]``: how much they overlap, and who belongs to whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""``[n, 4]``, or one box as ``[4]``: left, top, right, bottom in pixels."""


def box_array(boxes: Sequence[Boxes]) -> Boxes:
    """Single boxes as ``[n, 4]``, also when there are none."""
    return np.array(boxes, np.float64).reshape(-1, 4)


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """Area of each box; 0 for one turned inside out."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def intersections(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Area that each of the first boxes shares with each of the second: ``[n, m]``."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def unions(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Area that at least one of two boxes covers, for each pair: ``[n, m]``."""
    return areas(first)[:, None] + areas(second)[None, :] - intersections(first, second)


def iou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Intersection over union of each pair, 0 to 1: ``[n, m]``."""
    return intersections(first, second) / np.maximum(unions(first, second), 1e-9)


def giou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Generalised intersection over union of each pair: ``[n, m]``, from 1 down to -1.

    Boxes that do not touch get less the farther they are apart, where `iou` is 0 for all of them.
    """
    low = np.minimum(first[:, None, :2], second[None, :, :2])
    high = np.maximum(first[:, None, 2:], second[None, :, 2:])
    hull = np.maximum((high - low).prod(axis=-1), 1e-9)
    return iou(first, second) - (hull - unions(first, second)) / hull


def covered(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Share of each of the first boxes that lies in each of the second, 0 to 1: ``[n, m]``."""
    return intersections(first, second) / np.maximum(areas(first)[:, None], 1e-9)


def hull(boxes: Boxes) -> Boxes:
    """The smallest box around all of ``[n, 4]``."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def assign(gain: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of gains is largest, each in one pair at most.

    This is the Hungarian method: each row in turn is brought in along the cheapest path of re-assignments,
    with prices on rows and columns that keep all reduced costs at 0 or above.

    Args:
        gain: ``[n, m]``.
        least: Pairs with a smaller gain are not made.

    Returns:
        Pairs of row and column, by row.
    """
    if 0 in gain.shape:
        return []
    turned = gain.shape[0] > gain.shape[1]
    # a pair that is not wanted costs as much as none at all
    cost = least - np.maximum(gain.T if turned else gain, least)
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    row_of = np.full(columns, -1)
    for new_row in range(rows):
        distance, came_from = np.full(columns, np.inf), np.full(columns, -1)
        done = np.zeros(columns, bool)
        row, column, so_far = new_row, -1, 0.0
        visited_rows = [(new_row, 0.0)]
        while True:
            reach = so_far + cost[row] - row_price[row] - column_price
            better = ~done & (reach < distance)
            distance[better], came_from[better] = reach[better], column
            column = int(np.argmin(np.where(done, np.inf, distance)))
            so_far, done[column] = float(distance[column]), True
            if row_of[column] < 0:
                break
            row = int(row_of[column])
            visited_rows.append((row, so_far))
        for visited, when in visited_rows:
            row_price[visited] += so_far - when
        column_price[done] -= so_far - distance[done]
        while column >= 0:  # hand the columns of the path on, the last one to the free column
            before = int(came_from[column])
            row_of[column] = new_row if before < 0 else row_of[before]
            column = before
    pairs = [(int(row), column) for column, row in enumerate(row_of) if row >= 0]
    if turned:
        pairs = [(column, row) for row, column in pairs]
    return sorted((row, column) for row, column in pairs if gain[row, column] >= least)
