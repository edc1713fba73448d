"""Batch inference: a file of reviews with some that cannot be scored, and the same file again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from client.ab.labelled import default_file, read_labelled
from client.batch.accuracy import Confusion
from client.batch.following import Ending, follow
from client.batch.places import Workflow
from client.batch.quarantine import SetAside, set_aside
from client.batch.records import ScoredRow, look_up
from client.batch.run import SentFile, label_file, send_file
from client.batch.sending import start
from client.batch.view import following, show_confusion, show_ending, show_row
from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.output import err, out
from client.patterns import DeployedPattern
from client.s3 import Place

FOLDER = Path(".cache") / "demo-batch"
_ROWS = 3000
_TIMEOUT_SECONDS_SANDBOX = 120.0
_TIMEOUT_SECONDS_AWS = 40 * 60.0
# rows that cannot be scored, after so many good ones: fields, and what has to be said about them
_BAD = (
    (b"\t\xec\x95\x84\xec\x9d\xb4\xeb\x94\x94\xea\xb0\x80 \xec\x97\x86\xeb\x8b\xa4\t1", "is empty"),
    (b"bad-1\t   \t0", "is empty"),
    (b"bad-2\t\xff\xfe\xfd\t1", "UTF-8"),
    (b"bad-3\ttoo few", "fields"),
    (b"r1\tanother text with the first row's id\t1", "earlier row"),
)


class Landed(Outcome):
    """A file that was scored, the same file again, and a row of it."""

    def __init__(
        self,
        first: Ending,
        again: Ending,
        aside: Sequence[SetAside],
        confusion: Confusion | None,
        row: ScoredRow | None,
        next_steps: Sequence[Step],
    ) -> None:
        super().__init__(next_steps)
        self.first, self.again, self.aside = first, again, aside
        self.confusion, self.row = confusion, row

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = []
        report = self.first.report
        if not self.first.ok or not report:
            lines.append(
                f"the workflow ended as {self.first.status}: {self.first.cause or 'without a report'}"
            )
        else:
            if report["quarantined"] != len(_BAD):
                lines.append(f"{report['quarantined']} rows were set aside, and {len(_BAD)} are bad")
            if report["landed"] + report["quarantined"] != report["input_rows"]:
                lines.append(f"rows are missing: {report}")
            reasons = " ".join(row.reason for row in self.aside)
            lines += [f"nobody said: {said}" for _, said in _BAD if said not in reasons]
            if self.row is None:
                lines.append("the first row cannot be looked up")
        if not self.again.nothing_new:
            lines.append("the second run did something: the file had been scored")
        return UserError("Batch inference did not go as promised", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """What came of the file, how right the model was, the second run, a row."""
        show_ending(self.first, self.aside)
        if self.confusion:
            show_confusion(self.confusion, "")
        out.print(Text("\nthe same file again", style="bold"))
        show_ending(self.again, [])
        if self.row:
            out.print(Text("\na row of it", style="bold"))
            show_row(self.row)

    def figures(self) -> dict[str, Any]:
        """Both runs."""
        return {
            "first": self.first.as_dict(),
            "again": self.again.as_dict(),
            "set_aside": [vars(row) for row in self.aside],
            "accuracy": self.confusion.as_dict() if self.confusion else None,
            "row": self.row.as_dict() if self.row else None,
        }


def demo_batch(connection: Connection, deployed: DeployedPattern) -> Landed:
    """Score a file, score it again, look a row up.

    Raises:
        UserError: The workflow cannot be started, or does not end in time.
    """
    if not connection.is_sandbox:
        err.print(
            "This takes about ten minutes on AWS: a transform job starts an instance of its own.",
            soft_wrap=True,
        )
    workflow = Workflow.of(deployed)
    path, first_id = _make_file(workflow)
    sent = send_file(connection, workflow, path, "label")
    endings = []
    # each demo scores: what an earlier one did is scored anew, and then there is nothing new
    for force in (True, False):
        execution = start(connection, workflow, str(sent.place), force=force)
        err.print(f"{path.name}: execution {execution.name}", soft_wrap=True, markup=False)
        with following() as draw:
            endings.append(
                follow(connection, workflow, execution, timeout=_timeout(connection), on_progress=draw)
            )
    first, again = endings
    return Landed(
        first,
        again,
        _aside(connection, first),
        _confusion(connection, workflow, sent) if first.ok else None,
        look_up(connection, deployed, [first_id]).get(first_id),
        _steps(connection, deployed, path, first_id),
    )


def _make_file(workflow: Workflow) -> tuple[Path, str]:
    """Reviews whose label is known, with bad rows among them; the id of the first."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = read_labelled(default_file()).sample(_ROWS).rows
    words = {"negative": "0", "positive": "1"}
    lines = [
        f"r{number}\t{row.text}\t{words.get(row.label, row.label)}".encode()
        for number, row in enumerate(rows, 1)
    ]
    step = max(1, len(lines) // len(_BAD))
    for number, (line, _) in enumerate(_BAD, 1):
        lines.insert(number * step, line)
    header = f"{workflow.id_column}\t{workflow.text_column}\tlabel".encode()
    content = b"\n".join([header, *lines]) + b"\n"
    path = FOLDER / f"reviews-{hashlib.sha256(content).hexdigest()[:6]}.tsv"
    path.write_bytes(content)
    return path, "r1"


def _aside(connection: Connection, ending: Ending) -> list[SetAside]:
    uri = ending.report.get("quarantine_uri")
    return set_aside(connection, Place.parse(uri), len(_BAD)) if uri else []


def _confusion(connection: Connection, workflow: Workflow, sent: SentFile) -> Confusion:
    return label_file(connection, workflow, sent, picture=None, draw=False).confusion


def _steps(connection: Connection, deployed: DeployedPattern, path: Path, first_id: str) -> list[Step]:
    steps = client_steps(
        connection,
        ("a file of your own", "batch run FILE"),
        ("the confusion matrix as a picture", f"batch run {path}"),
        ("look a row up", f"batch query {first_id}"),
        ("what ran", "batch status"),
    )
    return steps + usual_steps(connection, deployed, "model_code/sentiment or config/dev.yaml")


def _timeout(connection: Connection) -> float:
    return _TIMEOUT_SECONDS_SANDBOX if connection.is_sandbox else _TIMEOUT_SECONDS_AWS
