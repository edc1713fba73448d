"""The trained network in whole numbers: what a model server loads.

Each position's rows of the table are added up. One convolution looks at five positions at a time, another at
three words, each word the sum of its positions over the square root of their number. Of each filter only its
largest output in a text counts; a weighted sum of those, and of the text's mean position, is the log-odds.

All weights are int8 or int16 and every sum is exact: products stay below 2**24, where float32 holds every
whole number, so the matrix product may add them in any order. A text's score therefore depends neither on the
texts around it nor on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from features import COLUMNS, FEATURE_ID, ROWS, TextBatch, text_batch
from layers import maxima, sums, windows
from numpy.typing import NDArray
from polarity import chunks

MODEL_FILE = "model.npz"
LARGEST_INT8 = 127
#: Positions, or words, that a filter of each convolution sees.
WIDTHS = {"characters": 5, "words": 3}
_EXACT = 1 << 24


@dataclass(frozen=True)
class Convolution:
    """Filters over neighbouring values, and what each one's largest output in a text is worth.

    Args:
        weights: ``int8[width * depth, filters]``.
        bias: ``int64[filters]``, in units of the filters' outputs.
        worth: ``int16[filters]``.
        scale: Log-odds of one unit of the outputs times one of `worth`.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    worth: NDArray[np.int16]
    scale: float

    def log_odds(
        self, values: NDArray[np.float32], lengths: NDArray[np.int64], width: int
    ) -> NDArray[np.float64]:
        """Return what the filters find in each text: whole numbers in, `lengths` of them per text."""
        seen = windows(values, lengths, width)
        outputs = (seen.seen @ self.weights.astype(np.float32))[seen.centres]
        largest = np.maximum(maxima(outputs, lengths).astype(np.int64) + self.bias, 0)
        return (largest @ self.worth.astype(np.int64)) * self.scale

    def limit(self) -> int:
        """Return the largest value for which every sum is exact."""
        return (_EXACT - 1) // (LARGEST_INT8 * len(self.weights))


@dataclass(frozen=True)
class Network:
    """The whole model; see the module.

    Args:
        table: ``int8[ROWS + 1, depth]``; the last row is 0.
        convolutions: One for each of `WIDTHS`.
        means: ``int16[depth]``, what the mean position is worth.
        means_scale: Log-odds of one unit of the positions times one of `means`.
        bias: Log-odds of "positive" before anything is seen.
    """

    table: NDArray[np.int8]
    convolutions: dict[str, Convolution]
    means: NDArray[np.int16]
    means_scale: float
    bias: float

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-odds of "positive" for each text.

        Args:
            texts: Any number; not one of them empty or white space only.

        Raises:
            UnicodeEncodeError: A text holds half of a surrogate pair.
        """
        parts = [self._log_odds(text_batch(chunk)) for chunk in chunks(texts)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _log_odds(self, batch: TextBatch) -> NDArray[np.float64]:
        positions = self.table[batch.rows[:, 0]].astype(np.int16)
        for column in range(1, COLUMNS):
            positions += self.table[batch.rows[:, column]]
        values = positions.astype(np.float32)
        limit = self.convolutions["words"].limit()
        words = sums(values, batch.word_starts) / np.sqrt(batch.word_lengths.astype(np.float64))[:, None]
        words = np.clip(np.rint(words), -limit, limit).astype(np.float32)
        totals = sums(values, batch.starts).astype(np.int64) @ self.means.astype(np.int64)
        return (
            self.convolutions["characters"].log_odds(values, batch.lengths, WIDTHS["characters"])
            + self.convolutions["words"].log_odds(words, batch.words, WIDTHS["words"])
            + totals / np.sqrt(batch.lengths.astype(np.float64)) * self.means_scale
            + self.bias
        )

    def save(self, folder: Path) -> Path:
        """Write the model file into a folder, the same bytes for the same network, and return its path."""
        path = folder / MODEL_FILE
        arrays: dict[str, Any] = {"table": self.table[:ROWS], "means": self.means, "features": FEATURE_ID}
        arrays["scalars"] = np.array([self.means_scale, self.bias])
        for name, convolution in self.convolutions.items():
            arrays |= {f"{name}.{part}": value for part, value in vars(convolution).items()}
        # uncompressed: zlib's output differs between its builds, and the archive is compressed anyway
        np.savez(path, **arrays)
        return path

    @classmethod
    def load(cls, folder: Path) -> Network:
        """Read the model file of a folder.

        Raises:
            FileNotFoundError: The folder holds no model file.
            ValueError: The file was trained for other features, or is damaged.
        """
        path = folder / MODEL_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: train.py writes it; pack it at the root of model.tar.gz"
            )
        with np.load(path, allow_pickle=False) as stored:
            trained_for = str(stored["features"])
            if trained_for != FEATURE_ID:
                raise ValueError(f"{path} was trained for features {trained_for}, this code has {FEATURE_ID}")
            table, means = stored["table"], stored["means"]
            if table.ndim != 2 or len(table) != ROWS or table.dtype != np.int8:
                raise ValueError(f"{path}: the table is {table.dtype}{table.shape}, not int8({ROWS}, depth)")
            convolutions = {name: _convolution(stored, name) for name in WIDTHS}
            means_scale, bias = (float(scalar) for scalar in stored["scalars"])
        for name, convolution in convolutions.items():
            if len(convolution.weights) != WIDTHS[name] * table.shape[1]:
                raise ValueError(
                    f"{path}: the filters over {name} see {len(convolution.weights)} numbers, "
                    f"not {WIDTHS[name]} times {table.shape[1]}"
                )
        dead = np.zeros((1, table.shape[1]), dtype=np.int8)
        return cls(np.concatenate([table, dead]), convolutions, means, means_scale, bias)


def _convolution(stored: Any, name: str) -> Convolution:
    return Convolution(
        stored[f"{name}.weights"],
        stored[f"{name}.bias"],
        stored[f"{name}.worth"],
        float(stored[f"{name}.scale"]),
    )
