"""What kind of failure an answer, or the lack of one, is."""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiohttp

_LONGEST_SAMPLE = 500


def kind_and_sample(failure: Exception | tuple[int, Mapping[str, str], bytes]) -> tuple[str, str]:
    """Name a failure so that equal ones can be counted together.

    Args:
        failure: What aiohttp raised, or the status, headers and body of an answer other than 200.

    Returns:
        The kind, for example ``ModelError 424 (model: 500)``, and what this one was told, shortened.
    """
    if isinstance(failure, Exception):
        return _without_answer(failure)
    status, headers, body = failure
    code = headers.get("x-amzn-ErrorType", "").partition(":")[0] or "HTTP"
    text = body.decode(errors="replace")
    try:
        details = json.loads(text)
    except ValueError:
        details = None
    if not isinstance(details, dict):
        return f"{code} {status}", text[:_LONGEST_SAMPLE] or "(empty answer)"
    model = details.get("OriginalStatusCode")
    message = str(details.get("Message") or details.get("message") or text)
    return f"{code} {status}" + (f" (model: {model})" if model else ""), message[:_LONGEST_SAMPLE]


def _without_answer(error: Exception) -> tuple[str, str]:
    if isinstance(error, TimeoutError):
        kind = "no answer in time"
    elif isinstance(error, aiohttp.ClientConnectorError):
        kind = "cannot connect"
    elif isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError)):
        kind = "connection broken"
    else:
        kind = type(error).__name__
    return kind, (str(error) or type(error).__name__)[:_LONGEST_SAMPLE]
