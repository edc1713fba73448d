"""Train the sentiment model, on a laptop or in a SageMaker training job.

    python train.py --train ratings_train.txt --test ratings_test.txt --model-dir out

The data are tab-separated files with a header line, ``id document label``, label 0 (negative) or 1
(positive): the format of the Naver Sentiment Movie Corpus (NSMC). The same data and hyperparameters give
the same bytes: the arithmetic is of the kind that IEEE 754 defines to the last bit, in a fixed order. The
shared folder must be importable (PYTHONPATH).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from classifier import Classifier
from features import BUCKETS, DEAD_BUCKET, GramBatch, grams
from numpy.typing import NDArray
from reviews import (
    BadData,
    Corpus,
    accuracy,
    add_channels,
    calibrated_sharpness,
    read_corpus,
    real_number,
    sigmoid,
    whole_number,
)

LARGEST_INT8 = 127
# weights beyond this quantile are cut off, so that a few outliers do not coarsen all others
CLIP_QUANTILE = 0.9995


@dataclass(frozen=True)
class Hyperparameters:
    """How to train; MODEL_CARD.md says how the defaults were chosen.

    Args:
        epochs: Passes over the data.
        batch_size: Texts per step.
        learning_rate: AdaGrad's.
        l2: Weight decay of the buckets that a step touches.
        holdout: Share of the data, 0 to 0.5 (both excluded), for validation and calibration; the final model
            is then trained on all of it.
        seed: Orders the data.
    """

    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 0.5
    l2: float = 1e-5
    holdout: float = 0.1
    seed: int = 20150501


@dataclass(frozen=True)
class Weights:
    """What was learned, still in full: a weight per bucket (the last for the dead one), and a bias."""

    buckets: NDArray[np.float64]
    bias: float


def fit(batch: GramBatch, labels: NDArray[np.float64], hyperparameters: Hyperparameters) -> Weights:
    """Fit a logistic regression by AdaGrad on mini-batches.

    Args:
        batch: The grams of the texts.
        labels: 1.0 or 0.0 for each text.
        hyperparameters: See there.
    """
    # RandomState's stream is frozen for good; a Generator's may change with numpy
    order_source = np.random.RandomState(hyperparameters.seed)
    weights, squares = np.zeros(BUCKETS + 1), np.full(BUCKETS + 1, 1e-6)
    squares[DEAD_BUCKET] = np.inf  # never moves
    bias, bias_squares = 0.0, 1e-6
    values = 1.0 / batch.norms()
    rate = hyperparameters.learning_rate
    for _ in range(hyperparameters.epochs):
        order = order_source.permutation(len(labels))
        for begin in range(0, len(order), hyperparameters.batch_size):
            rows = order[begin : begin + hyperparameters.batch_size]
            lengths = batch.lengths[rows]
            firsts = np.cumsum(lengths) - lengths
            positions = np.repeat(batch.starts[rows] - firsts, lengths) + np.arange(lengths.sum())
            buckets = batch.buckets[positions]
            scores = weights[buckets[:, 0]] + weights[buckets[:, 1]] + weights[buckets[:, 2]]
            slopes = sigmoid(np.add.reduceat(scores, firsts) * values[rows] + bias) - labels[rows]
            touched, inverse = np.unique(buckets.ravel(), return_inverse=True)
            per_gram = np.repeat(slopes * values[rows], 3 * lengths)
            gradient = np.bincount(inverse, per_gram) / len(rows) + hyperparameters.l2 * weights[touched]
            squares[touched] += gradient * gradient
            weights[touched] -= rate * gradient / np.sqrt(squares[touched])
            bias_gradient = math.fsum(slopes) / len(rows)
            bias_squares += bias_gradient * bias_gradient
            bias -= rate * bias_gradient / math.sqrt(bias_squares)
    return Weights(weights, bias)


def quantised(weights: Weights, sharpness: float = 1.0) -> Classifier:
    """Make the weights int8.

    Args:
        weights: What was learned.
        sharpness: Factor on the log-odds: the calibration.
    """
    magnitudes = np.sort(np.abs(weights.buckets[:BUCKETS]))
    step = float(magnitudes[int(CLIP_QUANTILE * (BUCKETS - 1))]) / LARGEST_INT8 or 1.0
    whole = np.clip(np.rint(weights.buckets / step), -LARGEST_INT8, LARGEST_INT8).astype(np.int8)
    return Classifier(whole, step * sharpness, weights.bias * sharpness)


def train(corpus: Corpus, hyperparameters: Hyperparameters) -> tuple[Classifier, float]:
    """Return the model, trained on all texts, and the accuracy of one that did not see the hold-out."""
    chosen = np.random.RandomState(hyperparameters.seed).permutation(len(corpus.texts))
    cut = max(1, int(len(chosen) * hyperparameters.holdout))
    batch = grams(corpus.texts)

    seen, held_out = chosen[cut:], chosen[:cut]
    part = GramBatch(batch.buckets, batch.starts[seen], batch.lengths[seen])
    trial = quantised(fit(part, corpus.labels[seen], hyperparameters))
    validation = Corpus([corpus.texts[index] for index in held_out], corpus.labels[held_out])
    sharpness = calibrated_sharpness(trial.log_odds(validation.texts), validation.labels)

    final = quantised(fit(batch, corpus.labels, hyperparameters), sharpness)
    return final, accuracy(trial, validation)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    defaults = Hyperparameters()
    chosen = Hyperparameters(**{name: getattr(options, name) for name in vars(defaults)})
    began = time.perf_counter()
    try:
        corpus = read_corpus(options.train, "ratings_train.txt")
        test = read_corpus(options.test, "ratings_test.txt") if options.test else None
        print(f"training on {len(corpus.texts):,} texts", flush=True)
        classifier, validation_accuracy = train(corpus, chosen)
        options.model_dir.mkdir(parents=True, exist_ok=True)
        path = classifier.save(options.model_dir)
    except (BadData, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    # names as in SageMaker's built-in algorithms, for MetricDefinitions
    print(f"validation:accuracy={validation_accuracy:.4f}")
    if test:
        print(f"test:accuracy={accuracy(classifier, test):.4f}")
    print(f"wrote {path} ({path.stat().st_size:,} bytes) in {time.perf_counter() - began:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train the sentiment model on NSMC (github.com/e9t/nsmc).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_channels(parser)
    defaults = Hyperparameters()
    parser.add_argument(
        "--epochs", type=whole_number(1, 100), default=defaults.epochs, help="passes over the data"
    )
    parser.add_argument(
        "--batch-size", type=whole_number(1, 65536), default=defaults.batch_size, help="texts per step"
    )
    parser.add_argument(
        "--learning-rate", type=real_number(0, 100), default=defaults.learning_rate, help="AdaGrad's"
    )
    parser.add_argument(
        "--l2", type=real_number(0, 1, low_allowed=True), default=defaults.l2, help="weight decay"
    )
    parser.add_argument(
        "--holdout", type=real_number(0, 0.5), default=defaults.holdout, help="share for calibration"
    )
    parser.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=defaults.seed, help="orders the data"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
