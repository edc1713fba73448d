"""How often the model was right about rows whose label is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from client.batch.files import RowsFile
from client.batch.records import CHUNK, look_up
from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern

# NSMC writes 0 and 1; the models answer in words
_WORDS = {"0": "negative", "1": "positive"}


@dataclass
class Confusion:
    """Rows by their known label and the model's.

    Args:
        counts: Number of rows by (known label, the model's label).
        without_answer: Rows whose label is known and that have no answer of their own: they were set aside,
            or another row has their id.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    without_answer: int = 0

    @property
    def labels(self) -> list[str]:
        """All labels, sorted."""
        return sorted({label for pair in self.counts for label in pair})

    @property
    def total(self) -> int:
        """Rows that were compared."""
        return self.counts.total()

    @property
    def right(self) -> int:
        """Rows about which the model was right."""
        return sum(count for (known, said), count in self.counts.items() if known == said)

    @property
    def accuracy(self) -> float:
        """The share of them; rows without an answer do not count."""
        return self.right / self.total if self.total else 0.0

    def precision(self, label: str) -> float | None:
        """Of the rows that the model gave a label, the share that has it."""
        return _share(self.counts[label, label], sum(self.counts[known, label] for known in self.labels))

    def recall(self, label: str) -> float | None:
        """Of the rows that have a label, the share that the model gave it."""
        return _share(self.counts[label, label], sum(self.counts[label, said] for said in self.labels))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        labels = self.labels
        return {
            "rows": self.total,
            "right": self.right,
            "accuracy": self.accuracy,
            "without_answer": self.without_answer,
            "labels": labels,
            "matrix": [[self.counts[known, said] for said in labels] for known in labels],
            "precision": {label: self.precision(label) for label in labels},
            "recall": {label: self.recall(label) for label in labels},
        }


def compare(
    connection: Connection,
    deployed: DeployedPattern,
    file: RowsFile,
    *,
    id_column: str,
    label_column: str,
    on_rows: Callable[[int], None],
) -> Confusion:
    """Compare a file's labels with what landed, a hundred rows at a time: memory does not grow with the file.

    Args:
        connection: Where.
        deployed: The batch pattern.
        file: The file with the labels.
        id_column: Column that identifies a row.
        label_column: Column with the known label; 0 and 1 mean negative and positive.
        on_rows: Called with the number of rows of each step.

    Returns:
        The counts; all are 0 where no row has both an id and a label.
    """
    confusion = Confusion()
    labelled = _labelled(file, id_column, label_column)
    while chunk := list(islice(labelled, CHUNK)):
        found = look_up(connection, deployed, [record_id for _, record_id, _ in chunk])
        for offset, record_id, label in chunk:
            row = found.get(record_id)
            # another row of the file may have the same id, and have landed
            if row is None or not row.label or row.source_offset != offset:
                confusion.without_answer += 1
            else:
                confusion.counts[label, row.label] += 1
        on_rows(len(chunk))
    return confusion


def label_column_of(file: RowsFile, wanted: str | None) -> str | None:
    """The column with the known labels: the one that was named, else ``label`` where there is one.

    Raises:
        UserError: The file has no column of the given name.
    """
    known: Sequence[str] = file.header or tuple(next(file.rows(), (0, {}))[1])
    if wanted is None:
        return "label" if "label" in known else None
    if wanted not in known:
        raise UserError(
            f"{file.path} has no column {wanted!r}", f"It has: {', '.join(map(str, known)) or 'none'}"
        )
    return wanted


def _labelled(file: RowsFile, id_column: str, label_column: str) -> Iterator[tuple[int, str, str]]:
    for offset, row in file.rows():
        record_id, label = row.get(id_column), row.get(label_column)
        if record_id in (None, "") or label in (None, ""):
            continue
        yield offset, str(record_id), _WORDS.get(str(label), str(label))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
