"""One request to a Lambda function, through the Lambda API or over its HTTP front, and what came back."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from client.connection import READ_TIMEOUT_SECONDS, Connection, is_loopback
from client.errors import UserError
from client.invocation import Answer, model_message
from client.patterns import DeployedPattern
from client.payloads import Payload, media_type

_JSON = "application/json"
# of the line REPORT (Lambda developer guide, logs)
_INIT_DURATION = re.compile(r"^REPORT .*\bInit Duration: ([\d.]+) ms", re.MULTILINE)
# what a front's requests are signed for (Lambda developer guide, function URLs; API Gateway guide, IAM)
_SIGNED_FOR = {"function_url": "lambda", "http_api": "execute-api"}


def invoke_function(connection: Connection, deployed: DeployedPattern, payload: Payload) -> Answer:
    """Send one request through the Lambda API, to the version behind the alias.

    Args:
        connection: Where to.
        deployed: The pattern, whose outputs name the alias.
        payload: What to send; JSON, which Lambda's events are.

    Raises:
        UserError: It is not JSON, or the function refused or failed.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: Lambda refused, or gave no answer.
    """
    if media_type(payload.content_type) != _JSON:
        raise UserError(
            f"A Lambda event is JSON, not {payload.content_type}", "Send JSON, or other types with --http."
        )
    start = time.perf_counter()
    try:
        # only the log says whether an environment had to be started
        answer = connection.client("lambda").invoke(
            FunctionName=function_arn(deployed), Payload=payload.body, LogType="Tail"
        )
        body = answer["Payload"].read()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise UserError(
                f"The function is not there any more: {error.response['Error'].get('Message', '')}",
                "It was deleted past the stack: deploy again.",
            ) from error
        raise
    if answer.get("FunctionError"):
        raise UserError(f"The function failed: {_failure(body)}", _logs(deployed))
    version = str(answer.get("ExecutedVersion") or "")
    latency_ms = (time.perf_counter() - start) * 1000
    return Answer(body, _JSON, version, latency_ms, init_ms=_init_ms(answer.get("LogResult", "")))


def invoke_http(
    connection: Connection, deployed: DeployedPattern, payload: Payload, accept: str | None = None
) -> Answer:
    """Send one request to the function's HTTP front, signed with SigV4.

    Raises:
        UserError: There is no front, or it or the function refused or failed.
        botocore.exceptions.BotoCoreError: No credentials, or no answer.
    """
    url = deployed.outputs.get("HttpUrl", "")
    service = _SIGNED_FOR.get(deployed.outputs.get("HttpFront", "function_url"))
    if not url or service is None:
        raise UserError(
            f"Stack {deployed.stack_name} has no HTTP front",
            "Set patterns.lambda.http to function_url or http_api, deploy again; or leave --http out.",
        )
    if urlsplit(url).scheme != "https" and not is_loopback(url):
        raise UserError(f"{url} is neither https nor on this machine: nothing was sent there")
    headers = {"Content-Type": payload.content_type, **({"Accept": accept} if accept else {})}
    request = AWSRequest("POST", url, headers=headers, data=payload.body)
    SigV4Auth(connection.credentials, service, connection.region).add_auth(request)
    session = URLLib3Session(verify=connection.ca_bundle or True, timeout=READ_TIMEOUT_SECONDS)
    start = time.perf_counter()
    try:
        response = session.send(request.prepare())
        body, status = response.content, response.status_code
    finally:
        session.close()
    if status != 200:
        raise UserError(
            f"{url} answered {status}: {model_message(body.decode(errors='replace'))}", _logs(deployed)
        )
    kind = str(response.headers.get("content-type", ""))
    return Answer(body, kind, "", (time.perf_counter() - start) * 1000)


def function_arn(deployed: DeployedPattern) -> str:
    """ARN of the alias that is called.

    Raises:
        UserError: The stack names none.
    """
    arn = deployed.outputs.get("FunctionArn")
    if arn:
        return arn
    raise UserError(
        f"Stack {deployed.stack_name} names no function in its outputs; it is {deployed.stack_status}",
        "If its deployment failed, look at the stack's events, correct the cause, deploy again.",
    )


def _init_ms(log_result: str) -> float | None:
    """What the report at a log's end says of the start of an environment; None if there was none."""
    found = _INIT_DURATION.search(b64decode(log_result).decode(errors="replace"))
    return float(found[1]) if found else None


def _failure(body: bytes) -> str:
    """What a function error says: its type and its message."""
    try:
        value = json.loads(body)
        return f"{value.get('errorType', 'error')}: {value.get('errorMessage', '')}"
    except (ValueError, AttributeError):
        return body.decode(errors="replace")


def _logs(deployed: DeployedPattern) -> str:
    name = deployed.outputs.get("FunctionName", "")
    return f"Logs: CloudWatch log group /aws/lambda/{name}"
