"""From files to rows: every function in its turn, on both stores."""

from __future__ import annotations

import gzip
import json
import random
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.batch_functions.flow import WORKFLOW, Flow, by_length, dying
from tests.batch_functions.stores import DynamoDbStore, Store


@pytest.fixture
def flow(batch: SimpleNamespace, store: Store, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """A workflow into a store."""
    return Flow(batch, store, monkeypatch)


@pytest.fixture
def tables(batch: SimpleNamespace, cloud: None, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """A workflow into a table, for what has nothing to do with the kind of store."""
    return Flow(batch, DynamoDbStore(batch, f"rows-{random.getrandbits(40):x}"), monkeypatch)


def text_file(rows: list[tuple[str, str]], end: str = "\n") -> bytes:
    """A file as NSMC has them: tabs, and a header."""
    return end.join(["id\tdocument\tlabel", *(f"{key}\t{text}\t1" for key, text in rows)]).encode()


def counts(report: dict[str, Any]) -> dict[str, int]:
    names = ("input_rows", "landed", "same", "superseded", "quarantined", "in_table")
    return {name: report[name] for name in names}


def test_every_format_lands_and_the_counts_add_up(flow: Flow) -> None:
    # GIVEN the same rows in files of each format, each over several ranges
    def rows(prefix: str) -> list[tuple[str, str]]:
        return [(f"{prefix}{n}", f"영화 {'정말 ' * (n % 4)}재미있다") for n in range(30)]

    flow.put("one.txt", b"\xef\xbb\xbf" + text_file(rows("t"), "\r\n"))
    flow.put(
        "two.tsv.gz", gzip.compress(text_file(rows("g"))[:300]) + gzip.compress(text_file(rows("g"))[300:])
    )
    quoted = ["document,id", *(f'"{text}, ok",{key}' for key, text in rows("c"))]
    flow.put("three.csv", "\n".join(quoted).encode())
    lines = [json.dumps({"id": key, "document": text, "x": 1}, ensure_ascii=False) for key, text in rows("j")]
    flow.put("four.jsonl", "\n".join(lines).encode())

    # WHEN the prefix is scored
    report = flow.run()

    # THEN each row is in the store with the model's answer, under its id
    assert counts(report) == {
        "input_rows": 120, "landed": 120, "same": 0, "superseded": 0, "quarantined": 0, "in_table": 120,
    }  # fmt: skip
    found = flow.store.rows()
    for prefix in "tgj":
        for key, text in rows(prefix):
            assert found[key].answer == by_length(text)
    assert found["c0"].answer == by_length(rows("c")[0][1] + ", ok")
    assert json.loads(flow.read(f"output/{report['job_name']}/report.json"))["landed"] == 120

    # WHEN it is started again, THEN nothing is done twice; WHEN forced, THEN the newer job's rows stay
    assert flow.run()["count"] == 0
    assert counts(flow.run(force=True))["landed"] == 120
    assert len(flow.store.rows()) == 120


def test_bad_rows_cost_only_themselves(flow: Flow) -> None:
    # GIVEN a file with one of each bad row among good ones
    bad: dict[str, tuple[bytes, str]] = {
        "no JSON": (b'{"id": "a", ', "no JSON"),
        "a list": (b"[1]", "a list"),
        "no id": (b'{"document": "x"}', "id is missing"),
        "empty id": (b'{"id": " ", "document": "x"}', "id is empty"),
        "wrong id": (b'{"id": {}, "document": "x"}', "an object"),
        "long id": (b'{"id": "' + "가".encode() * 700 + b'", "document": "x"}', "2,048"),
        "no text": (b'{"id": "b"}', "document is missing"),
        "null text": (b'{"id": "b", "document": null}', "null"),
        "long text": (b'{"id": "b", "document": "' + b"x" * 301 + b'"}', "301"),
        "not UTF-8": (b'{"id": "c", "document": "\xb0\xa1"}', "UTF-8"),
        "too long": (b'{"id": "d", "document": "' + b"x" * 6000 + b'"}', "at most"),
        "NUL in id": (b'{"id": "e\\u0000", "document": "x"}', "NUL"),
    }
    good = [
        json.dumps({"id": f"ok{n}", "document": f"좋다 {n}"}, ensure_ascii=False).encode() for n in range(30)
    ]
    lines: list[bytes] = []
    for number, (line, _) in enumerate(bad.values()):
        lines += [*good[number * 2 : number * 2 + 2], line, b""]
    lines += good[len(bad) * 2 :]
    data = b"\n".join(lines)
    flow.put("mixed.jsonl", data)

    # WHEN it is scored
    report = flow.run("mixed.jsonl")

    # THEN all good ones landed, and of each bad one it is told where it is and why
    assert set(flow.store.rows()) == {f"ok{n}" for n in range(30)}
    aside = flow.quarantine(report["job_name"])
    assert (report["quarantined"], report["input_rows"]) == (len(bad), 30 + len(bad))
    for (name, (line, reason)), entry in zip(bad.items(), aside, strict=True):
        assert reason in entry["reason"], name
        assert data[entry["offset"] :].startswith(line), name
        assert lines[entry["line"] - 1] == line, name
        assert entry["source"].endswith("/input/mixed.jsonl")


def test_ids_that_come_twice_are_told_apart_by_their_content(flow: Flow) -> None:
    # GIVEN a row that repeats another one in its range and in a range far away, and one that contradicts
    rows = [(f"{n}", f"글 {n}") for n in range(60)]
    rows[3] = rows[2]
    rows[55] = rows[1]
    rows[58] = ("1", "다른 글")
    flow.put("twice.txt", text_file(rows))

    # WHEN they are scored
    report = flow.run("twice.txt")

    # THEN what repeats is counted, what contradicts is set aside, the first stays
    assert counts(report) == {
        "input_rows": 60, "landed": 57, "same": 2, "superseded": 0, "quarantined": 1, "in_table": 57,
    }  # fmt: skip
    (entry,) = flow.quarantine(report["job_name"])
    assert (entry["record_id"], entry["line"]) == ("1", 60)


def test_workers_that_die_anywhere_lose_nothing(flow: Flow, batch: SimpleNamespace) -> None:
    # GIVEN rows with repeated ids, and how often the functions call AWS for them
    rows = [(f"{n % 70}", f"글 {n % 70 if n % 9 else n}") for n in range(80)]
    with dying(batch, set()) as calls:
        flow.put("calm.txt", text_file(rows))
        calm = flow.run("calm.txt")
    calm_rows = {key: row.answer for key, row in flow.store.rows().items()}
    chance = random.Random(5)

    for number in range(5):
        # WHEN they die at three random calls, and are called again
        flow.put(f"storm-{number}.txt", text_file(rows))
        deaths = set(chance.sample(range(1, len(calls)), 3))
        with dying(batch, deaths):
            report = flow.run(f"storm-{number}.txt")
        assert not deaths

        # THEN the counts and the rows are the same as without: none lost, doubled or wrong
        assert counts(report) == counts(calm)
        assert {key: row.answer for key, row in flow.store.rows().items()} == calm_rows
        assert {row.job for row in flow.store.rows().values()} == {report["job_name"]}
        assert [entry["line"] for entry in flow.quarantine(report["job_name"])] == [
            entry["line"] for entry in flow.quarantine(calm["job_name"])
        ]


@pytest.mark.parametrize(
    ("name", "data", "what", "words"),
    [
        ("empty.txt", b"", "empty.txt", "is empty"),
        ("x.txt", b"a\tb\n1\t2\n", "x.txt", "lacks id and document"),
        ("x.parquet", b"PAR1", "x.parquet", "ends in .jsonl"),
        ("x.txt", text_file([("1", "a")]), "nothing/", "no object below"),
        ("x.txt", text_file([("1", "a")]), "nothing.txt", "no object"),
        ("x.manifest", b"{}", "x.manifest", "JSON list"),
        ("x.csv.gz", b"\x1f\x8bnonsense", "x.csv.gz", "damaged"),
    ],
)
def test_input_without_rows_is_refused_with_what_to_do(
    tables: Flow, name: str, data: bytes, what: str, words: str
) -> None:
    # GIVEN an input with nothing to score
    tables.put(name, data)

    # WHEN it is claimed, THEN the error says what is wrong with which object
    with pytest.raises(tables.batch.failures.NoInput, match=words):
        tables.run(what)


def test_a_manifest_and_a_marker_name_their_objects(tables: Flow) -> None:
    # GIVEN objects, a manifest of two of them, and a marker
    for number in range(3):
        tables.put(f"day/{number}.txt", text_file([(f"{number}", "글")]))
    prefix = {"prefix": f"s3://{tables.bucket}/input/day/"}
    tables.put("two.manifest", json.dumps([prefix, "0.txt", "1.txt"]).encode())
    tables.put("day/_SUCCESS", b"")

    # WHEN each starts an execution, THEN each object is scored once
    assert tables.run("two.manifest")["landed"] == 2
    assert tables.run("day/_SUCCESS")["landed"] == 1
    again = tables.run("day/")
    assert (again["count"], again["skipped"]) == (0, 3)


def test_what_the_model_did_not_answer_fails_the_job_and_is_done_by_the_next(tables: Flow) -> None:
    # GIVEN two files, and a transform job that answers only one of them
    tables.put("a.txt", text_file([("a", "글")]))
    tables.put("b.txt", text_file([("b", "길고 긴 글")]))
    claimed: list[str] = []
    put = tables.s3.put_object

    def broken(**request: Any) -> Any:
        claimed.append(request["Key"])
        return None if request["Key"].endswith("part-000001.jsonl.out") else put(**request)

    # WHEN it is reconciled
    tables.s3.put_object = broken
    with pytest.raises(tables.batch.failures.TransformFailed, match=r"out of memory.*1 of 2 rows.*b\.txt"):
        tables.run(status="Failed")
    tables.s3.put_object = put

    # THEN the answered file's row is there, and the next execution takes only the other one
    assert set(tables.store.rows()) == {"a"}
    again = tables.run()
    assert (again["input_rows"], again["landed"]) == (1, 1)
    assert set(tables.store.rows()) == {"a", "b"}


def test_errors_and_nonsense_of_the_model_are_set_aside(flow: Flow) -> None:
    # GIVEN a model that answers some rows with an error, and some with nothing
    said: dict[str, Any] = {
        "error": {"error": "too rude"},
        "nothing": None,
        "NUL": {"label": "a\0", "score": 1},
        "huge": {"words": "x" * 400_000},
        "half": {"label": "\ud83d", "score": 1},
        "deep": json.loads("[" * 900 + "]" * 900),
        # these have no place in a column of their own, and stay as they are
        "large": {"words": "\0" * 40_000},
        "tiny": {"label": "a", "score": 1e-300},
        "vast": {"label": "a", "score": 10**400},
        "NaN": {"label": "a", "score": float("nan")},
    }
    words = [*said, "fine"]
    flow.put("x.txt", text_file([(word, word) for word in words]))

    # WHEN they are scored
    report = flow.run("x.txt", model=lambda text: said.get(text, by_length(text)))

    # THEN only the understandable ones land
    assert set(flow.store.rows()) == {"deep", "large", "tiny", "vast", "NaN", "fine"}
    assert "1e-300" in flow.store.rows()["tiny"].answer["answer"]
    aside = flow.quarantine(report["job_name"])
    assert [entry["record_id"] for entry in aside] == ["error", "nothing", "NUL", "huge", "half"]
    assert "too rude" in aside[0]["reason"]
    assert [entry["line"] for entry in aside] == [2, 3, 4, 5, 6]


def test_rows_that_two_workers_land_at_once_are_settled_by_landing_again(
    tables: Flow, batch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN two ranges with the same ids, whose workers look into the table before either has written
    rows = [(f"{n}", f"글 {n}") for n in range(20)]
    tables.put("a.txt", text_file(rows))
    tables.put("b.txt", text_file([(key, text if int(key) % 2 else "다른 글") for key, text in rows]))
    ids, looks = {key for key, _ in rows}, []
    read = batch.dynamodb.DynamoDb._read

    def blind(sink: Any, asked: list[str], seconds_left: Any) -> Any:
        looks.append(len(asked))
        return {} if sum(looks) <= 2 * len(ids) else read(sink, asked, seconds_left)

    monkeypatch.setattr(batch.dynamodb.DynamoDb, "_read", blind)

    # WHEN they are scored
    report = tables.run()

    # THEN it was seen by the count, and the first of each id stays
    assert sum(looks) > 2 * len(ids)
    assert counts(report) == {
        "input_rows": 40, "landed": 20, "same": 10, "superseded": 0, "quarantined": 10, "in_table": 20,
    }  # fmt: skip
    assert {row.source.rsplit("/", 1)[-1] for row in tables.store.rows().values()} == {"a.txt"}


def test_claims_of_a_running_execution_are_left_and_of_a_gone_one_taken(tables: Flow) -> None:
    # GIVEN an execution that runs, and one that nobody knows
    states = boto3.client("stepfunctions")
    wait = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 80_000, "End": True}}}
    machine = states.create_state_machine(
        name=WORKFLOW, definition=json.dumps(wait), roleArn="arn:aws:iam::000000000000:role/r"
    )["stateMachineArn"]
    running = states.start_execution(stateMachineArn=machine)["executionArn"]
    try:
        tables.put("x.txt", text_file([("1", "글")]))
        tables.call("claim", {**tables.event("x.txt"), "execution_arn": running})

        # WHEN others claim the same object, even by force, THEN they leave it while that one runs
        assert tables.call("claim", tables.event("x.txt"))["count"] == 0
        assert tables.call("claim", tables.event("x.txt", force=True))["count"] == 0
    finally:
        states.stop_execution(executionArn=running)

    # WHEN it is gone, THEN the next one takes the object
    assert tables.call("claim", tables.event("x.txt"))["count"] == 1
    states.delete_state_machine(stateMachineArn=machine)
