"""The steps of `client batch run` around the workflow itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.batch.accuracy import Confusion, compare, label_column_of
from client.batch.files import RowsFile, open_rows
from client.batch.places import Workflow
from client.batch.sending import upload
from client.batch.view import comparing, uploading
from client.connection import Connection
from client.s3 import Place


@dataclass(frozen=True)
class SentFile:
    """A file, and where it is now.

    Args:
        file: On this machine.
        place: In S3.
        label_column: Column with the known labels; None if there is none.
    """

    file: RowsFile
    place: Place
    label_column: str | None


@dataclass(frozen=True)
class Compared:
    """What came of comparing with known labels.

    Args:
        confusion: Rows by known label and the model's.
        picture: Where the matrix was saved; None if it was not.
    """

    confusion: Confusion
    picture: Path | None


def send_file(connection: Connection, workflow: Workflow, path: Path, label_column: str | None) -> SentFile:
    """Check a file and put it into the input folder.

    Raises:
        UserError: It cannot be sent.
    """
    file = open_rows(path, id_column=workflow.id_column, text_column=workflow.text_column)
    labels = label_column_of(file, label_column)
    with uploading(path.stat().st_size) as sent:
        place = upload(connection, workflow, file, sent)
    return SentFile(file, place, labels)


def label_file(
    connection: Connection, workflow: Workflow, sent: SentFile, *, picture: Path | None, draw: bool
) -> Compared:
    """Compare a file's labels with what landed, and draw the confusion matrix.

    Args:
        connection: Where.
        workflow: The workflow.
        sent: A file with a label column.
        picture: Where the picture goes; None for a name beside the file.
        draw: Whether to draw.
    """
    with comparing() as rows:
        confusion = compare(
            connection,
            workflow.deployed,
            sent.file,
            id_column=workflow.id_column,
            label_column=str(sent.label_column),
            on_rows=rows,
        )
    if not draw or not confusion.total:
        return Compared(confusion, None)
    from client.batch.picture import draw_confusion  # matplotlib takes half a second to import

    target = picture or sent.file.path.with_name(f"{sent.file.path.name}.confusion.png")
    title = f"{sent.file.path.name}: {100 * confusion.accuracy:.2f} % of {confusion.total:,} rows right"
    draw_confusion(confusion, target, title)
    return Compared(confusion, target)
