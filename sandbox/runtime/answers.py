"""Answers as SageMaker Runtime words them: errors of the service and errors of the model."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sandbox.errors import ServiceError
from sandbox.store import Endpoint

TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {container}. "
    "Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)
LOST = "The container closed the connection before it had answered."
TOO_LARGE = "The response of the container exceeds {limit} bytes."

# statuses in which an endpoint takes requests
SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})

# of a model's error body; a page of HTML fits, 25 MB do not
MAX_ORIGINAL_MESSAGE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Args:
        status: HTTP status.
        headers: Names in lower case.
        body: The body.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def log_group(endpoint_name: str) -> str:
    """The log group of an endpoint's containers and failed invocations."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def error_reply(error: ServiceError) -> Reply:
    """An error in the REST-JSON protocol, which botocore parses into the modelled exception."""
    body = json.dumps({**error.fields, "Message": error.message}).encode()
    return Reply(
        error.status,
        [
            (b"content-type", b"application/json"),
            (b"x-amzn-errortype", error.code.encode("ascii", "replace")),
        ],
        body,
    )


def model_error(endpoint: Endpoint, container: str, status: int, message: str) -> ServiceError:
    """The ModelError (424) for what a container answered or failed to answer.

    Args:
        endpoint: The endpoint.
        container: ``primary``, or the container's hostname.
        status: Status of the container; 0 if it gave none.
        message: The body of the container, or what went wrong.
    """
    scope = endpoint.scope
    client_error = 400 <= status < 500
    group = log_group(endpoint.name)
    message = message[:MAX_ORIGINAL_MESSAGE]
    return ServiceError(
        "ModelError",
        f"Received {'client' if client_error else 'server'} error ({status}) from {container} with message "
        f'"{message}". See https://{scope.region}.console.aws.amazon.com/cloudwatch/home?region={scope.region}'
        f"#logEventViewer:group={group} in account {scope.account} for more information.",
        424,
        ErrorCode="CLIENT_ERROR_FROM_MODEL" if client_error else "SERVER_ERROR_FROM_MODEL",
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn=scope.arn(f"log-group:{group}", service="logs"),
    )


def not_found(endpoint_name: str, account: str) -> ServiceError:
    """The endpoint does not exist."""
    return ServiceError("ValidationError", f"Endpoint {endpoint_name} of account {account} not found.")


def not_serving(endpoint: Endpoint) -> ServiceError:
    """The endpoint exists, but takes no invocations in its status."""
    return ServiceError(
        "ValidationError",
        f"Endpoint {endpoint.name} of account {endpoint.scope.account} cannot be invoked: "
        f"its status is {endpoint.status}, not InService.",
    )


def no_instance(endpoint: Endpoint, variant: str) -> ServiceError:
    """No instance took the request within its time limit."""
    return ServiceError(
        "ServiceUnavailable",
        f"No instance of production variant {variant} of endpoint {endpoint.name} is in service.",
        503,
    )


def too_large(limit: int) -> ServiceError:
    """The request has too large a body."""
    return ServiceError("ValidationError", f"HTTP content length exceeded {limit} bytes.", 413)


def throttled(endpoint: Endpoint, limit: int) -> ServiceError:
    """A serverless endpoint works on as many requests as its MaxConcurrency allows (API reference, "Common
    errors": ThrottlingException, 400).
    """
    return ServiceError(
        "ThrottlingException",
        f"Rate exceeded: endpoint {endpoint.name} processes at most {limit} requests at a time "
        "(MaxConcurrency).",
    )


def not_ready(endpoint: Endpoint, why: str) -> ServiceError:
    """A serverless container was not there in time."""
    return ServiceError(
        "ModelNotReadyException",
        f"The resources of endpoint {endpoint.name} are still being provisioned. Wait and try your request "
        f"again. {why}",
        429,
    )


def not_asynchronous(endpoint: Endpoint) -> ServiceError:
    """InvokeEndpointAsync of an endpoint whose configuration has no AsyncInferenceConfig."""
    return ServiceError(
        "ValidationError",
        f"Endpoint {endpoint.name} of account {endpoint.scope.account} is not asynchronous "
        "and does not support InvokeEndpointAsync. Use InvokeEndpoint.",
    )


def only_asynchronous(endpoint: Endpoint) -> ServiceError:
    """InvokeEndpoint or its streamed form of an asynchronous endpoint."""
    return ServiceError(
        "ValidationError",
        f"Endpoint {endpoint.name} of account {endpoint.scope.account} is an asynchronous endpoint "
        "and does not support InvokeEndpoint. Use InvokeEndpointAsync.",
    )
