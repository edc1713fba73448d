"""What a handler raised, told as Lambda tells it: by the name of its class."""

from __future__ import annotations

import re

from sandbox.store import Params

_NAMELESS = "Runtime.HandlerError"
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"(?:\w+\.)*(?P<name>\w+)(?::|$)")


def with_name(answer: Params) -> Params:
    """The answer of a function from a zip file; an error without a name gets the one of its class.

    ministack's warm workers tell the exception's text, and its class only in the log's traceback. Step
    Functions retries and catches by the name (Lambda developer guide, Python function errors).

    Args:
        answer: ministack's ``body``, ``error`` and ``log``.
    """
    body = answer.get("body")
    if not answer.get("error") or not isinstance(body, dict) or body.get("errorType") != _NAMELESS:
        return answer
    _, found, traceback = str(answer.get("log", "")).rpartition(_TRACEBACK)
    # the first line that is not indented is the exception; its text may go on below
    lines = traceback.strip("\n").splitlines() if found else []
    for number, line in enumerate(lines):
        if line and not line.startswith(" "):
            raised = _RAISED.match(line)
            if raised is None:
                break
            stack = [entry.rstrip() for entry in lines[:number]]
            return answer | {"body": {**body, "errorType": raised["name"], "stackTrace": stack}}
    return answer
