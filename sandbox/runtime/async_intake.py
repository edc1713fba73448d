"""InvokeEndpointAsync: a request is checked, goes into the endpoint's queue, and is answered with 202."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sandbox.async_queue.locations import parse
from sandbox.async_queue.request import Submission
from sandbox.runtime import answers
from sandbox.runtime.answers import Reply
from sandbox.runtime.request import signed_scope
from sandbox.store import Endpoint, Params, Scope, Stores
from sandbox.validation import ApiModel, raise_findings

if TYPE_CHECKING:
    from sandbox.async_queue import AsyncQueues

# AsyncBodyBlob
MAX_BODY_BYTES = 128_000

_OPERATION = "InvokeEndpointAsync"
_PREFIX = b"x-amzn-sagemaker-"
_HEADERS = {
    _PREFIX + b"content-type": "ContentType",
    _PREFIX + b"accept": "Accept",
    _PREFIX + b"custom-attributes": "CustomAttributes",
    _PREFIX + b"inference-id": "InferenceId",
    _PREFIX + b"inputlocation": "InputLocation",
    _PREFIX + b"s3outputpathextension": "S3OutputPathExtension",
    _PREFIX + b"filename": "Filename",
    _PREFIX + b"requestttlseconds": "RequestTTLSeconds",
    _PREFIX + b"invocationtimeoutseconds": "InvocationTimeoutSeconds",
}
_NUMBERS = ("RequestTTLSeconds", "InvocationTimeoutSeconds")


class AsyncIntake:
    """Takes asynchronous requests.

    Args:
        stores: Where the endpoints are.
        queues: Where the requests go; None where no endpoint is asynchronous.
    """

    def __init__(self, stores: Stores, queues: AsyncQueues | None) -> None:
        self._stores = stores
        self._queues = queues
        self._model = ApiModel("sagemaker-runtime", [_OPERATION])

    async def accept(self, endpoint_name: str, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """Answer InvokeEndpointAsync.

        Args:
            endpoint_name: From the path.
            headers: Names in lower case.
            body: The body; larger than `MAX_BODY_BYTES` only by as much as was read before that was seen.

        Raises:
            ServiceError: The signature is garbled (403), or ValidationError, with all findings.
        """
        scope = signed_scope(headers.get(b"authorization"))
        submission = self._submission(endpoint_name, headers, body)
        endpoint = self._endpoint(endpoint_name, scope)
        assert self._queues is not None  # noqa: S101 - there is an asynchronous endpoint
        request = await self._queues.submit(endpoint, submission)
        locations = [(b"x-amzn-sagemaker-outputlocation", request.output_location.encode())]
        if request.failure_location is not None:
            locations.append((b"x-amzn-sagemaker-failurelocation", request.failure_location.encode()))
        answer = json.dumps({"InferenceId": request.inference_id}).encode()
        return Reply(202, [(b"content-type", b"application/json"), *locations], answer)

    def _submission(self, endpoint_name: str, headers: dict[bytes, bytes], body: bytes) -> Submission:
        params: Params = {"EndpointName": endpoint_name}
        findings: list[str] = []
        for header, member in _HEADERS.items():
            if header not in headers:
                continue
            text = headers[header].decode("latin-1")
            if member not in _NUMBERS:
                params[member] = text
            elif text.lstrip("-").isdecimal():
                params[member] = int(text)
            else:
                findings.append(
                    f"Value '{text}' at '{member[0].lower()}{member[1:]}' failed to satisfy constraint: "
                    "Member must be of type integer"
                )
        checked, more = self._model.examine(_OPERATION, params)
        findings += [*more, *_input_findings(checked.get("InputLocation"), body)]
        raise_findings(findings, "ValidationError")
        return Submission(
            input_location=checked.get("InputLocation"),
            body=body or None,
            inference_id=checked.get("InferenceId"),
            content_type=checked.get("ContentType"),
            accept=checked.get("Accept"),
            custom_attributes=checked.get("CustomAttributes"),
            extension=checked.get("S3OutputPathExtension"),
            filename=checked.get("Filename"),
            **{
                name: checked[member]
                for member, name in zip(_NUMBERS, ("ttl_seconds", "timeout_seconds"), strict=True)
                if member in checked
            },
        )

    def _endpoint(self, name: str, scope: Scope) -> Endpoint:
        """An asynchronous endpoint that takes requests.

        Raises:
            ServiceError: ValidationError, if it is none.
        """
        endpoint = self._stores.of(scope).endpoints.get(name.lower())
        if endpoint is None or endpoint.name != name:
            raise answers.not_found(name, scope.account)
        if endpoint.async_inference is None:
            raise answers.not_asynchronous(endpoint)
        if endpoint.routes is None or endpoint.status not in answers.SERVING:
            raise answers.not_serving(endpoint)
        return endpoint


def _input_findings(location: str | None, body: bytes) -> Iterator[str]:
    if location is None and not body:
        yield "one of InputLocation and Body is required; neither is given"
    if location is not None and body:
        yield "InputLocation and Body are mutually exclusive; both are given"
    if len(body) > MAX_BODY_BYTES:
        yield (
            f"Body has more than {MAX_BODY_BYTES} bytes: put it into S3 and give its InputLocation, "
            "which may have 1 GB"
        )
    if location is not None and parse(location) is None:
        yield f"InputLocation '{location}' is not the location of an object in S3: s3://bucket/key"
