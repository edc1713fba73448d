"""Processing job: how good the trained model is on the test split.

Reads ``processing/model/model.tar.gz`` and ``processing/test`` below the base directory. Writes into
``processing/evaluation``: ``evaluation.json``, in the shape of SageMaker's model quality metrics for binary
classification with slices by length beside it, and ``confusion_matrix.png``.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from classifier import Classifier
from container import JobError, base_directory
from numpy.typing import NDArray
from picture import confusion_picture
from reviews import BadData, Corpus, read_corpus

# upper ends of the slices, in characters; the last slice has none
SLICES = (10, 20, 40, 80)


def load_model(folder: Path) -> Classifier:
    """Unpack and load the archive that the training job left.

    Raises:
        JobError: There is none, or it holds no such model.
    """
    archive = folder / "model.tar.gz"
    if not archive.is_file():
        raise JobError(f"{archive} is missing: the training step's ModelArtifacts must be the input 'model'")
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            with tarfile.open(archive) as opened:
                opened.extractall(unpacked, filter="data")
            return Classifier.load(Path(unpacked))
        except (tarfile.TarError, EOFError, ValueError, FileNotFoundError) as error:
            raise JobError(f"{archive} holds no model that can be evaluated: {error}") from None


def confusion(labels: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return ``[[true negatives, false positives], [false negatives, true positives]]``."""
    return np.bincount(2 * labels + predicted, minlength=4).reshape(2, 2)


def scores(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy, precision, recall and F1 of the positive label; 0 where one would be 0 / 0."""
    (_, false_positives), (false_negatives, hits) = counts.tolist()

    def share(part: int, whole: int) -> float:
        return part / whole if whole else 0.0

    return {
        "accuracy": share(int(np.trace(counts)), int(counts.sum())),
        "precision": share(hits, hits + false_positives),
        "recall": share(hits, hits + false_negatives),
        "f1": share(2 * hits, 2 * hits + false_positives + false_negatives),
    }


def evaluation(model: Classifier, corpus: Corpus) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Return the content of evaluation.json, and the confusion matrix."""
    labels = corpus.labels == 1
    predicted = model.log_odds(corpus.texts) >= 0
    counts = confusion(labels, predicted)
    lengths = np.array([len(text) for text in corpus.texts])
    slices = []
    for low, high in zip((0, *SLICES), (*SLICES, None), strict=True):
        inside = (lengths > low) & (lengths <= (high or lengths.max()))
        if inside.any():
            part = scores(confusion(labels[inside], predicted[inside]))
            slices.append({"characters": {"above": low, "to": high}, "reviews": int(inside.sum()), **part})
    found = counts.tolist()
    metrics: dict[str, Any] = {
        name: {"value": value, "standard_deviation": "NaN"} for name, value in scores(counts).items()
    }
    metrics["confusion_matrix"] = {
        str(actual): {str(guess): found[actual][guess] for guess in (0, 1)} for actual in (0, 1)
    }
    report = {
        "binary_classification_metrics": metrics,
        "reviews": len(corpus.texts),
        "slices_by_length": slices,
    }
    return report, counts


def main() -> int:
    """Run the job; return the exit status."""
    base = base_directory() / "processing"
    try:
        model = load_model(base / "model")
        report, counts = evaluation(model, read_corpus(base / "test", "ratings_test.txt"))
        folder = base / "evaluation"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "confusion_matrix.png").write_bytes(confusion_picture(counts))
        (folder / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except (JobError, BadData, OSError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 1
    for name in ("accuracy", "precision", "recall", "f1"):
        print(f"test:{name}={report['binary_classification_metrics'][name]['value']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
