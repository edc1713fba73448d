"""Labelled reviews to train on, in the format of the Naver Sentiment Movie Corpus (NSMC), and calibration.

The data are tab-separated files with a header line, ``id document label``, label 0 (negative) or 1
(positive).
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from polarity import PolarityModel


class BadData(ValueError):
    """The data cannot be trained on; the message says where and why."""


@dataclass(frozen=True)
class Corpus:
    """Labelled texts: ``labels`` is 1.0 for positive and 0.0 for negative."""

    texts: list[str]
    labels: NDArray[np.float64]


def read_corpus(path: Path, preferred: str) -> Corpus:
    """Read a file, or a SageMaker channel directory.

    Args:
        path: A file or a directory.
        preferred: The file to take from a directory; without it, all its ``*.txt`` and ``*.tsv`` files.

    Raises:
        BadData: No data, a malformed line, or only one label.
    """
    texts: list[str] = []
    labels: list[float] = []
    problems: list[str] = []
    for file in _files(path, preferred):
        try:
            # split at line feeds only: reviews hold other characters that Unicode calls line ends
            lines = file.read_bytes().decode("utf-8-sig").removesuffix("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{file}: {error}")
            continue
        for number, line in enumerate(lines[1:], 2):
            fields = line.removesuffix("\r").split("\t")
            if len(fields) != 3 or fields[2] not in {"0", "1"}:
                problems.append(f"{file}:{number}: expected id, document and label (0 or 1), tab-separated")
            elif fields[1].strip():  # NSMC has a few empty documents
                texts.append(fields[1])
                labels.append(float(fields[2]))
    if problems:
        more = [f"... and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise BadData("\n".join([*problems[:10], *more]))
    if len(set(labels)) != 2 or len(labels) < 20:
        raise BadData(
            f"{path}: {len(labels)} texts with labels {sorted(set(labels))}: need 20 texts and both labels"
        )
    return Corpus(texts, np.array(labels))


def _files(path: Path, preferred: str) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / preferred).is_file():
        return [path / preferred]
    files = sorted([*path.glob("*.txt"), *path.glob("*.tsv")])
    if not files:
        raise BadData(f"{path}: no such file, or a directory without *.txt and *.tsv files")
    return files


def accuracy(model: PolarityModel, corpus: Corpus) -> float:
    """Return the share of texts whose label is predicted."""
    return float(np.mean((model.log_odds(corpus.texts) >= 0) == (corpus.labels == 1)))


def sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-z)) to about four digits, from basic arithmetic.

    ``numpy.exp`` rounds differently on different processors; these operations do not.
    """
    step = np.clip(z, -8.0, 8.0) / 1024.0
    power = (2.0 + step) / (2.0 - step)  # exp(step), nearly
    for _ in range(10):
        power = power * power
    return power / (1.0 + power)


def calibrated_sharpness(log_odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Return the factor on the log-odds under which the probabilities of held-out texts are likeliest."""
    # the slope of the likelihood falls with the factor: halve the interval that holds its zero
    low, high = 1 / 16, 16.0
    for _ in range(20):
        middle = (low + high) / 2
        slope = math.fsum((labels - sigmoid(middle * log_odds)) * log_odds)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2


def add_channels(parser: argparse.ArgumentParser) -> None:
    """Add ``--train``, ``--test`` and ``--model-dir``; SageMaker's variables are their defaults."""
    for name, variable, text in [
        (
            "--train",
            "SM_CHANNEL_TRAIN",
            "training data: a file, or a directory with ratings_train.txt or *.txt, *.tsv",
        ),
        ("--test", "SM_CHANNEL_TEST", "test data, likewise; only to print the accuracy"),
        ("--model-dir", "SM_MODEL_DIR", "where to write model.npz"),
    ]:
        found = os.environ.get(variable)
        needed = name != "--test" and not found
        parser.add_argument(name, type=Path, default=found, required=needed, help=f"{text}; or ${variable}")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of command-line arguments from `low` to `high`, both included."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def real_number(low: float, high: float, *, low_allowed: bool = False) -> Callable[[str], float]:
    """Return a parser of command-line arguments between `low` and `high`, both excluded unless allowed."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value < high or (low_allowed and value == low)):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse
