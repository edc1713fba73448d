"""The functions called as the state machine calls them, with a model of the tests' own in the middle."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from sandbox.home import ACCOUNT, REGION
from tests.batch_functions.stores import Store

Json = dict[str, Any]
Model = Callable[[str], Any]
_NUMBERS = itertools.count()
WORKFLOW = "batch-test"


def by_length(text: str) -> Json:
    """A model: what it says can be told from the text."""
    return {"label": "long" if len(text) > 5 else "short", "score": 1 / (1 + len(text))}


class Crash(BaseException):
    """A worker dies; nothing catches it."""


class Flow:
    """A workflow with a bucket of its own.

    Args:
        batch: The functions' modules.
        store: Where rows land.
        patch: For the environment.
        range_bytes: Bytes of a range.
        most: Bytes of a record at most.
    """

    def __init__(
        self,
        batch: SimpleNamespace,
        store: Store,
        patch: pytest.MonkeyPatch,
        *,
        range_bytes: int = 200,
        most: int = 4000,
    ) -> None:
        self.batch, self.store = batch, store
        self.bucket, claims = f"batch-{uuid.uuid4().hex[:8]}", f"claims-{uuid.uuid4().hex[:8]}"
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        boto3.client("dynamodb").create_table(
            TableName=claims,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "claim", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "claim", "KeyType": "HASH"}],
        )
        variables = {
            "WORKFLOW_NAME": WORKFLOW,
            "METRIC_NAMESPACE": "Test/Batch",
            "WORK_BUCKET": self.bucket,
            "OUTPUT_BUCKET": self.bucket,
            "CLAIMS_TABLE_NAME": claims,
            "MODEL_NAME": "model",
            "ID_COLUMN": "id",
            "TEXT_COLUMN": "document",
            "RANGE_BYTES": str(range_bytes),
            "MAX_PAYLOAD_BYTES": str(most),
            "MAX_TEXT_CHARACTERS": "300",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        batch.environment.settings.cache_clear()
        for module in (batch.land, batch.reconcile):
            patch.setattr(module, "open_sink", lambda: store.sink)
        # what is missing in the table is missing at once here
        patch.setattr(batch.reconcile, "time", SimpleNamespace(sleep=lambda seconds: None))

    def put(self, name: str, data: bytes) -> None:
        """Add an input file."""
        self.s3.put_object(Bucket=self.bucket, Key=f"input/{name}", Body=data)

    def event(self, what: str = "", *, force: bool = False, execution: str = "") -> Json:
        """Input of Claim."""
        name = execution or f"run-{next(_NUMBERS):04}"
        return {
            "input": f"s3://{self.bucket}/input/{what}",
            "force": force,
            "trigger": "manual",
            "execution_arn": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{WORKFLOW}:{name}",
            "execution_name": name,
            "started_at": f"2026-11-28T02:{next(_NUMBERS) // 60:02}:{next(_NUMBERS) % 60:02}.000Z",
        }

    def run(
        self, what: str = "", *, model: Model = by_length, status: str = "Completed", **given: Any
    ) -> Json:
        """An execution from its start to its end; what a function raises is raised."""
        claimed = self.call("claim", self.event(what, **given))
        if not claimed["count"]:
            return claimed
        try:
            return self._rest(claimed, model, status)
        except Exception as error:
            cause = {"job_name": claimed["job_name"], "error": type(error).__name__, "cause": str(error)}
            self.call("release", cause)
            raise

    def call(self, duty: str, event: Json) -> Json:
        """Call a function, again and again while it dies, as the state machine does."""
        for _ in range(20):
            try:
                answer = getattr(self.batch, duty).handler(json.loads(json.dumps(event)), _Context())
                return dict(json.loads(json.dumps(answer)))
            except Crash:
                continue
        raise AssertionError(f"{duty} died 20 times")

    def read(self, key: str) -> bytes:
        """An object; empty if there is none."""
        try:
            return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except self.s3.exceptions.NoSuchKey:
            return b""

    def quarantine(self, job: str) -> list[Json]:
        """Rows that were set aside."""
        return [json.loads(line) for line in self.read(f"quarantine/{job}.jsonl").splitlines()]

    def _rest(self, claimed: Json, model: Model, status: str) -> Json:
        job = claimed["job_name"]
        ranges = json.loads(self.read(f"work/{job}/ranges.json"))
        for wanted in ranges:
            self.call("prepare", {"job_name": job, "range": wanted})
        self._transform(job, model)
        for landings in itertools.count(1):
            for wanted in ranges:
                event = {"job_name": job, "range": wanted, "started_at": claimed["started_at"]}
                self.call("land", event)
            reason = "" if status == "Completed" else "the model server ran out of memory"
            report = self.call(
                "reconcile",
                {
                    "job_name": job,
                    "transform": {"status": status, "failure_reason": reason, "landings": landings},
                    "started_at": claimed["started_at"],
                    "ended_at": claimed["started_at"],
                },
            )
            if not report["recount"]:
                return report
        raise AssertionError

    def _transform(self, job: str, model: Model) -> None:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"work/{job}/prepared/")
        for key in [entry["Key"] for entry in listed.get("Contents", [])]:
            out = []
            for line in self.read(key).splitlines():
                row = json.loads(line)
                out.append(json.dumps({"id": row["id"], "SageMakerOutput": model(row["text"])}))
            if out:
                name = key.rsplit("/", 1)[-1]
                body = "".join(f"{line}\n" for line in out).encode()
                self.s3.put_object(Bucket=self.bucket, Key=f"output/{job}/{name}.out", Body=body)


@contextmanager
def dying(batch: SimpleNamespace, calls: set[int]) -> Iterator[list[str]]:
    """While it lasts, the functions die at these of their calls to AWS: even ones before the call is carried
    out, odd ones after, and these are taken out of the set. Yields the names of all calls."""
    seen: list[str] = []

    def before(model: Any, **rest: Any) -> None:
        seen.append(model.name)
        if len(seen) in calls and len(seen) % 2 == 0:
            calls.discard(len(seen))
            raise Crash

    def after(**rest: Any) -> None:
        if len(seen) in calls and len(seen) % 2 == 1:
            calls.discard(len(seen))
            raise Crash

    clients = [batch.environment.client(name) for name in ("s3", "dynamodb", "rds-data", "cloudwatch")]
    for client in clients:
        client.meta.events.register("before-call", before)
        client.meta.events.register("after-call", after)
    try:
        yield seen
    finally:
        for client in clients:
            client.meta.events.unregister("before-call", before)
            client.meta.events.unregister("after-call", after)


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 600_000
