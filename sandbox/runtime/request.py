"""What a request to SageMaker Runtime says: who, which endpoint, which modelled headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sandbox.errors import ServiceError
from sandbox.store import Scope

DEFAULT_ACCOUNT = "000000000000"
SERVICE = "sagemaker"

INVOKE = "invocations"
STREAM = "invocations-response-stream"
ASYNC = "async-invocations"

_PATH = re.compile(rf"/endpoints/([^/]+)/({INVOKE}|{STREAM}|{ASYNC})/?")
_CREDENTIAL = re.compile(
    rb"AWS4-HMAC-SHA256 +Credential=([^/\s]+)/(\d{8})/([a-z]{2}(?:-[a-z]+)+-\d+)/([a-z0-9-]+)/aws4_request"
)

_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
# \p{ASCII} less the control characters, which no header can carry
_ASCII = r"[\t\x20-\x7e]*"
_PRINTABLE = r"\S[\x20-\x7e]*"


@dataclass(frozen=True)
class _Header:
    """A modelled header of InvokeEndpointInput, with the constraint of its botocore shape."""

    member: str
    maximum: int
    pattern: str

    def problem(self, value: str) -> str | None:
        if len(value) > self.maximum:
            return f"Member must have length less than or equal to {self.maximum}"
        if not re.fullmatch(self.pattern, value):
            return f"Member must satisfy regular expression pattern: {self.pattern}"
        return None


_PREFIX = b"x-amzn-sagemaker-"
CUSTOM_ATTRIBUTES = _PREFIX + b"custom-attributes"
TARGET_VARIANT = _PREFIX + b"target-variant"
TARGET_MODEL = _PREFIX + b"target-model"
TARGET_CONTAINER = _PREFIX + b"target-container-hostname"
INFERENCE_ID = _PREFIX + b"inference-id"
INFERENCE_COMPONENT = _PREFIX + b"inference-component"
SESSION_ID = _PREFIX + b"session-id"
ENABLE_EXPLANATIONS = _PREFIX + b"enable-explanations"
PREFIX_AWARE_ID = _PREFIX + b"prefix-aware-id"
STREAM_ACCEPT = _PREFIX + b"accept"

_MODELLED = {
    b"content-type": _Header("contentType", 1024, _ASCII),
    b"accept": _Header("accept", 1024, _ASCII),
    CUSTOM_ATTRIBUTES: _Header("customAttributes", 1024, _ASCII),
    TARGET_VARIANT: _Header("targetVariant", 63, _NAME),
    TARGET_MODEL: _Header("targetModel", 1024, _PRINTABLE),
    TARGET_CONTAINER: _Header("targetContainerHostname", 63, _NAME),
    INFERENCE_ID: _Header("inferenceId", 64, _PRINTABLE),
    INFERENCE_COMPONENT: _Header("inferenceComponentName", 63, _NAME),
    SESSION_ID: _Header("sessionId", 256, rf"NEW_SESSION|{_NAME}"),
    ENABLE_EXPLANATIONS: _Header("enableExplanations", 64, ".+"),
    PREFIX_AWARE_ID: _Header("prefixAwareId", 64, _PRINTABLE),
}
_STREAM_MODELLED = {
    **{
        name: header
        for name, header in _MODELLED.items()
        if name not in (b"accept", TARGET_MODEL, ENABLE_EXPLANATIONS)
    },
    STREAM_ACCEPT: _MODELLED[b"accept"],
    SESSION_ID: _Header("sessionId", 256, _NAME),
}
# what a container sees under another name than the client sent
_CONTAINER_NAMES = {STREAM_ACCEPT: b"accept"}


@dataclass(frozen=True, slots=True)
class Invocation:
    """A request whose form is right.

    Args:
        scope: Account and Region.
        endpoint_name: EndpointName as given.
        values: The modelled headers that were sent, by name in lower case.
        container_headers: The same as header lines for the container; all other headers are stripped.
    """

    scope: Scope
    endpoint_name: str
    values: dict[bytes, str]
    container_headers: bytes

    def get(self, header: bytes) -> str | None:
        """A modelled header's value, or None."""
        return self.values.get(header)


def match_path(path: str) -> tuple[str, str] | None:
    """Endpoint name and operation (`INVOKE`, `STREAM`, `ASYNC`) of a path; None for any other path."""
    found = _PATH.fullmatch(path)
    return (found[1], found[2]) if found else None


def read(endpoint_name: str, operation: str, headers: dict[bytes, bytes]) -> Invocation:
    """Check the form of a request.

    Args:
        endpoint_name: From the path.
        operation: From the path.
        headers: Names in lower case.

    Raises:
        ServiceError: The signature is missing or garbled (403), or headers break their constraints
            (ValidationError, with all findings).
    """
    scope = signed_scope(headers.get(b"authorization"))
    modelled = _STREAM_MODELLED if operation == STREAM else _MODELLED
    values: dict[bytes, str] = {}
    lines: list[bytes] = []
    problems: list[str] = []
    if len(endpoint_name) > 63 or not re.fullmatch(_NAME, endpoint_name):
        problem = _Header("endpointName", 63, _NAME).problem(endpoint_name)
        problems.append(f"Value '{endpoint_name}' at 'endpointName' failed to satisfy constraint: {problem}")
    for name, raw in headers.items():
        header = modelled.get(name)
        if header is None:
            continue
        value = raw.decode("latin-1")
        problem = header.problem(value)
        if problem is not None:
            problems.append(f"Value '{value}' at '{header.member}' failed to satisfy constraint: {problem}")
        values[name] = value
        lines.append(b"%b: %b\r\n" % (_CONTAINER_NAMES.get(name, name), raw))
    if problems:
        raise ServiceError(
            "ValidationError",
            f"{len(problems)} validation error{'s'[: len(problems) > 1]} detected: {'; '.join(problems)}",
        )
    return Invocation(scope, endpoint_name, values, b"".join(lines))


def signed_scope(authorization: bytes | None) -> Scope:
    """Account and Region from a Signature Version 4 header; the signature itself is not verified.

    Raises:
        ServiceError: The header is missing or garbled (403).
    """
    if not authorization:
        raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    if b"SignedHeaders=" not in authorization or b"Signature=" not in authorization:
        raise ServiceError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            403,
        )
    return _credential_scope(authorization.partition(b",")[0].strip())


@lru_cache(maxsize=256)
def _credential_scope(credential: bytes) -> Scope:
    found = _CREDENTIAL.fullmatch(credential)
    if found is None:
        raise ServiceError(
            "IncompleteSignatureException",
            "Credential must have the form <access key>/<date>/<region>/sagemaker/aws4_request.",
            403,
        )
    key, _, region, service = (part.decode("ascii", "replace") for part in found.groups())
    if service != SERVICE:
        raise ServiceError(
            "InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'.", 403
        )
    account = key if len(key) == 12 and key.isdigit() else DEFAULT_ACCOUNT
    return Scope(account, region)
