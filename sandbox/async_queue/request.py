"""What the queue holds: requests, how they end, what is told of it; as plain JSON for the journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from sandbox.store import Params

Status = Literal["Completed", "Failed", "Expired"]

# API_runtime_InvokeEndpointAsync: what holds when the request names none
DEFAULT_TTL_SECONDS = 21_600
DEFAULT_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Submission:
    """What InvokeEndpointAsync asks for, its form checked.

    Args:
        input_location: InputLocation; None with a body.
        body: The body; None with an InputLocation.
        inference_id: InferenceId; the sandbox makes one for None.
        content_type: ContentType.
        accept: Accept.
        custom_attributes: CustomAttributes.
        ttl_seconds: RequestTTLSeconds.
        timeout_seconds: InvocationTimeoutSeconds.
        extension: S3OutputPathExtension.
        filename: Filename.
    """

    input_location: str | None = None
    body: bytes | None = None
    inference_id: str | None = None
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    extension: str | None = None
    filename: str | None = None


@dataclass(frozen=True)
class AsyncRequest:
    """An accepted request.

    Args:
        number: Its place in the endpoint's queue, counted from 1.
        inference_id: InferenceId, the caller's or made by the sandbox.
        received_at: Epoch seconds.
        output_location: S3 URI that the output goes to.
        failure_location: S3 URI that a failure goes to; None if the endpoint has no S3FailurePath.
        input_location: InputLocation; None if the request brought its body.
        content_type: ContentType.
        accept: Accept.
        custom_attributes: CustomAttributes.
        ttl_seconds: RequestTTLSeconds, AWS time.
        timeout_seconds: InvocationTimeoutSeconds, real time: models do not run faster.
    """

    number: int
    inference_id: str
    received_at: float
    output_location: str
    failure_location: str | None = None
    input_location: str | None = None
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None
    ttl_seconds: int = DEFAULT_TTL_SECONDS
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS

    def to_json(self) -> Params:
        """As it stands in the journal; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Ending:
    """How a request has ended; it has one ending.

    Args:
        status: Output in S3; failure; or its time in the queue was over.
        ended_at: Epoch seconds.
        reason: Why it did not complete.
        content_type: Content-Type of the model's answer, if there was one.
        response: That answer, if it is small enough for a notification.
    """

    status: Status
    ended_at: float
    reason: str | None = None
    content_type: str | None = None
    response: bytes | None = None


@dataclass(frozen=True)
class Notice:
    """A notification that is on its way.

    Args:
        topic: ARN of the SNS topic.
        message: The message.
        variant: The variant that worked on the request, for metrics.
    """

    topic: str
    message: str
    variant: str

    def to_json(self) -> Params:
        """As it stands in the journal."""
        return asdict(self)
