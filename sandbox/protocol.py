"""AWS JSON 1.1: a request comes in, an operation is called, an answer or an error of the service goes out."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol

from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Response:
    """An HTTP answer.

    Args:
        status: HTTP status.
        headers: Names in lower case.
        body: The bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Api(Protocol):
    """An emulated service."""

    async def call(self, operation: str, params: Params, scope: Scope) -> Params:
        """Run an operation.

        Raises:
            ServiceError: The service's own error.
        """


async def answer(api: Api, headers: dict[str, str], body: bytes, scope: Scope) -> Response:
    """Answer a JSON 1.1 request. Never raises but for cancellation: a fault of ours is an InternalFailure.

    Args:
        api: The service that is asked.
        headers: Request headers; ``x-amz-target`` names the operation.
        body: A JSON object; empty means no parameters.
        scope: Account and Region that the request was signed for.
    """
    target = next((value for name, value in headers.items() if name.lower() == "x-amz-target"), "")
    operation = target.rpartition(".")[2]
    try:
        if not operation:
            raise ServiceError(
                "UnknownOperationException", "The request has no X-Amz-Target header that names an operation."
            )
        return _response(200, await api.call(operation, _params(body), scope))
    except ServiceError as error:
        return _failure(error)
    except Exception:
        log.exception("%s failed", operation)
        return _failure(
            ServiceError(
                "InternalFailure",
                f"The sandbox failed while it handled {operation}; its log has the details.",
                status=500,
            )
        )


def _params(body: bytes) -> Params:
    try:
        params = json.loads(body or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "The request body is not valid JSON.") from None
    if not isinstance(params, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object.")
    return params


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _response(status: int, members: Params, **headers: str) -> Response:
    body = json.dumps(members, default=_timestamp, ensure_ascii=False).encode()
    return Response(
        status,
        {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4()), **headers},
        body,
    )


def _failure(error: ServiceError) -> Response:
    members = {"__type": error.code, "message": error.message, **error.fields}
    return _response(error.status, members, **{"x-amzn-errortype": error.code})


def _timestamp(value: Any) -> float:
    """JSON 1.1 writes timestamps as epoch seconds."""
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    raise TypeError(f"{type(value).__name__} has no place in an answer")
