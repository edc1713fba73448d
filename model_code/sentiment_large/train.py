"""Train the large sentiment model, on a laptop or in a SageMaker training job.

    python train.py --train ratings_train.txt --test ratings_test.txt --model-dir out

The data are tab-separated files with a header line, ``id document label``, label 0 (negative) or 1
(positive): the format of the Naver Sentiment Movie Corpus (NSMC). The shared folder must be importable
(PYTHONPATH). The same data and hyperparameters give the same bytes on the same machine with the same numpy
and the same number of BLAS threads; elsewhere the last bits differ, and with them a few answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from features import text_batch
from learning import Floats, Hyperparameters, Parameters, fit
from network import LARGEST_INT8, WIDTHS, Convolution, Network
from numpy.typing import NDArray
from reviews import (
    BadData,
    Corpus,
    accuracy,
    add_channels,
    calibrated_sharpness,
    read_corpus,
    real_number,
    whole_number,
)

_LARGEST_INT16 = 32_767
# weights beyond this quantile are cut off, so that a few outliers do not coarsen all others
_CLIP_QUANTILE = 0.9995


def quantised(parameters: Parameters, sharpness: float = 1.0) -> Network:
    """Make the parameters whole numbers.

    Args:
        parameters: What was learned.
        sharpness: Factor on the log-odds: the calibration.
    """
    dense = parameters.dense
    table, step = _whole(parameters.table, LARGEST_INT8, _CLIP_QUANTILE)
    means, means_step = _whole(dense["means"], _LARGEST_INT16)
    convolutions = {}
    for name in WIDTHS:
        weights, weights_step = _whole(dense[f"{name}.weights"], LARGEST_INT8, _CLIP_QUANTILE)
        worth, worth_step = _whole(dense[f"{name}.worth"], _LARGEST_INT16)
        unit = step * weights_step
        convolutions[name] = Convolution(
            weights.astype(np.int8),
            np.rint(dense[f"{name}.bias"] / unit).astype(np.int64),
            worth.astype(np.int16),
            unit * worth_step * sharpness,
        )
    return Network(
        table.astype(np.int8),
        convolutions,
        means.astype(np.int16),
        step * means_step * sharpness,
        float(dense["bias"][0]) * sharpness,
    )


def _whole(values: Floats, largest: int, quantile: float = 1.0) -> tuple[NDArray[np.float64], float]:
    """Return values as whole numbers up to `largest`, and what one step is worth."""
    step = float(np.quantile(np.abs(values), quantile)) / largest or 1.0
    return np.clip(np.rint(values / step), -largest, largest).astype(np.float64), step


def train(corpus: Corpus, hyperparameters: Hyperparameters) -> Network:
    """Return the model, trained on all texts; print the accuracy of one that did not see the hold-out."""
    chosen = np.random.default_rng(hyperparameters.seed).permutation(len(corpus.texts))
    cut = max(1, int(len(chosen) * hyperparameters.holdout))
    batch = text_batch(corpus.texts)

    seen, held_out = np.sort(chosen[cut:]), np.sort(chosen[:cut])
    trial = quantised(fit(batch.take(seen), corpus.labels[seen], hyperparameters, _tell("trial")))
    validation = Corpus([corpus.texts[index] for index in held_out], corpus.labels[held_out])
    sharpness = calibrated_sharpness(trial.log_odds(validation.texts), validation.labels)
    # names as in SageMaker's built-in algorithms, for MetricDefinitions
    print(f"validation:accuracy={accuracy(trial, validation):.4f}", flush=True)

    return quantised(fit(batch, corpus.labels, hyperparameters, _tell("all")), sharpness)


def _tell(which: str) -> Callable[[int, float], None]:
    def tell(epoch: int, loss: float) -> None:
        print(f"{which}: epoch {epoch}, train:loss={loss:.4f}", flush=True)

    return tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    chosen = Hyperparameters(**{name: getattr(options, name) for name in vars(Hyperparameters())})
    began = time.perf_counter()
    try:
        corpus = read_corpus(options.train, "ratings_train.txt")
        test = read_corpus(options.test, "ratings_test.txt") if options.test else None
        print(f"training on {len(corpus.texts):,} texts", flush=True)
        network = train(corpus, chosen)
        options.model_dir.mkdir(parents=True, exist_ok=True)
        path = network.save(options.model_dir)
    except (BadData, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    if test:
        print(f"test:accuracy={accuracy(network, test):.4f}")
    print(f"wrote {path} ({path.stat().st_size:,} bytes) in {time.perf_counter() - began:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train the large sentiment model on NSMC (github.com/e9t/nsmc).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_channels(parser)
    share = real_number(0, 1, low_allowed=True)
    for name, parse, text in [
        ("depth", whole_number(1, 64), "numbers per row of the table"),
        ("filters", whole_number(1, 4096), "filters of each convolution"),
        ("epochs", whole_number(1, 100), "passes over the data"),
        ("batch_size", whole_number(1, 65536), "texts per step"),
        ("learning_rate", real_number(0, 1), "Adam's, for the filters"),
        ("table_rate", real_number(0, 1), "Adam's, for the table"),
        ("row_dropout", share, "share of rows left out"),
        ("value_dropout", share, "share of a position's numbers left out"),
        ("filter_dropout", share, "share of filters left out"),
        ("holdout", real_number(0, 0.5), "share for validation and calibration"),
        ("seed", whole_number(0, 2**32 - 1), "starts the network and orders the data"),
    ]:
        default = getattr(Hyperparameters(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=parse, default=default, help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
