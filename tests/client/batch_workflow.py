"""A batch workflow of nobody's account: what S3, Step Functions and DynamoDB say about it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tests.client.fakes import ScriptedAws, stack

MACHINE = "arn:aws:states:ap-northeast-2:000000000000:stateMachine:batch-dev"
OUTPUTS = {
    "StateMachineArn": MACHINE,
    "InputUri": "s3://in/input/",
    "OutputUri": "s3://results/output/",
    "QuarantineUri": "s3://results/quarantine/",
    "IdColumn": "id",
    "TextColumn": "document",
    "TableName": "rows",
}
STARTED = datetime(2026, 11, 28, 9, tzinfo=UTC)
JOB = "batch-dev-job"


class BatchWorkflow:
    """Its executions end at once; what they say is set by the test.

    Args:
        aws: Where it answers.
        outputs: The stack's.
    """

    def __init__(self, aws: ScriptedAws, outputs: dict[str, str] | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.started: list[dict[str, Any]] = []
        self.ending: dict[str, Any] = {"status": "SUCCEEDED", "output": json.dumps(report())}
        self.looks_before_the_end = 0
        self.state = "Land"
        self._aws = aws
        aws.deploy(stack("batch", "BatchInference", outputs=OUTPUTS if outputs is None else outputs))
        aws.answers |= {
            "HeadObject": self._head,
            "PutObject": self._put,
            "GetObject": self._get,
            "ListObjectsV2": self._list,
            "StartExecution": self._start,
            "DescribeExecution": self._describe,
            "GetExecutionHistory": self._history,
            "DescribeStateMachine": {"status": "ACTIVE"},
            "ListExecutions": self._executions,
            "BatchGetItem": self._items,
        }

    def land(self, record_id: str, label: str, offset: int, score: float = 0.9) -> None:
        """A row in the table."""
        self.rows[record_id] = {
            "record_id": {"S": record_id},
            "label": {"S": label},
            "score": {"N": str(score)},
            "job": {"S": JOB},
            "job_started_at": {"S": "2026-11-28T09:00:00Z"},
            "source": {"S": "s3://in/input/reviews.tsv"},
            "source_offset": {"N": str(offset)},
        }

    def _head(self, params: dict[str, Any]) -> Any:
        if _key(params) not in self.objects:
            return ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")
        return {"ContentLength": len(self.objects[_key(params)])}

    def _put(self, params: dict[str, Any]) -> dict[str, Any]:
        self.objects[_key(params)] = params["body"].read()
        return {}

    def _get(self, params: dict[str, Any]) -> Any:
        if _key(params) not in self.objects:
            return ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        content = self.objects[_key(params)]
        return {"Body": _Body(content)}

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        prefix = params["query_string"]["prefix"]
        return {"Contents": [{"Key": key} for key in self.objects if key.startswith(prefix)]}

    def _start(self, params: dict[str, Any]) -> dict[str, Any]:
        self.started.append(json.loads(params["body"]))
        name = self.started[-1]["name"]
        return {
            "executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:{name}",
            "startDate": STARTED,
        }

    def _describe(self, params: dict[str, Any]) -> dict[str, Any]:
        arn = json.loads(params["body"])["executionArn"]
        given = self.started[-1]["input"] if self.started else "{}"
        common = {"executionArn": arn, "name": arn.rsplit(":", 1)[-1], "startDate": STARTED, "input": given}
        if self.looks_before_the_end > 0:
            self.looks_before_the_end -= 1
            return {**common, "status": "RUNNING"}
        return {**common, "stopDate": STARTED + timedelta(seconds=12.5), **self.ending}

    def _history(self, params: dict[str, Any]) -> dict[str, Any]:
        state = {"job_name": JOB}
        return {
            "events": [
                {
                    "timestamp": STARTED,
                    "type": "MapStateEntered",
                    "id": 9,
                    "stateEnteredEventDetails": {"name": self.state, "input": json.dumps(state)},
                }
            ]
        }

    def _executions(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "executions": [
                {"executionArn": f"{MACHINE}:{one['name']}", "name": one["name"], "startDate": STARTED}
                for one in self.started
            ]
        }

    def _items(self, params: dict[str, Any]) -> dict[str, Any]:
        keys = json.loads(params["body"])["RequestItems"]["rows"]["Keys"]
        assert len(keys) <= 100
        wanted = [key["record_id"]["S"] for key in keys]
        assert len(set(wanted)) == len(wanted)
        return {"Responses": {"rows": [self.rows[one] for one in wanted if one in self.rows]}}


def report(**changes: Any) -> dict[str, Any]:
    """What an execution gives back."""
    return {
        "job_name": JOB,
        "input_rows": 4,
        "landed": 3,
        "same": 0,
        "superseded": 0,
        "unanswered": 0,
        "quarantined": 1,
        "in_table": 3,
        "missing_parts": [],
        "quarantine_uri": f"s3://results/quarantine/{JOB}.jsonl",
        **changes,
    }


class _Body(io.BytesIO):
    """As botocore gives an object's content."""

    def iter_lines(self) -> Any:
        return iter(self.getvalue().splitlines())


def _key(params: dict[str, Any]) -> str:
    return str(params["url_path"]).lstrip("/")
