"""The batch pattern by the real CDK CLI: files in S3, a marker, a transform job, rows in the table, once."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from tests.sandbox.laptop import REVIEWS, Laptop, exists, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "batch"


class Batch:
    """What a person does with the deployed pattern, by its outputs."""

    def __init__(self, laptop: Laptop) -> None:
        self.boto = laptop.boto
        self.outputs = laptop.outputs(PATTERN)

    def put(self, name: str, text: str) -> str:
        """An object below ``input/``; returns its URI."""
        uri = f"{self.outputs['InputUri']}{name}"
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.boto("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        return uri

    def read(self, uri: str) -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return str(self.boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def start(self, uri: str, **given: Any) -> dict[str, Any]:
        """An execution by hand, when it has ended."""
        started = self.boto("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps({"input": uri, **given})
        )
        return self.ended(started["executionArn"])

    def ended(self, arn: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            seen = dict(self.boto("stepfunctions").describe_execution(executionArn=arn))
            return None if seen["status"] == "RUNNING" else seen

        return wait_for(f"the end of {arn}", look, seconds=120)

    def executions(self, about: str) -> list[str]:
        """Executions whose input names something."""
        functions = self.boto("stepfunctions")
        listed = functions.list_executions(stateMachineArn=self.outputs["StateMachineArn"])["executions"]
        arns = [item["executionArn"] for item in listed]
        return [arn for arn in arns if about in functions.describe_execution(executionArn=arn)["input"]]

    def rows(self, folder: str) -> dict[str, dict[str, Any]]:
        """The rows of a folder's files, by record id."""
        pages = self.boto("dynamodb").get_paginator("scan").paginate(TableName=self.outputs["TableName"])
        items = [item for page in pages for item in page["Items"]]
        return {item["record_id"]["S"]: item for item in items if f"/{folder}/" in item["source"]["S"]}

    def of_job(self, job: str) -> int:
        """Rows of a job, counted by the index, shard by shard."""
        return sum(
            self.boto("dynamodb").query(
                TableName=self.outputs["TableName"],
                IndexName=self.outputs["IndexName"],
                Select="COUNT",
                KeyConditionExpression="job_shard = :shard",
                ExpressionAttributeValues={":shard": {"S": f"{job}#{shard}"}},
            )["Count"]
            for shard in range(int(self.outputs["IndexShards"]))
        )


@pytest.fixture
def deployed(batch: Laptop) -> Batch:
    return Batch(batch)


def test_a_marker_starts_the_job_and_every_row_lands_once_or_is_set_aside(deployed: Batch) -> None:
    # GIVEN two files in a folder, one with tabs, one with JSON on lines; three rows of them are bad
    good = [f"{number}\t{REVIEWS[number % 2]}" for number in range(60)]
    deployed.put("day-1/reviews.tsv", "\n".join(["id\tdocument", *good, "60"]) + "\n")
    lines = [json.dumps({"id": f"j{n}", "document": REVIEWS[n % 2]}, ensure_ascii=False) for n in range(40)]
    lines[7:7] = ["{no json", json.dumps({"document": "an id is missing"})]
    deployed.put("day-1/reviews.jsonl", "\n".join(lines) + "\n")

    # WHEN the marker arrives
    deployed.put("day-1/_SUCCESS", "")
    (arn,) = wait_for("an execution by itself", lambda: deployed.executions("day-1/_SUCCESS"))
    execution = deployed.ended(arn)

    # THEN the counts add up, in the report, in the table, and by the index
    assert execution["status"] == "SUCCEEDED", execution
    report = json.loads(execution["output"])
    assert (report["input_rows"], report["landed"], report["quarantined"]) == (103, 100, 3)
    rows = deployed.rows("day-1")
    assert set(rows) == {*(str(number) for number in range(60)), *(f"j{number}" for number in range(40))}
    assert {rows[str(number)]["label"]["S"] for number in range(0, 60, 2)} == {"positive"}
    assert {rows[str(number)]["label"]["S"] for number in range(1, 60, 2)} == {"negative"}
    assert all(0.5 <= float(row["score"]["N"]) <= 1 for row in rows.values())
    assert {row["job"]["S"] for row in rows.values()} == {report["job_name"]}
    assert deployed.of_job(report["job_name"]) == 100

    # AND each bad row is set aside with its place and its reason
    aside = [json.loads(line) for line in deployed.read(report["quarantine_uri"]).splitlines()]
    assert len(aside) == 3
    assert all(entry["reason"] for entry in aside)

    # AND somebody is told
    alarms = deployed.boto("cloudwatch")
    wait_for(
        "the alarm on rows that were set aside",
        lambda: [
            item["AlarmName"]
            for item in alarms.describe_alarm_history(HistoryItemType="StateUpdate")["AlarmHistoryItems"]
            if "QuarantinedRecords" in item["AlarmName"] and "to ALARM" in item["HistorySummary"]
        ],
    )

    # AND WHEN the same is started again, by hand THEN nothing is run and nothing changes
    again = deployed.start(f"{deployed.outputs['InputUri']}day-1/")
    assert again["status"] == "SUCCEEDED"
    assert json.loads(again["output"])["count"] == 0
    assert deployed.rows("day-1") == rows

    # AND WHEN it is forced THEN the newer job has the same rows
    forced = json.loads(deployed.start(f"{deployed.outputs['InputUri']}day-1/", force=True)["output"])
    assert forced["landed"] == 100
    assert {row["job"]["S"] for row in deployed.rows("day-1").values()} == {forced["job_name"]}


