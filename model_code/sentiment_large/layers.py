"""What training and serving compute alike: windows over texts of different lengths, without padding them.

Values of all texts stand one after the other. For a convolution they are spread out with zeros between the
texts, so that no window sees two texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """The windows around each value of each text.

    Args:
        seen: ``float32[places, width * depth]``, a view; also of places between two texts.
        centres: ``int64[values]``, the place of the window around each value.
        width: Values in a window, odd.
    """

    seen: NDArray[np.float32]
    centres: NDArray[np.int64]
    width: int

    def gather(self, gradients: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add up, for each value, the gradients of its places in all windows that see it."""
        places, depth = len(self.seen), self.seen.shape[1] // self.width
        total = np.zeros((places + self.width - 1, depth), dtype=np.float32)
        for offset in range(self.width):
            total[offset : offset + places] += gradients[:, offset * depth : (offset + 1) * depth]
        return total[self.centres + self.width // 2]


def windows(values: NDArray[np.float32], lengths: NDArray[np.int64], width: int) -> Windows:
    """Return the windows of so many values around each value.

    Args:
        values: ``float32[values, depth]``.
        lengths: Values of each text.
        width: Odd.
    """
    margin = width // 2
    centres = np.arange(len(values)) + np.repeat(np.arange(len(lengths)) * margin, lengths)
    spread = np.zeros((len(values) + margin * (len(lengths) + 1), values.shape[1]), dtype=np.float32)
    spread[centres + margin] = values
    seen = np.lib.stride_tricks.sliding_window_view(spread.reshape(-1), width * values.shape[1])
    return Windows(seen[:: values.shape[1]], centres, width)


def maxima(values: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the largest value of each text, per column."""
    return np.maximum.reduceat(values, np.cumsum(lengths) - lengths, axis=0)


def sums(values: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the sum of each run of values, per column."""
    return np.add.reduceat(values, starts, axis=0)
