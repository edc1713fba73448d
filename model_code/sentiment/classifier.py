"""The trained classifier: int8 weights per bucket, a scale and a bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from features import BUCKETS, FEATURE_ID, GramBatch, grams
from numpy.typing import NDArray
from polarity import chunks, probabilities

MODEL_FILE = "model.npz"


@dataclass(frozen=True)
class Classifier:
    """A logistic regression over hashed character n-grams.

    Args:
        weights: ``int8[BUCKETS + 1]``; the last one belongs to the dead bucket and is 0.
        scale: What one step of a weight is worth in log-odds, calibration included.
        bias: Log-odds of "positive" for a text without any known gram, calibration included.
    """

    weights: NDArray[np.int8]
    scale: float
    bias: float

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-odds of "positive" for each text.

        Args:
            texts: Any number; not one of them empty or white space only.

        Raises:
            UnicodeEncodeError: A text holds half of a surrogate pair.
        """
        parts = [self._log_odds(grams(chunk)) for chunk in chunks(texts)]
        return np.concatenate(parts) if parts else np.empty(0)

    def positive_probability(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of "positive" for each text; see `log_odds`."""
        return probabilities(self.log_odds(texts))

    def _log_odds(self, batch: GramBatch) -> NDArray[np.float64]:
        # whole numbers until here: a text's score does not depend on the texts around it
        per_position = self.weights.take(batch.buckets).sum(axis=1, dtype=np.int32)
        sums = np.add.reduceat(per_position, batch.starts)
        return sums * self.scale / batch.norms() + self.bias

    def save(self, folder: Path) -> Path:
        """Write the model file into a folder, the same bytes for the same classifier, and return its path."""
        path = folder / MODEL_FILE
        # uncompressed: zlib's output differs between its builds, and the archive is compressed anyway
        np.savez(path, weights=self.weights[:BUCKETS], scale=self.scale, bias=self.bias, features=FEATURE_ID)
        return path

    @classmethod
    def load(cls, folder: Path) -> Classifier:
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
            weights = stored["weights"]
            if weights.shape != (BUCKETS,) or weights.dtype != np.int8:
                raise ValueError(f"{path}: weights are {weights.dtype}{weights.shape}, not int8({BUCKETS},)")
            return cls(np.append(weights, np.int8(0)), float(stored["scale"]), float(stored["bias"]))
