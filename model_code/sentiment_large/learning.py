"""The network while it learns: float32, dropout, gradients and Adam, with numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from features import COLUMNS, DEAD_ROW, ROWS, TextBatch
from layers import Windows, maxima, sums, windows
from network import WIDTHS
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
#: Decay of Adam's mean gradient, of its mean square, and of the latter for the table, whose rows are rare.
_MOMENTUM, _SQUARES, _TABLE_SQUARES = 0.9, 0.999, 0.99


@dataclass(frozen=True)
class Hyperparameters:
    """How to train; MODEL_CARD.md says how the defaults were chosen.

    Args:
        depth: Numbers per row of the table.
        filters: Filters of each convolution.
        epochs: Passes over the data.
        batch_size: Texts per step.
        learning_rate: Adam's, for the filters; falls to nearly 0 in a straight line.
        table_rate: Adam's, for the rows of the table.
        row_dropout: Share of a position's rows that a step leaves out.
        value_dropout: Share of a position's numbers that a step leaves out.
        filter_dropout: Share of the filters that a step leaves out.
        holdout: Share of the data, 0 to 0.5 (both excluded), for validation and calibration; the final model
            is then trained on all of it.
        seed: Starts the network and orders the data.
    """

    depth: int = 32
    filters: int = 192
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    table_rate: float = 3e-3
    row_dropout: float = 0.3
    value_dropout: float = 0.2
    filter_dropout: float = 0.5
    holdout: float = 0.1
    seed: int = 20150501


@dataclass
class Parameters:
    """What is learned.

    Args:
        table: ``float32[ROWS + 1, depth]``; the last row stays 0.
        dense: The other arrays: ``means``, ``bias``, and for each convolution ``<name>.weights``,
            ``<name>.bias`` and ``<name>.worth``.
    """

    table: Floats
    dense: dict[str, Floats]


@dataclass(frozen=True)
class _Pool:
    """One convolution's forward pass, kept for the gradients."""

    seen: Windows
    lengths: NDArray[np.int64]
    outputs: Floats
    largest: Floats
    kept: Floats


@dataclass(frozen=True)
class _Pass:
    """A forward pass, kept for the gradients."""

    batch: TextBatch
    rows: NDArray[np.int32]
    kept: Floats
    mean: Floats
    pools: dict[str, _Pool]
    log_odds: Floats


def started(hyperparameters: Hyperparameters, source: np.random.Generator) -> Parameters:
    """Return parameters to begin with."""
    depth, filters = hyperparameters.depth, hyperparameters.filters

    def normal(spread: float, *shape: int) -> Floats:
        return source.standard_normal(shape, dtype=np.float32) * np.float32(spread)

    table = np.concatenate([normal(0.1, ROWS, depth), np.zeros((1, depth), dtype=np.float32)])
    dense = {"means": normal(0.05, depth), "bias": np.zeros(1, dtype=np.float32)}
    for name, width in WIDTHS.items():
        dense[f"{name}.weights"] = normal((2 / (width * depth)) ** 0.5, width * depth, filters)
        dense[f"{name}.bias"] = np.zeros(filters, dtype=np.float32)
        dense[f"{name}.worth"] = normal(0.05, filters)
    return Parameters(table, dense)


