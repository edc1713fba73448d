"""A model of Korean reviews as a Lambda function.

It runs the handler functions of the model's `inference`, so that requests and answers are the same as an
endpoint's. Two kinds of events come in:

* direct invocations: the event is the request itself, ``{"inputs": ["...", "..."]}``, and the function
  returns the list of answers; a bad request raises, which Lambda reports as a function error;
* HTTP requests through a function URL or an HTTP API (payload format 2.0): body and ``content-type`` are
  those of an endpoint, and so is the answer; a bad request is answered with its 4xx status.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

_MB_PER_CORE = 1769
"""Memory with which a function has one processor core to itself (Lambda developer guide, memory)."""

# a function sees all processors of its host: a thread for each would wait for its turn most of the time
os.environ.setdefault(
    "OMP_NUM_THREADS",
    str(max(1, int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) // _MB_PER_CORE)),
)

import inference  # noqa: E402 - libraries read it when they are imported
from client_errors import RequestError, refuse  # noqa: E402

_JSON = "application/json"
# once for each execution environment, in its initialisation: no request waits for it
_MODEL = inference.model_fn(os.environ.get("LAMBDA_TASK_ROOT") or str(Path(__file__).parent))


def handler(event: Any, context: object) -> Any:
    """Answer one event.

    Args:
        event: A request, or an HTTP request in payload format 2.0.
        context: Lambda's context; not used.

    Returns:
        The answers, or an HTTP response in payload format 2.0.

    Raises:
        RequestError: A direct request is wrong.
    """
    if isinstance(event, dict) and "requestContext" in event:
        return _answer_http(event)
    body, _ = _predict(json.dumps(event, ensure_ascii=False), _JSON, _JSON)
    return json.loads(body)


def _predict(body: str | bytes, content_type: str | None, accept: str | None) -> tuple[str, str]:
    texts = inference.input_fn(body, content_type)
    return inference.output_fn(inference.predict_fn(texts, _MODEL), accept)


def _answer_http(event: dict[str, Any]) -> dict[str, Any]:
    try:
        _check_method(event)
        # names of headers are in lower case in payload format 2.0
        headers = event.get("headers") or {}
        body, content_type = _predict(_body(event), headers.get("content-type"), headers.get("accept"))
    except RequestError as error:
        words = json.dumps({"error": error.message}, ensure_ascii=False)
        return _response(error.status_code, words, _JSON)
    return _response(HTTPStatus.OK, body, content_type)


def _check_method(event: dict[str, Any]) -> None:
    request = event["requestContext"].get("http")
    if request is None:
        refuse("the event is not in payload format 2.0: set it on the integration")
    if request.get("method") != "POST":
        refuse(f"method {request.get('method')}: send a POST", HTTPStatus.METHOD_NOT_ALLOWED)


def _body(event: dict[str, Any]) -> str | bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        refuse("the body is marked as base64, and is not")


def _response(status: int, body: str, content_type: str) -> dict[str, Any]:
    return {
        "statusCode": int(status),
        "headers": {"content-type": content_type},
        "body": body,
        "isBase64Encoded": False,
    }