def test_an_input_with_nothing_in_it_fails_and_the_topic_hears_why(deployed: Batch) -> None:
    # GIVEN somebody who listens
    queues = deployed.boto("sqs")
    url = queues.create_queue(QueueName="failures")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = deployed.outputs["FailureTopicArn"]
    deployed.boto("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    # WHEN an empty folder is named
    execution = deployed.start(f"{deployed.outputs['InputUri']}nowhere/")

    # THEN the execution fails with a sentence that says what to do, and the listener gets the same
    assert execution["status"] == "FAILED"
    assert "There is no object below" in execution["cause"]
    assert "/input/nowhere/" in execution["cause"]
    (message,) = wait_for("the message", lambda: queues.receive_message(QueueUrl=url).get("Messages"))
    told = json.loads(json.loads(message["Body"])["Message"])
    assert told["cause"] == execution["cause"]
    assert told["execution"] == execution["executionArn"]
    queues.delete_queue(QueueUrl=url)


@contextmanager
def killing(laptop: Laptop, function: str, count: int) -> Iterator[list[int]]:
    """Kill so many processes of a function, each at a moment that chance chooses."""
    sandbox = psutil.Process(json.loads(laptop.sandbox("status", "--json").stdout)["pid"])
    chance, killed, stop = random.Random(5), list[int](), threading.Event()

    def workers() -> Iterator[psutil.Process]:
        for process in sandbox.children(recursive=True):
            try:
                if process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == function:
                    yield process
            except psutil.Error:
                continue

    def work() -> None:
        while len(killed) < count and not stop.is_set():
            found = list(workers())
            stop.wait(chance.uniform(0.02, 0.4) if found else 0.01)
            if found and (victim := chance.choice(found)).is_running():
                victim.kill()
                killed.append(victim.pid)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join(timeout=30)


def test_killed_workers_lose_nothing_and_write_nothing_twice(deployed: Batch, batch: Laptop) -> None:
    # GIVEN a file that several workers land
    rows = {f"k{number}": f"{REVIEWS[number % 2]} {'그리고 ' * 60}{number}" for number in range(6000)}
    lines = [json.dumps({"id": name, "document": text}, ensure_ascii=False) for name, text in rows.items()]
    uri = deployed.put("killed/reviews.jsonl", "\n".join(lines) + "\n")

    # WHEN three of them are killed while they are at it: a range is tried four times, whoever is hit
    with killing(batch, "batch-dev-land", 3) as killed:
        execution = deployed.start(uri)

    # THEN each row has landed once, under the one job, and the index counts the same
    assert killed
    assert execution["status"] == "SUCCEEDED", execution
    report = json.loads(execution["output"])
    assert (report["landed"], report["quarantined"], report["in_table"]) == (6000, 0, 6000)
    landed = deployed.rows("killed")
    assert landed.keys() == rows.keys()
    assert {row["job"]["S"] for row in landed.values()} == {report["job_name"]}
    assert deployed.of_job(report["job_name"]) == 6000


def test_a_model_that_fails_fails_the_workflow_and_a_good_one_takes_the_same_file(
    deployed: Batch, batch: Laptop
) -> None:
    # GIVEN a model that raises on every call
    (batch.project / "changed").touch()
    batch.sandbox("deploy", PATTERN, "-c", "patterns.batch.model.directory=model_code/sentiment_faulty")
    uri = deployed.put("failed/reviews.jsonl", json.dumps({"id": "f1", "document": REVIEWS[0]}) + "\n")

    # WHEN a file is scored by it
    failed = deployed.start(uri)

    # THEN the workflow fails with the job's own reason, and an alarm rings
    assert (failed["status"], failed["error"]) == ("FAILED", "TransformFailed")
    assert "1 have no answer" in failed["cause"]
    assert batch.client("status", PATTERN, check=False).returncode == 2
    history = deployed.boto("cloudwatch").describe_alarm_history

    def rang() -> bool:
        items = history(HistoryItemType="StateUpdate")["AlarmHistoryItems"]
        return any(
            "FailedExecutions" in item["AlarmName"] and "to ALARM" in item["HistorySummary"] for item in items
        )

    assert wait_for("the alarm on failed executions", rang)

    # AND WHEN the good model is back THEN the same file, by the client, is scored
    batch.sandbox("deploy", PATTERN)
    told = json.loads(batch.client("batch", "run", uri, "--json").stdout)
    assert told["report"]["landed"] == 1
    assert json.loads(batch.client("batch", "query", "f1", "--json").stdout)[0]["label"] == "positive"


def test_the_demo_shows_it_and_destroy_takes_it_away(deployed: Batch, batch: Laptop) -> None:
    # GIVEN the deployed pattern
    # WHEN the demo speaks
    said = batch.client("demo", PATTERN)

    # THEN rows landed, bad ones were set aside with their reasons, and the second run did nothing
    assert "landed" in said.stdout
    assert "earlier row" in said.stdout
    assert "nothing new" in said.stdout

    # AND WHEN it is destroyed THEN buckets, tables and the state machine are gone
    buckets = {deployed.outputs[name].split("/")[2] for name in ("InputUri", "OutputUri")}
    batch.sandbox("destroy", PATTERN)
    assert not exists(batch, PATTERN)
    assert not buckets & {one["Name"] for one in deployed.boto("s3").list_buckets()["Buckets"]}
    assert deployed.outputs["TableName"] not in deployed.boto("dynamodb").list_tables()["TableNames"]
    assert not deployed.boto("stepfunctions").list_state_machines()["stateMachines"]
