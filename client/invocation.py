"""One request to an endpoint through boto3's ``sagemaker-runtime``, and what came back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import urllib3
from botocore.exceptions import ClientError, EventStreamError, HTTPClientError

from client.connection import Connection
from client.errors import UserError
from client.payloads import Payload


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered.

    Args:
        body: The bytes.
        content_type: Their media type.
        variant: The production variant that answered; empty if the service did not say.
        latency_ms: Milliseconds from the call to the last byte, as this client saw them.
        first_byte_ms: Milliseconds to the first part of a streamed answer; None if it was not streamed.
        parts: Parts that a streamed answer came in; None if it was not streamed.
        init_ms: Milliseconds that a Lambda environment was started in for this call; None if one was there.
    """

    body: bytes
    content_type: str
    variant: str
    latency_ms: float
    first_byte_ms: float | None = None
    parts: int | None = None
    init_ms: float | None = None


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Args:
        endpoint_name: The endpoint.
        variant: A production variant, past the traffic weights; None leaves the choice to the weights.
        accept: Media type wanted back; None leaves the choice to the model.
        container: Hostname of the container that answers; an endpoint in Direct mode wants one, others none.
    """

    endpoint_name: str
    variant: str | None = None
    accept: str | None = None
    container: str | None = None

    def parameters(self, payload: Payload) -> dict[str, Any]:
        """The request's members, as API ``InvokeEndpoint`` names them."""
        optional = {
            "TargetVariant": self.variant,
            "Accept": self.accept,
            "TargetContainerHostname": self.container,
        }
        return {
            "EndpointName": self.endpoint_name,
            "Body": payload.body,
            "ContentType": payload.content_type,
            **{name: value for name, value in optional.items() if value},
        }


def invoke(connection: Connection, target: Target, payload: Payload) -> Answer:
    """Send one request and wait for the whole answer.

    Raises:
        UserError: The endpoint or its model refused or failed.
        botocore.exceptions.BotoCoreError: No answer.
    """
    client = connection.client("sagemaker-runtime")
    start = time.perf_counter()
    try:
        answer = client.invoke_endpoint(**target.parameters(payload))
        body = answer["Body"].read()
    except ClientError as error:
        raise explain_refusal(error, target) from error
    return Answer(
        body=body,
        content_type=answer.get("ContentType", ""),
        variant=answer.get("InvokedProductionVariant", ""),
        latency_ms=(time.perf_counter() - start) * 1000,
    )


def invoke_streaming(
    connection: Connection, target: Target, payload: Payload, on_part: Callable[[bytes], None]
) -> Answer:
    """Send one request and take the answer in parts, as the model makes them.

    Args:
        connection: Where to send it.
        target: Which endpoint.
        payload: What to send.
        on_part: Called with each part as it arrives.

    Raises:
        UserError: The endpoint or its model refused, failed, or broke off.
        botocore.exceptions.BotoCoreError: No answer.
    """
    client = connection.client("sagemaker-runtime")
    start = time.perf_counter()
    parts: list[bytes] = []
    first: float | None = None
    try:
        answer = client.invoke_endpoint_with_response_stream(**target.parameters(payload))
        with closing(answer["Body"]) as events:
            for event in events:
                part = event.get("PayloadPart", {}).get("Bytes", b"")
                if first is None:
                    first = (time.perf_counter() - start) * 1000
                parts.append(part)
                on_part(part)
    except (ClientError, EventStreamError) as error:
        raise explain_refusal(error, target) from error
    except (
        HTTPClientError,
        urllib3.exceptions.HTTPError,
    ) as error:  # botocore lets the latter pass in a stream
        if not parts and isinstance(error, HTTPClientError):
            raise
        raise UserError(f"The stream broke off after {parts_of(len(parts))}: {error}") from error
    return Answer(
        body=b"".join(parts),
        content_type=answer.get("ContentType", ""),
        variant=answer.get("InvokedProductionVariant", ""),
        latency_ms=(time.perf_counter() - start) * 1000,
        first_byte_ms=first,
        parts=len(parts),
    )


def parts_of(count: int) -> str:
    """A number of parts, in words."""
    return f"{count} part{'' if count == 1 else 's'}"


def log_group(endpoint_name: str) -> str:
    """Where the containers of an endpoint log to."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def model_message(text: str) -> str:
    """The model's own words: without the JSON and the traceback that AWS's toolkits wrap them in."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        messages = (value.get(key) for key in ("message", "error", "errorMessage", "Message"))
        text = next((message for message in messages if isinstance(message, str)), text)
    words, traceback, rest = text.partition("Traceback (most recent call last):")
    if not traceback:
        return text
    # the traceback itself is in the logs; its last line names the error
    return words.strip() or rest.strip().rpartition("\n")[2]


def explain_refusal(error: ClientError, target: Target) -> ClientError | UserError:
    """Put the runtime's own error codes into words; others are passed on as they are."""
    details = error.response.get("Error", {})
    code, text = str(details.get("Code", "")), str(details.get("Message", ""))
    logs = f"Logs: CloudWatch log group {log_group(target.endpoint_name)}"
    if code in ("ModelError", "ModelStreamError", "InternalStreamFailure"):
        status = error.response.get("OriginalStatusCode")
        words = model_message(error.response.get("OriginalMessage") or text)
        where = f"{logs}\n{error.response['LogStreamArn']}" if error.response.get("LogStreamArn") else logs
        answered = f"The model answered {status}" if status else "The model failed"
        return UserError(f"{answered}: {words}", where)
    if code == "ModelNotReadyException":
        return UserError(f"The model is not ready yet: {text}", "Wait a moment and try again.")
    if code == "ValidationError":
        return UserError(
            f"The endpoint refused the request: {text}", f"It went to endpoint {target.endpoint_name}."
        )
    if code in ("InternalFailure", "ServiceUnavailable", "InternalDependencyException"):
        return UserError(f"The endpoint failed with {code}: {text}", logs)
    return error
