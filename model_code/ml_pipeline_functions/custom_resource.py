"""Answers to CloudFormation: a custom resource gets exactly one, whatever happens."""

from __future__ import annotations

import json
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from report import log
from waiting import pause

_REASON_LENGTH = 1024  # an answer has 4,096 bytes (user guide, custom resource response objects)
_ATTEMPTS = 3
_TIMEOUT = 4.0  # seconds; with the attempts less than `waiting.RESERVE`


def answer(
    event: Mapping[str, Any], physical_id: str, work: Callable[[], Mapping[str, str]]
) -> dict[str, str]:
    """Do the work of a request, and tell CloudFormation how it went.

    Args:
        event: The request.
        physical_id: PhysicalResourceId of a new resource; that of the request goes before it.
        work: Gives the attributes of the resource; what it raises is the answer's reason.

    Returns:
        What was answered.

    Raises:
        OSError: CloudFormation could not be reached: Lambda calls again.
    """
    status, reason, data = "SUCCESS", "", {}
    try:
        data = dict(work())
    except Exception as error:
        status, reason = "FAILED", str(error) or type(error).__name__
        log(
            trigger=f"CloudFormation {event.get('RequestType')}",
            status="Error",
            message=reason,
            traceback=traceback.format_exc(),
        )
    response = {
        "Status": status,
        "Reason": _cut(reason),
        "PhysicalResourceId": event.get("PhysicalResourceId") or physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }
    _put(event["ResponseURL"], json.dumps(response).encode())
    return {"status": status, "message": reason, **({} if status == "FAILED" else data)}


def _put(url: str, body: bytes) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"ResponseURL is {url[:40]!r}: not of the web")
    # S3's signature covers an empty content type
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
                return
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == _ATTEMPTS:
                raise
            pause(1.0)


def _cut(text: str) -> str:
    return text.encode()[:_REASON_LENGTH].decode(errors="ignore")
