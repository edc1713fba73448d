"""ML pipeline: reviews become a version, an approval an endpoint; the same again; and asked for too much."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.text import Text

from client.ab.labelled import LabelledText, default_file, read_labelled
from client.batch.view import uploading
from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import Target, invoke
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.payloads import from_texts
from client.pipeline import deciding, executions, sending
from client.pipeline.executions import FAILED, SUCCEEDED, ExecutionState
from client.pipeline.following import follow
from client.pipeline.registry_view import following as following_endpoint
from client.pipeline.registry_view import show_versions
from client.pipeline.versions import Serving, Version, list_versions, serving
from client.pipeline.view import following

FOLDER = Path(".cache") / "demo-ml-pipeline"
REVIEWS = ("불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요.")

_TRAIN_FILE, _TEST_FILE = "ratings_train.txt", "ratings_test.txt"
_TRAIN_ROWS, _TEST_ROWS = 9000, 3000
# so few reviews reach less than the default of AccuracyThreshold, 0.85
_REACHED = "0.75"
_JOBS = ("Preprocess", "Train", "Evaluate")
_TIMEOUT_SECONDS_SANDBOX = 300.0
_TIMEOUT_SECONDS_AWS = 2 * 3600.0


@dataclass(frozen=True)
class _Reviews:
    """What is trained on.

    Args:
        files: The files.
        folder: Where they go, named after their content.
        note: What they are.
        too_much: An accuracy that no model reaches on them.
    """

    files: Sequence[Path]
    folder: str
    note: str
    too_much: str


class Trained(Outcome):
    """Three executions, a version that was approved, and the endpoint that serves it."""

    def __init__(
        self,
        runs: Sequence[ExecutionState],
        versions: Sequence[Version],
        now: Serving,
        labels: Sequence[str],
        reviews: _Reviews,
        pictures: Sequence[Path],
        next_steps: Sequence[Step],
        *,
        in_sandbox: bool,
    ) -> None:
        super().__init__(next_steps)
        self.first, self.again, self.refused = runs
        self.versions, self.now, self.labels = versions, now, labels
        self.reviews, self.pictures, self._in_sandbox = reviews, pictures, in_sandbox

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = []
        if self.again.status != SUCCEEDED:
            lines.append(f"the second execution ended as {self.again.status}: {self.again.reason}")
        anew = [name for name in _JOBS if not _cached(self.again, name)]
        if anew:
            lines.append(f"the second execution did again what had been done: {', '.join(anew)}")
        if self.refused.status != FAILED or self.refused.registered:
            lines.append(
                f"the threshold {self.reviews.too_much} did not keep the model out: {self.refused.status}"
            )
        if list(self.labels) != ["positive", "negative"]:
            lines.append(f"the reviews were labelled {', '.join(self.labels) or 'not at all'}")
        return UserError("The ML pipeline did not go as promised", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """The three executions side by side, the versions, what the endpoint says."""
        out.print(Text("\nthree executions", style="bold"))
        out.print(plain(f"  {self.reviews.note}"), soft_wrap=True, style="dim")
        for words, run in (
            ("the reviews", self.first),
            ("the same again", self.again),
            (f"AccuracyThreshold={self.reviews.too_much}", self.refused),
        ):
            cached = [name for name in _JOBS if _cached(run, name)]
            note = f"from the cache: {', '.join(cached)}" if cached else "all done anew"
            out.print(plain(f"  {words:<24} {run.status:<10} {run.seconds:6.1f} s  {note}"), soft_wrap=True)
        for step in self.refused.steps:
            if step.status == FAILED:
                out.print(plain(f"  {step.reason}"), soft_wrap=True, style="dim")
        out.print("  that counts as failed: the alarm on failed executions rings, on purpose", style="dim")
        out.print(Text("\nversions", style="bold"))
        show_versions(self.versions[:5], self.now, in_sandbox=self._in_sandbox)
        out.print(Text("\nwhat it says", style="bold"))
        for review, label in zip(REVIEWS, self.labels, strict=False):
            out.print(plain(f"  {label:<9} {review}"), soft_wrap=True)
        out.print(Text("\npictures", style="bold"))
        for picture in self.pictures:
            out.print(plain(f"  {picture}"), soft_wrap=True)
        out.print()

    def figures(self) -> dict[str, Any]:
        """The executions, the versions, the endpoint."""
        return {
            "reviews": self.reviews.note,
            "first": self.first.as_dict(),
            "again": self.again.as_dict(),
            "refused": self.refused.as_dict(),
            "versions": [one.as_dict() for one in self.versions],
            "serving": self.now.as_dict(),
            "labels": list(self.labels),
            "pictures": [str(picture) for picture in self.pictures],
        }


def demo_ml_pipeline(connection: Connection, deployed: DeployedPattern) -> Trained:
    """Train, approve, invoke; the same again; and with a threshold that the model does not reach.

    Raises:
        UserError: The pipeline cannot be started, or something does not end in time.
    """
    if not connection.is_sandbox:
        err.print(
            "This takes about half an hour on AWS: each job starts an instance, the endpoint too.",
            soft_wrap=True,
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    reviews = _reviews()
    _send(connection, deployed, reviews)
    data = {"InputData": reviews.folder, "AccuracyThreshold": _REACHED}
    first = _run(connection, deployed, data, "from reviews to a version")
    if first.status != SUCCEEDED:
        failed = "; ".join(f"{step.name}: {step.reason}" for step in first.steps if step.status == FAILED)
        raise UserError(f"The execution {first.id} ended as {first.status}", failed or first.reason)
    decision = deciding.approve(connection, deployed, first.registered[0], "by the demo")
    err.print(plain(f"version {decision.version.number} is approved: {decision.outlook}"), soft_wrap=True)
    with following_endpoint() as say:
        deciding.follow(connection, deployed, decision, timeout=_timeout(connection), say=say)
    again = _run(connection, deployed, data, "the same again")
    refused = _run(
        connection, deployed, {**data, "AccuracyThreshold": reviews.too_much}, "asked for too much"
    )
    now = serving(connection, deployed)
    return Trained(
        (first, again, refused),
        list_versions(connection, deployed, evaluated=True),
        now,
        _labels(connection, deployed) if now.status == "InService" else [],
        reviews,
        [
            _draw(connection, deployed, state, FOLDER / f"{name}.png")
            for name, state in (("first", first), ("refused", refused))
        ],
        _steps(connection, deployed),
        in_sandbox=connection.is_sandbox,
    )


def _reviews() -> _Reviews:
    """Some thousand reviews of NSMC where it is, so that it takes seconds; else reviews of our own."""
    test = default_file()
    train = test.with_name(_TRAIN_FILE)
    if test.name == _TEST_FILE and train.is_file():
        files = [read_labelled(train).sample(_TRAIN_ROWS), read_labelled(test).sample(_TEST_ROWS)]
        rows = [file.rows for file in files]
        drawn = [f"{len(file.rows):,} of {file.sampled_from or len(file.rows):,}" for file in files]
        note = f"NSMC: trained on {drawn[0]} reviews, tested on {drawn[1]}; all of them make a better model"
        return _write(rows, note, "0.99")
    own = read_labelled(test).rows
    # a model needs more than these few: any two of the same label make another review
    pairs = [
        LabelledText(f"{first.text} {second.text}", first.label)
        for first, second in combinations(own, 2)
        if first.label == second.label
    ]
    own_rows = [[row for number, row in enumerate(pairs) if number % 4], pairs[::4]]
    note = (
        f"{len(own)} reviews of our own, joined in pairs: trained on {len(own_rows[0]):,}, tested on "
        f"{len(own_rows[1]):,}. The accuracy says nothing about others; for real ones get NSMC "
        "(github.com/e9t/nsmc) and set NSMC_DIR"
    )
    return _write(own_rows, note, "1.01")


def _write(rows: Sequence[Sequence[LabelledText]], note: str, too_much: str) -> _Reviews:
    """Files of a training and a test split, in a folder that is named after their content."""
    names = {"negative": "0", "positive": "1"}
    contents = {}
    for name, split in zip((_TRAIN_FILE, _TEST_FILE), rows, strict=True):
        lines = [
            f"{name}-{number}\t{row.text}\t{names.get(row.label, row.label)}"
            for number, row in enumerate(split, 1)
        ]
        contents[name] = "\n".join(["id\tdocument\tlabel", *lines, ""]).encode()
    digest = hashlib.sha256(b"".join(contents.values())).hexdigest()[:6]
    folder = FOLDER / f"reviews-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return _Reviews([folder / name for name in contents], f"demo-{digest}", note, too_much)


def _send(connection: Connection, deployed: DeployedPattern, reviews: _Reviews) -> None:
    """Without a marker: the demo starts its executions itself."""
    sending.check(reviews.files, reviews.folder)
    with uploading(sum(file.stat().st_size for file in reviews.files)) as sent:
        # what is in a folder of that name already is the same
        sending.send(
            connection, deployed, reviews.files, reviews.folder, add=True, marker=False, on_bytes=sent
        )


def _run(
    connection: Connection, deployed: DeployedPattern, parameters: dict[str, str], title: str
) -> ExecutionState:
    name = executions.pipeline_name(deployed)
    arn = executions.start(connection, name, parameters)
    with following(title) as draw:
        return follow(connection, arn, timeout=_timeout(connection), draw=draw)


def _labels(connection: Connection, deployed: DeployedPattern) -> list[str]:
    answer = invoke(connection, Target(deployed.endpoint_name), from_texts(REVIEWS))
    return [str(one["label"]) for one in json.loads(answer.body)]


def _draw(connection: Connection, deployed: DeployedPattern, state: ExecutionState, path: Path) -> Path:
    from client.pipeline.picture import draw_execution  # matplotlib takes half a second to import

    definition = executions.execution_definition(connection, state.arn)
    draw_execution(executions.pipeline_name(deployed), definition, state, path)
    return path


def _steps(connection: Connection, deployed: DeployedPattern) -> list[Step]:
    steps = client_steps(
        connection,
        ("reviews of your own, which start an execution", "pipeline send FILE --folder NAME"),
        ("versions, and which one serves", "pipeline versions"),
        ("approve the version that waits", "pipeline approve --wait"),
        ("reject the one that serves: the one approved before it serves again", "pipeline reject --wait"),
        ("the latest execution as a picture", "pipeline graph --output pipeline.png"),
    )
    return steps + usual_steps(connection, deployed, "model_code/sentiment or config/dev.yaml")


def _cached(state: ExecutionState, name: str) -> bool:
    return any(step.name == name and step.cached_from for step in state.steps)


def _timeout(connection: Connection) -> float:
    return _TIMEOUT_SECONDS_SANDBOX if connection.is_sandbox else _TIMEOUT_SECONDS_AWS
