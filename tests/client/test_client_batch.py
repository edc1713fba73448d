"""`client batch`: a file through the workflow, and what a person is told about it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import Result

from client.batch import following
from client.batch.accuracy import Confusion
from client.batch.files import open_rows
from client.batch.places import Workflow
from client.batch.sending import start
from client.connection import Connection
from client.patterns import find_pattern
from tests.client.batch_workflow import JOB, OUTPUTS, BatchWorkflow, report
from tests.client.fakes import ScriptedAws

Run = Callable[..., Result]

REVIEWS = "id\tdocument\tlabel\nr1\t명작입니다\t1\nr2\t지루하다\t0\nr3\t그저 그래요\t1\nr4\t   \t0\n"
ASIDE = {"source": "s3://in/input/reviews.tsv", "line": 5, "reason": "document is empty", "record_id": "r4"}


@pytest.fixture
def workflow(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> BatchWorkflow:
    """A deployed workflow that lands three of four reviews; the model is wrong about one."""
    monkeypatch.setattr(following, "_LOOK_SECONDS_SANDBOX", 0.001)
    made = BatchWorkflow(aws)
    offsets = [REVIEWS.encode().index(name) for name in (b"r1", b"r2", b"r3")]
    for record_id, label, offset in zip(
        ("r1", "r2", "r3"), ("positive", "negative", "negative"), offsets, strict=True
    ):
        made.land(record_id, label, offset)
    made.objects[f"quarantine/{JOB}.jsonl"] = json.dumps({**ASIDE, "offset": 60}).encode() + b"\n"
    return made


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.tsv"
    path.write_text(REVIEWS, encoding="utf-8")
    return path


def test_a_file_is_sent_followed_counted_and_compared(
    workflow: BatchWorkflow, run: Run, reviews: Path
) -> None:
    # GIVEN an execution that takes a while, and reports of its workers
    workflow.looks_before_the_end = 2
    workflow.objects[f"work/{JOB}/ranges.json"] = b"[{}]"
    workflow.objects[f"work/{JOB}/landed-reports/part-000000.json"] = json.dumps(
        {"landed": 3, "quarantined": 0}
    ).encode()

    # WHEN a file with labels is run
    result = run("batch", "run", str(reviews))

    # THEN it was uploaded under a name that goes by its content, and that was started
    assert result.exit_code == 0, result.stderr
    (key,) = [key for key in workflow.objects if key.startswith("input/")]
    assert key.startswith("input/reviews-")
    assert workflow.objects[key].decode() == REVIEWS
    (started,) = workflow.started
    assert json.loads(started["input"]) == {"input": f"s3://in/{key}", "force": False, "trigger": "manual"}
    # AND a person sees what came of it
    for words in (
        "SUCCEEDED",
        "4 in the input = 3 landed + 1 set aside",
        "66.67 %",
        "line 5 (r4)",
        "is empty",
    ):
        assert words in result.stdout
    assert "1 more have no answer" in result.stdout
    assert "rows land" in result.stderr
    # AND the matrix is a picture beside the file
    assert (reviews.parent / "reviews.tsv.confusion.png").read_bytes().startswith(b"\x89PNG")


def test_while_the_model_answers_the_parts_that_it_is_done_with_are_counted(workflow: BatchWorkflow) -> None:
    # GIVEN a transform job that has answered one of three parts
    workflow.state, workflow.looks_before_the_end = "LookAtTransform", 1
    workflow.objects |= {
        f"work/{JOB}/ranges.json": b"[{}, {}, {}]",
        f"work/{JOB}/prepared-reports/part-000000.json": b'{"prepared": 70}',
        f"work/{JOB}/prepared-reports/part-000001.json": b'{"prepared": 50}',
        f"output/{JOB}/part-000000.jsonl.out": b"",
        f"output/{JOB}/other.json": b"",
    }
    connection = Connection()
    place = Workflow.of(find_pattern(connection, "batch"))
    seen: list[following.Progress] = []

    # WHEN the execution is followed
    execution = start(connection, place, "s3://in/input/day-1/")
    following.follow(connection, place, execution, timeout=30, on_progress=seen.append)

    # THEN the looks tell how far it has come
    assert seen == [following.Progress("Transform", parts=3, prepared=120, landed=0, done_parts=1)]


def test_a_program_gets_the_same_as_json(workflow: BatchWorkflow, run: Run, reviews: Path) -> None:
    result = run("batch", "run", str(reviews), "--json", "--no-picture")
    found = json.loads(result.stdout)
    assert found["report"]["landed"] == 3
    assert found["accuracy"]["matrix"] == [[1, 0], [1, 1]]
    assert found["accuracy"]["without_answer"] == 1
    assert found["set_aside"][0]["line"] == 5
    assert found["picture"] is None
    assert not list(reviews.parent.glob("*.png"))


def test_where_no_row_can_be_compared_a_person_is_still_told_what_was_set_aside(
    workflow: BatchWorkflow, run: Run, tmp_path: Path
) -> None:
    # GIVEN a file none of whose rows has an id
    path = tmp_path / "bad.jsonl"
    path.write_text('{"document": "an id is missing", "label": 1}\n', encoding="utf-8")
    workflow.ending["output"] = json.dumps(report(input_rows=1, landed=0, in_table=0))

    # WHEN it is run
    result = run("batch", "run", str(path))

    # THEN the counts and the reasons are there, no accuracy is, and nothing is drawn
    assert result.exit_code == 0, result.stderr
    assert "0 landed + 1 set aside" in result.stdout
    assert "document is empty" in result.stdout
    assert "accuracy    unknown" in result.stdout
    assert not list(tmp_path.glob("*.png"))


def test_what_was_sent_before_is_not_sent_again(workflow: BatchWorkflow, run: Run, reviews: Path) -> None:
    # GIVEN a file that was run, and a workflow that finds nothing new in it
    run("batch", "run", str(reviews), "--no-picture")
    workflow.ending = {"status": "SUCCEEDED", "output": json.dumps({"count": 0, "skipped": 1})}
    uploads = len([key for key in workflow.objects if key.startswith("input/")])

    # WHEN it is run again, under another name
    other = reviews.rename(reviews.with_name("reviews.TSV"))
    result = run("batch", "run", str(other), "--no-picture")

    # THEN the same object was named, and a person is told how to score it anew
    assert len([key for key in workflow.objects if key.startswith("input/")]) == uploads
    assert result.exit_code == 0
    assert "nothing new" in result.stdout
    assert "--force" in result.stdout


def test_force_and_an_object_that_is_in_s3_already(workflow: BatchWorkflow, run: Run) -> None:
    assert run("batch", "run", "s3://in/input/day-1/", "--force").exit_code == 0
    assert json.loads(workflow.started[0]["input"]) == {
        "input": "s3://in/input/day-1/",
        "force": True,
        "trigger": "manual",
    }


def test_a_workflow_that_fails_says_why(workflow: BatchWorkflow, run: Run, reviews: Path) -> None:
    # GIVEN a workflow that fails
    workflow.ending = {
        "status": "FAILED",
        "error": "TransformFailed",
        "cause": "the model raised: no weights",
    }

    # WHEN a file is run, and the executions are looked at
    result, listed, status = (
        run("batch", "run", str(reviews)),
        run("batch", "status"),
        run("status", "batch", "--json"),
    )

    # THEN each tells it, by words and by exit status
    assert result.exit_code == 1
    assert "TransformFailed" in result.stdout
    assert "no weights" in result.stdout
    assert (listed.exit_code, status.exit_code) == (2, 2)
    assert "no weights" in listed.stderr
    [pattern] = json.loads(status.stdout)["patterns"]
    assert "no weights" in pattern["problems"][0]
    assert pattern["workflow"]["executions"][0]["status"] == "FAILED"


def test_a_wait_that_is_too_long_ends_and_the_execution_goes_on(
    workflow: BatchWorkflow, run: Run, reviews: Path
) -> None:
    workflow.looks_before_the_end = 10**6
    result = run("batch", "run", str(reviews), "--timeout", "1s")
    assert result.exit_code == 1
    assert "has not ended within 1 s" in result.stderr
    assert "It goes on" in result.stderr


def test_rows_are_looked_up_by_their_ids(workflow: BatchWorkflow, run: Run) -> None:
    # WHEN rows are asked for, one of which is not there
    good, bad = run("batch", "query", "r1", "--json"), run("batch", "query", "r2", "nobody")

    # THEN those that are there are shown, and the other is named
    assert json.loads(good.stdout)[0]["label"] == "positive"
    assert bad.exit_code == 1
    assert "negative" in bad.stdout
    assert "'nobody'" in bad.stderr


def test_the_report_of_a_job_can_be_read_later(workflow: BatchWorkflow, run: Run) -> None:
    # GIVEN a job's report in S3
    workflow.objects[f"output/{JOB}/report.json"] = json.dumps(report()).encode()

    # WHEN it, and one that does not exist, are asked for
    found, missing = run("batch", "report", JOB), run("batch", "report", "no-such-job")

    # THEN
    assert "4 in the input" in found.stdout
    assert "document is empty" in found.stdout
    assert missing.exit_code == 1
    assert "no-such-job" in missing.stderr


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"", ["is empty"]),
        ("a.parquet", b"x", ["does not tell the format", ".jsonl"]),
        ("a.csv", b"id,text\n1,x\n", ["lacks document", "text_column"]),
        ("a.tsv", b"\xff\xfe\n", ["header cannot be read", "UTF-8"]),
        ("a.csv.gz", b"no gzip", ["lacks id and document"]),
    ],
)
@pytest.mark.usefixtures("workflow")
def test_a_file_that_cannot_be_sent_is_refused(
    run: Run, tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    # GIVEN a file that the workflow could not read
    (tmp_path / name).write_bytes(content)

    # WHEN it is run
    result = run("batch", "run", str(tmp_path / name))

    # THEN one message says what is wrong and what is allowed
    assert result.exit_code == 1
    for word in (name, *words):
        assert word in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], "cannot be read"),
        (["FILE", "--label-column", "stars"], "has no column 'stars'"),
        (["FILE", "--picture", "matrix.jpg"], "must end in .png"),
        (["FILE", "--picture", "/no/such/folder/matrix.png"], "no folder /no/such/folder"),
        (["FILE", "--picture", "m.png", "--no-picture"], "Both"),
        (["s3://in/input/x.tsv", "--label-column", "label"], "for a file on this machine"),
    ],
)
@pytest.mark.usefixtures("workflow")
def test_words_that_do_not_fit_are_refused(run: Run, reviews: Path, arguments: list[str], words: str) -> None:
    result = run("batch", "run", *(str(reviews) if one == "FILE" else one for one in arguments))
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_stack_without_a_workflow_is_told(aws: ScriptedAws, run: Run) -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "InputUri"}
    BatchWorkflow(aws, outputs)
    result = run("batch", "run", "s3://in/input/")
    assert result.exit_code == 1
    assert "lack InputUri" in result.stderr


ROWS = st.lists(
    st.tuples(st.text("abc가나", min_size=1, max_size=5), st.text("한글 text,\"'", max_size=8)), max_size=8
)


@given(rows=ROWS, packed=st.booleans(), mark=st.booleans(), newline=st.sampled_from(["\n", "\r\n"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_rows_and_their_offsets_are_read_back(
    tmp_path: Path, rows: list[tuple[str, str]], packed: bool, mark: bool, newline: str
) -> None:
    # GIVEN rows in a file, with or without a byte order mark, packed or not
    lines = [json.dumps({"id": one, "document": text}, ensure_ascii=False) for one, text in rows]
    content = (b"\xef\xbb\xbf" if mark else b"") + newline.join(lines).encode() + b"\n"
    path = tmp_path / ("rows.jsonl.gz" if packed else "rows.jsonl")
    path.write_bytes(gzip.compress(content) if packed else content)

    # WHEN they are read
    found = list(open_rows(path, id_column="id", text_column="document").rows())

    # THEN they are the same, and their offsets lead back to them
    assert [(row["id"], row["document"]) for _, row in found] == rows
    for (offset, row), line in zip(found, lines, strict=True):
        assert content[offset:].removeprefix(b"\xef\xbb\xbf").startswith(line.encode())
        assert row["id"]


def test_precision_and_recall_of_a_matrix() -> None:
    # GIVEN eight rows
    confusion = Confusion()
    confusion.counts.update({("n", "n"): 3, ("n", "p"): 1, ("p", "p"): 4})

    # THEN
    assert confusion.accuracy == 7 / 8
    assert (confusion.recall("n"), confusion.precision("n")) == (3 / 4, 1.0)
    assert (confusion.recall("p"), confusion.precision("p")) == (1.0, 4 / 5)
    assert Confusion().accuracy == 0.0
