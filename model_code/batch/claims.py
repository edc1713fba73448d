"""Who took which object: an entry for each object, its content and the model that scores it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError
from environment import client, settings
from inputs import Object

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
_THREADS = 16
# of DescribeExecution: nobody works on it any more, unless somebody redrives it
_GOES_ON = frozenset({"RUNNING", "PENDING_REDRIVE"})


def key_of(found: Object) -> str:
    """The claim on an object: where it is, what it contains, and which model scores it."""
    return f"{found.place}#{found.etag.strip(chr(34))}#{settings().model}"


def take(objects: Iterable[Object], *, execution_arn: str, job_name: str, force: bool) -> list[Object]:
    """Claim objects for an execution.

    Args:
        objects: Which ones.
        execution_arn: Who claims them; those that it holds already are its own.
        job_name: Its job.
        force: Whether to take what was completed before, too.

    Returns:
        Those that nobody has completed and nobody works on.
    """
    wanted = list(objects)

    def taken(found: Object) -> bool:
        return _take(key_of(found), execution_arn, job_name, force)

    with ThreadPoolExecutor(_THREADS) as threads:
        return [found for found, ours in zip(wanted, threads.map(taken, wanted), strict=True) if ours]


def mark(keys: Iterable[str], status: str, *, job_name: str, only_running: bool = False) -> None:
    """Note what came of claims.

    Args:
        keys: Which ones.
        status: `COMPLETED` or `FAILED`.
        job_name: Whose they are; those of others are left alone.
        only_running: Leave alone what was noted before.
    """
    condition = "job = :job" + (" AND #status = :running" if only_running else "")
    values: dict[str, Any] = {":job": {"S": job_name}, ":status": {"S": status}}
    if only_running:
        values[":running"] = {"S": RUNNING}

    def note(key: str) -> None:
        try:
            client("dynamodb").update_item(
                TableName=settings().claims_table,
                Key={"claim": {"S": key}},
                UpdateExpression="SET #status = :status",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(note, keys))


def _take(key: str, execution_arn: str, job_name: str, force: bool) -> bool:
    for _ in range(3):  # another execution may come between looking and taking
        holder = client("dynamodb").get_item(
            TableName=settings().claims_table, Key={"claim": {"S": key}}, ConsistentRead=True
        ).get("Item")  # fmt: skip
        if holder and not _may_take(holder, execution_arn, force):
            return False
        if _put(key, execution_arn, job_name, holder):
            return True
    return False


def _may_take(holder: dict[str, Any], execution_arn: str, force: bool) -> bool:
    owner, status = holder["execution_arn"]["S"], holder["status"]["S"]
    if owner == execution_arn or status == FAILED:
        return True
    if status == COMPLETED:
        return force
    return not _goes_on(owner)


def _put(key: str, execution_arn: str, job_name: str, holder: dict[str, Any] | None) -> bool:
    """Take a claim from the holder that was seen; False if it is another one now."""
    request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(claim)"}
    if holder:
        request = {
            "ConditionExpression": "execution_arn = :owner AND #status = :seen",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":owner": holder["execution_arn"], ":seen": holder["status"]},
        }
    try:
        client("dynamodb").put_item(
            TableName=settings().claims_table,
            Item={
                "claim": {"S": key},
                "execution_arn": {"S": execution_arn},
                "job": {"S": job_name},
                "status": {"S": RUNNING},
            },
            **request,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


def _goes_on(execution_arn: str) -> bool:
    try:
        status = client("stepfunctions").describe_execution(executionArn=execution_arn)["status"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return False
        raise
    return status in _GOES_ON
