"""ministack's DynamoDB tables of templates: what it takes and forgets."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
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
