"""ministack's DynamoDB: tables of templates, of which it forgets a part, and batches, which are slow."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params

Handler = Callable[..., Any]

TYPES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")


def repair_tables(provisioners: ModuleType) -> None:
    """Let tables of templates have their encryption, expiry of items and point-in-time recovery.

    ministack's own CreateTable and the operations beside it know them; its CloudFormation drops them.
    """
    for resource_type in TYPES:
        handlers = provisioners._RESOURCE_HANDLERS[resource_type]
        provisioners._RESOURCE_HANDLERS[resource_type] = handlers | {
            "create": _completed(handlers["create"], lambda arguments: arguments[1]),
            "update": _completed(handlers["update"], lambda arguments: arguments[2]),
        }


def _completed(
    make: Callable[..., Any], properties: Callable[[tuple[Any, ...]], Params]
) -> Callable[..., Any]:
    @functools.wraps(make)
    def complete(*arguments: Any, **named: Any) -> Any:
        made = make(*arguments, **named)
        _complete(made[0], properties(arguments))
        return made

    return complete


def _complete(name: str, props: Params) -> None:
    dynamodb = module("services.dynamodb")
    replica: Params = next(iter(props.get("Replicas", [])), {})
    encryption = dict(props.get("SSESpecification", {})) | replica.get("SSESpecification", {})
    if encryption:
        # a template that names a key needs no SSEType
        dynamodb._tables[name]["SSEDescription"] = dynamodb._sse_description_from_spec(
            {"Enabled": encryption.get("SSEEnabled", True), **encryption}
        )
    recovery = props.get("PointInTimeRecoverySpecification") or replica.get(
        "PointInTimeRecoverySpecification"
    )
    if recovery:
        request = {"TableName": name, "PointInTimeRecoverySpecification": recovery}
        _require(dynamodb._update_continuous_backups(request))
    expiry = props.get("TimeToLiveSpecification")
    if expiry:
        _require(dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": expiry}))


def _require(answer: tuple[int, Any, Any]) -> None:
    if answer[0] >= 300:
        raise ValueError(json.loads(answer[2]).get("message", "DynamoDB refuses it"))


# ids of the items of a batch that are found valid; None outside of a batch whose capacity nobody asks for
_VALID: ContextVar[set[int] | None] = ContextVar("valid_items", default=None)


def quicken_batch_writes(dynamodb: Any) -> None:
    """Check each item of BatchWriteItem once, and reckon its capacity only for who asks for it.

    ministack checks each twice and measures it thrice, which takes half of the time of a batch.
    """
    write, validate = dynamodb._batch_write_item, dynamodb._validate_item
    account = dynamodb._accumulate_write_capacity

    @functools.wraps(write)
    def batch_write_item(data: Params) -> Any:
        if data.get("ReturnConsumedCapacity", "NONE") != "NONE":
            return write(data)
        reset = _VALID.set(set())
        try:
            return write(data)
        finally:
            _VALID.reset(reset)

    @functools.wraps(validate)
    def validate_item(item: Any, *names: Any) -> Any:
        valid = _VALID.get()
        if valid is None:
            return validate(item, *names)
        if id(item) in valid:
            return None
        finding = validate(item, *names)
        if finding is None:
            valid.add(id(item))
        return finding

    @functools.wraps(account)
    def accumulate(*arguments: Any) -> None:
        if _VALID.get() is None:
            account(*arguments)

    dynamodb._batch_write_item = batch_write_item
    dynamodb._validate_item = validate_item
    dynamodb._accumulate_write_capacity = accumulate
