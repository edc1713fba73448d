"""Landing rows in DynamoDB: against one PutItem for each row, by memory, and by how they are shared out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from benchmarks.processes import ROOT, BenchmarkFailed, free_port, own_sandbox, sandbox_status, seconds
from benchmarks.report import Figure, paired
from sandbox.home import ACCOUNT, REGION, SECRET

CODE = ROOT / "model_code" / "batch"
PUT_ROWS, LANDED_ROWS, SHARED_ROWS = 1_000, 10_000, 5_000
FEW, MANY = 50_000, 500_000
SMALL, RANGES = 25, 4
STARTED = "2026-11-28T02:30:00.000Z"


def measure(runs: int) -> list[Figure]:
    """Alternate landing with plain puts; share rows out in two ways; land a small and a large part."""
    with own_sandbox() as environment:
        seconds([sys.executable, "-m", "sandbox", "up", "--port", str(free_port())], environment=environment)
        bench = _Bench(sandbox_status(environment)["gateway"])
        puts, landings = [], []
        for _ in range(runs):
            puts.append(bench.put_rate(PUT_ROWS))
            landings.append(bench.landing(LANDED_ROWS).rate)
        by_25 = bench.shared_rate(SHARED_ROWS, SMALL)
        ranged = bench.shared_rate(SHARED_ROWS, SHARED_ROWS // RANGES)
        few, many = bench.landing(FEW), bench.landing(MANY)
    return [
        paired(
            "sink, landing",
            landings,
            puts,
            unit="rows/s",
            baseline_name="(one put_item a row)",
            target=5,
            at_most=False,
            target_is_ratio=True,
        ),
        paired(
            f"sink, {RANGES} ranged workers of a map",
            [ranged],
            [by_25],
            unit="rows/s",
            baseline_name=f"(a child for each {SMALL} rows)",
        ),
        paired(
            f"sink, peak memory of {MANY:,} rows",
            [many.peak_mb],
            [few.peak_mb],
            unit="MB",
            baseline_name=f"({FEW:,} rows)",
            target=150,
        ),
    ]


class _Landing:
    def __init__(self, told: Mapping[str, Any], rows: int) -> None:
        if told["landed"] != rows:
            raise BenchmarkFailed(f"{told['landed']} of {rows} rows have landed")
        self.rate, self.peak_mb = rows / told["seconds"], told["peak_mb"]


class _Bench:
    """A table, a bucket and the function in a sandbox."""

    def __init__(self, gateway: str) -> None:
        self._variables = {
            "AWS_ENDPOINT_URL": gateway,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }
        self._s3, self._dynamodb = self._client("s3"), self._client("dynamodb")
        self._bucket, self._table = "bench-sink", "bench-rows"
        self._s3.create_bucket(Bucket=self._bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        names = ("record_id", "job_shard")
        self._dynamodb.create_table(
            TableName=self._table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": "record_id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-job",
                    "KeySchema": [
                        {"AttributeName": "job_shard", "KeyType": "HASH"},
                        {"AttributeName": "record_id", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["label", "score"]},
                }
            ],
        )
        self._settings = {
            "WORKFLOW_NAME": "bench",
            "METRIC_NAMESPACE": "Bench",
            "WORK_BUCKET": self._bucket,
            "OUTPUT_BUCKET": self._bucket,
            "CLAIMS_TABLE_NAME": "none",
            "MODEL_NAME": "none",
            "ID_COLUMN": "id",
            "TEXT_COLUMN": "text",
            "RANGE_BYTES": "8388608",
            "MAX_PAYLOAD_BYTES": "1048576",
            "MAX_TEXT_CHARACTERS": "10000",
            "SINK": "dynamodb",
            "TABLE_NAME": self._table,
            "INDEX_NAME": "by-job",
            "INDEX_SHARDS": "16",
            "TTL_DAYS": "",
        }
        self._machine = ""

    def put_rate(self, rows: int) -> float:
        """Rows a second by one PutItem each, with the attributes that landing writes."""
        job = uuid.uuid4().hex[:8]
        started = time.perf_counter()
        for number in range(rows):
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "record_id": {"S": f"{job}-{number}"},
                    "label": {"S": "positive"},
                    "score": {"N": "0.9871"},
                    "job": {"S": job},
                    "job_started_at": {"S": STARTED},
                    "job_shard": {"S": f"{job}#{number % 16}"},
                    "source": {"S": "s3://in/input/one.txt"},
                    "source_offset": {"N": str(number)},
                    "content": {"S": "0123456789abcdef"},
                },
            )
        return rows / (time.perf_counter() - started)

    def landing(self, rows: int) -> _Landing:
        """A part of so many rows, landed by a process of its own."""
        job = uuid.uuid4().hex[:8]
        wanted = self._part(job, 0, 0, rows)
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("land_worker.py"), json.dumps(_event(job, wanted))],
            env={**os.environ, **self._variables, **self._settings},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkFailed(f"the worker ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return _Landing(json.loads(done.stdout), rows)

    def shared_rate(self, rows: int, each: int) -> float:
        """Rows a second by a distributed map whose children land so many rows each."""
        job = uuid.uuid4().hex[:8]
        parts = [self._part(job, n, n * each, each) for n in range(rows // each)]
        # new workers start first, outside of what is timed
        warm = [self._part(f"{job}w", n, n, 1) for n in range(RANGES)]
        for timed in (False, True):
            events = [_event(job if timed else f"{job}w", one) for one in (parts if timed else warm)]
            took = self._map(events)
        return rows / took

    def _map(self, events: list[dict[str, Any]]) -> float:
        states = self._client("stepfunctions")
        self._machine = self._machine or self._make_machine(states)
        started = time.perf_counter()
        execution = states.start_execution(
            stateMachineArn=self._machine, input=json.dumps({"items": events})
        )["executionArn"]
        while (told := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            time.sleep(0.02)
        if told["status"] != "SUCCEEDED":
            raise BenchmarkFailed(f"the map {told['status']}: {told.get('cause')}")
        return time.perf_counter() - started

    def _make_machine(self, states: Any) -> str:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted(CODE.glob("*.py")):
                archive.write(path, path.name)
        function = self._client("lambda").create_function(
            FunctionName="bench-land",
            Runtime="python3.13",
            Handler="land.handler",
            Role="arn:aws:iam::000000000000:role/bench",
            Code={"ZipFile": packed.getvalue()},
            Timeout=900,
            MemorySize=1769,
            Environment={"Variables": self._settings},
        )["FunctionArn"]
        land = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": function, "Payload.$": "$"},
            "End": True,
        }
        processor = {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Land",
            "States": {"Land": land},
        }
        shared = {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": RANGES,
            "ItemProcessor": processor,
            "ResultPath": None,
            "End": True,
        }
        return str(
            states.create_state_machine(
                name="bench-land",
                definition=json.dumps({"StartAt": "Share", "States": {"Share": shared}}),
                roleArn="arn:aws:iam::000000000000:role/bench",
            )["stateMachineArn"]
        )

    def _part(self, job: str, index: int, first: int, rows: int) -> dict[str, Any]:
        """Everything that Land reads of a part of so many rows, as Prepare and the transform job leave it."""
        part = f"part-{index:06d}"
        numbers = range(first, first + rows)
        answers = (
            f'{{"id":"{job}-{n}","SageMakerOutput":{{"label":"positive","score":0.{n:06d}}}}}\n'
            for n in numbers
        )
        sources = (f"{n * 80} {n - first + 1} 0123456789abcdef\n" for n in numbers)
        for key, body in (
            (f"output/{job}/{part}.jsonl.out", "".join(answers)),
            (f"work/{job}/sources/{part}.txt", "".join(sources)),
            (f"work/{job}/prepared-reports/{part}.json", json.dumps({"index": index, "prepared": rows})),
        ):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body.encode())
        place = {"bucket": self._bucket, "key": "input/one.txt", "etag": "e", "format": "tsv"}
        return {"index": index, "start": first * 80, "end": (first + rows) * 80, "size": 1, **place}

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._variables["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key=SECRET,
        )


def _event(job: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"job_name": job, "range": wanted, "started_at": STARTED}