def fit(
    batch: TextBatch,
    labels: NDArray[np.float64],
    hyperparameters: Hyperparameters,
    after_epoch: Callable[[int, float], None] | None = None,
) -> Parameters:
    """Train a network.

    Args:
        batch: The positions of the texts.
        labels: 1.0 or 0.0 for each text.
        hyperparameters: See there.
        after_epoch: Is told the number of the epoch, from 1, and its mean loss.
    """
    source = np.random.default_rng(hyperparameters.seed)
    parameters = started(hyperparameters, source)
    learner = _Learner(parameters, hyperparameters, source)
    size = hyperparameters.batch_size
    learner.steps = hyperparameters.epochs * -(-len(labels) // size)
    for epoch in range(1, hyperparameters.epochs + 1):
        order = source.permutation(len(labels))
        losses = [
            learner.step(batch.take(rows), labels[rows])
            for rows in (order[begin : begin + size] for begin in range(0, len(order), size))
        ]
        if after_epoch:
            after_epoch(epoch, float(np.mean(losses)))
    return parameters


class _Learner:
    """Takes one step after the other."""

    def __init__(
        self, parameters: Parameters, hyperparameters: Hyperparameters, source: np.random.Generator
    ) -> None:
        self.parameters, self.hyperparameters, self.source = parameters, hyperparameters, source
        self.steps, self.done = 1, 0
        self.moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in parameters.dense.items()}
        self.table_moments = np.zeros_like(parameters.table), np.zeros_like(parameters.table)

    def step(self, batch: TextBatch, labels: NDArray[np.float64]) -> float:
        """Change the parameters by one step and return the loss before it."""
        self.done += 1
        slope = max(0.02, 1 - self.done / self.steps)
        forward = self._forward(batch)
        probabilities = 1 / (1 + np.exp(-np.clip(forward.log_odds, -30, 30)))
        gradients, positions = self._backward(forward, ((probabilities - labels) / len(labels)))
        for name, gradient in gradients.items():
            self._adam(name, gradient, slope)
        self._adam_of_table(forward.rows, positions, slope)
        return float(np.mean(np.logaddexp(0, np.where(labels == 1, -1, 1) * forward.log_odds)))

    def _keep(self, shape: tuple[int, ...], dropout: float) -> Floats:
        """Return factors that leave out a share of the numbers and keep their expected sum."""
        kept = self.source.random(shape, dtype=np.float32) >= dropout
        return kept.astype(np.float32) / np.float32(1 - dropout)

    def _forward(self, batch: TextBatch) -> _Pass:
        chosen, dense = self.hyperparameters, self.parameters.dense
        left_out = self.source.random(batch.rows.shape, dtype=np.float32) < chosen.row_dropout
        rows = np.where(left_out, np.int32(DEAD_ROW), batch.rows)
        values = self.parameters.table[rows[:, 0]]
        for column in range(1, COLUMNS):
            values += self.parameters.table[rows[:, column]]
        kept = self._keep(values.shape, chosen.value_dropout)
        values *= kept
        words = sums(values, batch.word_starts) / _roots(batch.word_lengths)
        mean = sums(values, batch.starts) / _roots(batch.lengths)
        pools = {
            "characters": self._pool("characters", values, batch.lengths),
            "words": self._pool("words", words, batch.words),
        }
        log_odds = mean @ dense["means"] + dense["bias"][0]
        for name, pool in pools.items():
            log_odds += (pool.largest * pool.kept) @ dense[f"{name}.worth"]
        return _Pass(batch, rows, kept, mean, pools, log_odds)

    def _pool(self, name: str, values: Floats, lengths: NDArray[np.int64]) -> _Pool:
        dense = self.parameters.dense
        seen = windows(values, lengths, WIDTHS[name])
        outputs = (seen.seen @ dense[f"{name}.weights"])[seen.centres]
        outputs += dense[f"{name}.bias"]
        np.maximum(outputs, 0, out=outputs)
        largest = maxima(outputs, lengths)
        return _Pool(
            seen, lengths, outputs, largest, self._keep(largest.shape, self.hyperparameters.filter_dropout)
        )

    def _backward(self, forward: _Pass, errors: NDArray[np.float64]) -> tuple[dict[str, Floats], Floats]:
        """Return the gradients of the dense parameters, and of the positions."""
        batch, dense, slopes = forward.batch, self.parameters.dense, errors.astype(np.float32)
        gradients = {"means": forward.mean.T @ slopes, "bias": slopes.sum(keepdims=True)}
        of = {
            name: self._backward_pool(name, pool, slopes, gradients) for name, pool in forward.pools.items()
        }
        positions = of["characters"]
        positions += np.repeat(of["words"] / _roots(batch.word_lengths), batch.word_lengths, axis=0)
        positions += np.repeat(
            (slopes[:, None] / _roots(batch.lengths)) * dense["means"], batch.lengths, axis=0
        )
        positions *= forward.kept
        return gradients, positions

    def _backward_pool(self, name: str, pool: _Pool, slopes: Floats, gradients: dict[str, Floats]) -> Floats:
        """Add the gradients of a convolution, and return those of what it sees."""
        dense = self.parameters.dense
        gradients[f"{name}.worth"] = (pool.largest * pool.kept).T @ slopes
        per_text = np.outer(slopes, dense[f"{name}.worth"]) * pool.kept
        # only the largest output counts, and only if it is above 0
        counts = (pool.outputs == np.repeat(pool.largest, pool.lengths, axis=0)) & (pool.outputs > 0)
        per_value = np.repeat(per_text, pool.lengths, axis=0) * counts
        gradients[f"{name}.bias"] = per_value.sum(axis=0)
        places = np.zeros((len(pool.seen.seen), per_value.shape[1]), dtype=np.float32)
        places[pool.seen.centres] = per_value
        gradients[f"{name}.weights"] = pool.seen.seen.T @ places
        return pool.seen.gather(places @ dense[f"{name}.weights"].T)

    def _adam(self, name: str, gradient: Floats, slope: float) -> None:
        mean, square = self.moments[name]
        mean += np.float32(1 - _MOMENTUM) * (gradient - mean)
        square += np.float32(1 - _SQUARES) * (gradient * gradient - square)
        corrected = np.sqrt(square / np.float32(1 - _SQUARES**self.done)) + np.float32(1e-8)
        rate = np.float32(self.hyperparameters.learning_rate * slope / (1 - _MOMENTUM**self.done))
        self.parameters.dense[name] -= rate * mean / corrected

    def _adam_of_table(self, rows: NDArray[np.int32], positions: Floats, slope: float) -> None:
        """Change the rows that the step touched; the moments of all others stand still."""
        flat = rows.ravel()
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        firsts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        touched = ordered[firsts]
        gradient = sums(positions[order // COLUMNS], firsts)
        if touched[-1] == DEAD_ROW:
            touched, gradient = touched[:-1], gradient[:-1]
        mean, square = self.table_moments
        mean[touched] += np.float32(1 - _MOMENTUM) * (gradient - mean[touched])
        square[touched] += np.float32(1 - _TABLE_SQUARES) * (gradient * gradient - square[touched])
        rate = np.float32(self.hyperparameters.table_rate * slope)
        self.parameters.table[touched] -= rate * mean[touched] / (np.sqrt(square[touched]) + np.float32(1e-8))


def _roots(lengths: NDArray[np.int64]) -> Floats:
    return np.sqrt(lengths.astype(np.float32))[:, None]
