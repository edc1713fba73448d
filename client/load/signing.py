"""Requests signed by boto3 itself, taken out of its hands just before it would send them.

Whatever boto3 would do for credentials, Region, endpoint URL, serialisation and SigV4 is thereby done, and
nothing of it is written again here. It costs half a millisecond, so one signed request is sent many times: a
signature holds for minutes and covers nothing that differs between two requests of the same load.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import BotoCoreError

from client.connection import Connection
from client.invocation import Target
from client.payloads import Payload

# AWS takes a signature for five minutes
RESIGN_AFTER_SECONDS = 60.0

# not signed: the length is counted again by whoever sends, the others tell one boto3 attempt from the next
_NOT_FOR_MANY = {"content-length", "amz-sdk-invocation-id", "amz-sdk-request"}


@dataclass(frozen=True)
class SignedRequest:
    """An HTTP request that the service accepts as it is, for a few minutes.

    Args:
        url: Where to POST.
        headers: All of these must be sent unchanged.
        body: The bytes to send.
    """

    url: str
    headers: dict[str, str]
    body: bytes


class RequestSigner:
    """Makes boto3 sign one invocation, again and again.

    Args:
        connection: Whose credentials, Region and endpoint URL.
        target: Which endpoint.
        payload: What to send.
    """

    def __init__(self, connection: Connection, target: Target, payload: Payload) -> None:
        self._client = connection.new_client("sagemaker-runtime")
        self._parameters = target.parameters(payload)
        self._signed: SignedRequest | None = None
        self._client.meta.events.register_first("before-send.sagemaker-runtime.InvokeEndpoint", self._take)

    def sign(self) -> SignedRequest:
        """A freshly signed request; may refresh credentials over the network, so call it on a worker thread.

        Raises:
            botocore.exceptions.BotoCoreError: No credentials, or expired ones that cannot be refreshed.
        """
        self._signed = None
        self._client.invoke_endpoint(**self._parameters)
        if self._signed is None:
            raise BotoCoreError()  # a botocore without this event: nothing was signed, nothing may be sent
        return self._signed

    def _take(self, request: Any, **_: Any) -> AWSResponse:
        """Keep the request, and answer in the network's place."""
        headers = {
            name: _text(value) for name, value in request.headers.items() if name.lower() not in _NOT_FOR_MANY
        }
        self._signed = SignedRequest(request.url, headers, bytes(request.body or b""))
        return AWSResponse(request.url, 200, {}, io.BytesIO())


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
