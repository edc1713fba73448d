"""Errors of functions from zip files have the names that Step Functions catches."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from sandbox.ministack_adapter.handler_errors import with_name


class NoInput(Exception):
    pass


def told(error: Exception, **changes: Any) -> dict[str, Any]:
    """What a warm worker tells of an exception."""
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise error  # noqa: B904  (a chain on purpose)
    except Exception as raised:
        log = f"printed before\nTraceback: none yet\n{traceback.format_exc()}"
        body = {"errorMessage": str(raised), "errorType": "Runtime.HandlerError"}
        return {"body": body, "error": True, "log": log, **changes}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (NoInput("nothing there"), "NoInput"),
        (ValueError("several\nlines:\n  of text"), "ValueError"),
        (NoInput(), "NoInput"),
    ],
)
def test_an_error_is_named_by_its_class(error: Exception, name: str) -> None:
    # GIVEN an exception that a handler raised while it handled another one
    # WHEN it is told as Lambda does
    body = with_name(told(error))["body"]

    # THEN its class is its name, its text is the same, and the stack says where
    assert body["errorType"] == name
    assert body["errorMessage"] == str(error)
    assert any("raise error" in line for line in body["stackTrace"])


@pytest.mark.parametrize(
    "answer",
    [
        {"body": {"errorType": "Runtime.HandlerError"}, "log": ""},
        {
            "body": {"errorType": "Sandbox.Timedout"},
            "error": True,
            "log": "Traceback (most recent call last):\nX",
        },
        {"body": {"errorMessage": "died", "errorType": "Runtime.HandlerError"}, "error": True, "log": "died"},
        {"body": "text", "error": True},
    ],
)
def test_what_has_no_class_stays_as_it_is(answer: dict[str, Any]) -> None:
    # GIVEN an answer that is no error, has a name already, or has no traceback
    # WHEN it is told; THEN nothing changes
    assert with_name(answer) == answer
