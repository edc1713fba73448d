"""The similarity of two sentences, 0 to 5: what is compared, weighed and brought to the scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import compare, likeness_of_letters
from hangul import jamo, normalise
from meaning import respaced, tokens, units
from numpy.typing import NDArray
from thesaurus import Thesaurus

MODEL_FILE = "model.npz"
HIGHEST = 5.0
#: Names the rules that the model file was made for; change it with the stems, lest the two drift apart.
RULES_ID = "stems-1"
#: Agreement at which the scale has a height of its own; between them it is straight.
KNOTS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_LETTERS_SHARE, _CONTRADICTION_COST, _QUESTION_COST = 0.1, 0.6, 0.15
_STEPS = 255


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of sentences.

    Args:
        weights: Stem -> how much it says, 0 to 1; a stem that is not there says 1.
        heights: The score at each of `KNOTS`, from 0 to 5, never falling.
        thesaurus: Synonyms and opposites.
    """

    weights: Mapping[str, float]
    heights: Sequence[float]
    thesaurus: Thesaurus

    def score(self, one: str, other: str) -> float:
        """Return the similarity of two sentences: 5 for the same one, 0 for nothing in common; symmetric."""
        return float(np.interp(self.agreement(one, other), KNOTS, self.heights))

    def agreement(self, one: str, other: str) -> float:
        """Return how far two sentences agree, 0 to 1, before it is brought to the scale."""
        one, other = sorted((normalise(one), normalise(other)))  # the order of the two must not matter
        if one == other:
            return 1.0
        words_one, words_other = tokens(one), tokens(other)
        left = units(respaced(words_one, words_other), self._weight, self.thesaurus)
        right = units(respaced(words_other, words_one), self._weight, self.thesaurus)
        if not left or not right:  # only signs and symbols
            return likeness_of_letters(jamo(one), jamo(other))
        found = compare(left, right)
        likeness = (1 - _LETTERS_SHARE) * found.overlap + _LETTERS_SHARE * found.letters
        question = one.endswith("?") != other.endswith("?")  # one asks what the other says
        costs = (1 - _CONTRADICTION_COST * found.contradiction) * (1 - _QUESTION_COST * question)
        return min(1.0, likeness * costs)

    def _weight(self, stem: str) -> float:
        return self.weights.get(stem, 1.0)

    def save(self, folder: Path) -> Path:
        """Write the model file into a folder, the same bytes for the same scorer, and return its path."""
        path = folder / MODEL_FILE
        stems = "\n".join(self.weights).encode()
        np.savez(
            path,
            stems=np.frombuffer(stems, dtype=np.uint8),
            weights=np.rint(np.array(list(self.weights.values())) * _STEPS).astype(np.uint8),
            heights=np.array(self.heights, dtype=np.float64),
            rules=RULES_ID,
        )
        return path

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        """Read the model file and the thesaurus of a folder.

        Raises:
            FileNotFoundError: One of them is missing.
            ValueError: The model file was made for other rules, or is damaged.
        """
        path = folder / MODEL_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: train.py writes it; pack it at the root of model.tar.gz"
            )
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["rules"]) != RULES_ID:
                raise ValueError(f"{path} was made for rules {stored['rules']}, this code has {RULES_ID}")
            stems = stored["stems"].tobytes().decode().split("\n")
            weights, heights = stored["weights"], stored["heights"]
        if len(stems) != len(weights) or not _is_scale(heights):
            raise ValueError(f"{path}: {len(stems)} stems, {len(weights)} weights, scale {heights.tolist()}")
        return cls(
            dict(zip(stems, (weights / _STEPS).tolist(), strict=True)),
            heights.tolist(),
            Thesaurus.load(folder),
        )


def in_steps(weight: float) -> float:
    """Return the nearest weight that the model file can hold."""
    return round(weight * _STEPS) / _STEPS


def _is_scale(heights: NDArray[np.float64]) -> bool:
    """Tell whether heights rise from 0 to 5."""
    return (
        heights.shape == (len(KNOTS),)
        and bool(np.all(np.diff(heights) >= 0))
        and (heights[0], heights[-1]) == (0.0, HIGHEST)
    )
