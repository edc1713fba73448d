"""The confusion matrix as a picture. Needs matplotlib, which the rest of the client does not."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen
import matplotlib.pyplot as plt
import numpy as np

from client.batch.accuracy import Confusion
from client.errors import UserError

_DARK = 0.55


def draw_confusion(confusion: Confusion, target: Path, title: str) -> None:
    """Write a PNG: rows are the known labels, columns the model's, colours the share of the known label.

    Args:
        confusion: What to draw.
        target: Where to.
        title: One line above it.

    Raises:
        UserError: It cannot be written.
    """
    labels = confusion.labels
    counts = np.array([[confusion.counts[known, said] for said in labels] for known in labels], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.0 + 1.1 * len(labels)
    figure, axes = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    try:
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("the model says")
        axes.set_ylabel("it is")
        axes.set_title(title, fontsize=11)
        for (row, column), count in np.ndenumerate(counts):
            axes.text(
                column,
                row,
                f"{int(count):,}\n{100 * shares[row, column]:.1f} %",
                ha="center",
                va="center",
                color="white" if shares[row, column] > _DARK else "black",
            )
        figure.colorbar(image, ax=axes, label="share of the rows that are it", shrink=0.8)
        figure.savefig(target, dpi=144)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        plt.close(figure)
