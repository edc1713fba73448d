"""The batch pattern from a file in S3 to counted rows in the table; the same while workers are killed."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import psutil

from benchmarks.model import TEXTS, load_inference
from benchmarks.processes import ROOT, BenchmarkFailed, free_port, own_sandbox, sandbox_status, seconds
from benchmarks.report import Figure, paired
from client.ab.labelled import default_file
from sandbox.home import ACCOUNT, REGION, SECRET

ROWS = 50_000
KILLS = 5
_SANDBOX = [sys.executable, "-m", "sandbox"]
_WORDS = {"0": "negative", "1": "positive"}


@dataclass(frozen=True)
class _File:
    """Rows that the model can judge, in a file that has others, too."""

    path: Path
    ids: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str]


def measure(runs: int) -> list[Figure]:
    """Run the file through the deployed workflow and through the model alone, in turn; then kill workers."""
    with own_sandbox() as environment:
        file = _file(Path(environment["SANDBOX_HOME"]))
        seconds([*_SANDBOX, "up", "--port", str(free_port()), "--time-scale", "60"], environment=environment)
        seconds([*_SANDBOX, "deploy", "batch"], environment=environment)
        inference = load_inference()
        model = inference.model_fn(str(ROOT / "model_code" / "sentiment"))
        through, alone = [], []
        for _ in range(runs):
            report = _run(environment, file.path)
            _check(report, file)
            through.append(report["seconds"])
            started = time.perf_counter()
            predicted = [one["label"] for one in inference.predict_fn(list(file.texts), model)]
            alone.append(time.perf_counter() - started)
        own = _accuracy(predicted, file.labels)
        wrong = _differences(environment, file, predicted)
        killed = _run_killing(environment, file)
        _check(killed, file)
        wrong_after = _differences(environment, file, predicted)
    if wrong or wrong_after:
        raise BenchmarkFailed(f"{wrong} rows of the table are not the model's, {wrong_after} after kills")
    accuracy = killed["accuracy"]["accuracy"]
    return [
        paired(
            f"batch, {len(file.ids):,} rows from S3 to the table",
            through,
            alone,
            unit="s",
            baseline_name="(model alone)",
            target=60,
        ),
        Figure(
            "batch, accuracy in the table", 100 * accuracy, "%", 100 * own, "(model alone)", accuracy / own
        ),
        Figure(
            f"batch, {KILLS} workers killed: lost, twice or wrong",
            killed["report"]["input_rows"] - killed["report"]["quarantined"] - killed["report"]["landed"],
            "rows",
            target=0,
        ),
        Figure(
            f"batch, the same with {KILLS} workers killed",
            killed["seconds"],
            "s",
            baseline=sorted(through)[len(through) // 2],
            baseline_name="(undisturbed)",
            ratio=killed["seconds"] / sorted(through)[len(through) // 2],
        ),
    ]


def _file(folder: Path) -> _File:
    """NSMC's test split where it is; else as many rows of our own."""
    source = default_file()
    path = folder / "reviews.txt"
    if source.name == "ratings_test.txt":
        path.write_bytes(source.read_bytes())
    else:
        lines = [f"{n}\t{TEXTS[n % len(TEXTS)]} {n}\t{1 - n % 2}" for n in range(ROWS)]
        path.write_text("\n".join(["id\tdocument\tlabel", *lines]) + "\n", encoding="utf-8")
    with path.open(encoding="utf-8", newline="\n") as opened:
        rows = [
            row
            for row in csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["document"].strip()
        ]
    return _File(
        path,
        [row["id"] for row in rows],
        [row["document"] for row in rows],
        [_WORDS[row["label"]] for row in rows],
    )


def _command(path: Path) -> list[str]:
    client = [sys.executable, "-m", "client", "batch", "run", str(path), "--force", "--no-picture", "--json"]
    return [*_SANDBOX, "run", "--", *client]


def _run(environment: Mapping[str, str], path: Path) -> dict[str, Any]:
    done = subprocess.run(
        _command(path),
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return _told(done.returncode, done.stdout, done.stderr)


def _run_killing(environment: Mapping[str, str], file: _File) -> dict[str, Any]:
    """The same; workers that land rows are killed at moments that chance chooses."""
    sandbox = psutil.Process(int(sandbox_status(environment)["pid"]))
    chance = random.Random(5)  # noqa: S311  (no secret)
    # the warm workers of the runs before would otherwise be killed before they have anything to do
    _kill_all(sandbox)
    process = subprocess.Popen(
        _command(file.path),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = 0
    while process.poll() is None and killed < KILLS:
        workers = list(_workers(sandbox))
        if not workers:
            time.sleep(0.02)
            continue
        time.sleep(chance.uniform(0.2, 1.5))
        victim = chance.choice(workers)
        if victim.is_running():
            victim.kill()
            killed += 1
    stdout, stderr = process.communicate()
    if killed < KILLS:
        raise BenchmarkFailed(f"only {killed} workers could be killed before the job had ended")
    return _told(process.returncode, stdout, stderr)


def _kill_all(sandbox: psutil.Process) -> None:
    for worker in _workers(sandbox):
        worker.kill()


def _workers(sandbox: psutil.Process) -> Iterator[psutil.Process]:
    for process in sandbox.children(recursive=True):
        try:
            if process.environ().get("AWS_LAMBDA_FUNCTION_NAME", "").endswith("-land"):
                yield process
        except psutil.Error:
            continue


def _told(status: int, stdout: str, stderr: str) -> dict[str, Any]:
    if status != 0:
        raise BenchmarkFailed(f"client batch run ended with {status}:\n{stdout[-2000:]}\n{stderr[-2000:]}")
    return dict(json.loads(stdout))


def _check(told: Mapping[str, Any], file: _File) -> None:
    counted = told["report"]
    if (counted["landed"], counted["in_table"]) != (len(file.ids), len(file.ids)):
        raise BenchmarkFailed(f"{len(file.ids):,} rows had to land: {counted}")


def _differences(environment: Mapping[str, str], file: _File, predicted: Sequence[str]) -> int:
    """Rows whose label in the table is another than the model's own, or that are not there."""
    gateway = sandbox_status(environment)["gateway"]
    common: dict[str, Any] = {
        "endpoint_url": gateway,
        "region_name": REGION,
        "aws_access_key_id": ACCOUNT,
        "aws_secret_access_key": SECRET,
    }
    stack = boto3.client("cloudformation", **common).describe_stacks(StackName="BatchInference")["Stacks"][0]
    table = next(one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == "TableName")
    dynamodb = boto3.client("dynamodb", **common)
    expected = dict(zip(file.ids, predicted, strict=True))
    pairs = iter(expected.items())
    wrong = 0
    while chunk := list(islice(pairs, 100)):
        keys = [{"record_id": {"S": record_id}} for record_id, _ in chunk]
        items = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"][table]
        found = {item["record_id"]["S"]: item["label"]["S"] for item in items}
        wrong += sum(found.get(record_id) != label for record_id, label in chunk)
    return wrong


def _accuracy(predicted: Sequence[str], labels: Sequence[str]) -> float:
    return sum(said == known for said, known in zip(predicted, labels, strict=True)) / len(labels)
