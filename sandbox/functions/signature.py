"""Signature Version 4 of requests to function URLs and HTTP APIs, as far as it can be checked here.

The sandbox knows one secret: that of the credentials it hands out. What they signed is checked to the last
byte; of others' requests the form, the service and the Region. An expired date is refused for all.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]+)"
)
_MAX_SKEW = timedelta(minutes=5)
FORBIDDEN = "Forbidden"


def refusal(
    *,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    service: str,
    known: Mapping[str, str],
    region: str | None = None,
) -> str | None:
    """Why a request is refused.

    Args:
        method: Its HTTP method.
        target: Its path and query as they were sent.
        headers: Its headers, names in lower case.
        body: Its body.
        service: What it must be signed for, for example ``lambda``.
        known: Secrets by access key.
        region: The Region that it must be signed for; any when None.

    Returns:
        The service's words; None for a request that may pass.
    """
    if "x-amz-signature=" in target.lower():
        return None  # presigned: the signature is in the query, and is not checked
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", "").strip())
    if found is None:
        return FORBIDDEN
    if found["service"] != service:
        return f"Credential should be scoped to correct service: '{service}'."
    if region is not None and found["region"] != region:
        return f"Credential should be scoped to a valid region, not '{found['region']}'."
    signed = found["headers"].split(";")
    date = headers.get("x-amz-date", "")
    try:
        then = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return FORBIDDEN
    now = datetime.now(UTC)
    if abs(now - then) > _MAX_SKEW or not date.startswith(found["day"]):
        return f"Signature expired: {date} is now earlier than {now - _MAX_SKEW:%Y%m%dT%H%M%SZ}"
    if "host" not in signed or "x-amz-date" not in signed:
        return "'Host' or ':authority' and 'X-Amz-Date' must be 'SignedHeader's in the AWS Authorization."
    content = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    right_body = content == "UNSIGNED-PAYLOAD" or content == sha256(body).hexdigest()
    secret = known.get(found["key"])
    if secret is None:
        return None
    expected = _signature(
        method, target, {name: headers.get(name, "") for name in signed}, body, found, secret
    )
    if right_body and hmac.compare_digest(expected, found["signature"]):
        return None
    return (
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and signing method. Consult the service documentation for details."
    )


def _signature(
    method: str, target: str, headers: Mapping[str, str], body: bytes, found: re.Match[str], secret: str
) -> str:
    signer = SigV4Auth(Credentials(found["key"], secret), found["service"], found["region"])
    request = AWSRequest(method, f"http://{headers['host']}{target}", headers=dict(headers), data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))
