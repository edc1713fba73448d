"""Errors as the service sends them, and errors for the person at the command line."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """An error answer of an emulated AWS API.

    Args:
        code: The error code on the wire, for example ``ValidationException``.
        message: The service's own words.
        status: HTTP status.
        fields: Further members of the error shape, for example ``OriginalStatusCode``.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


class SandboxError(Exception):
    """A user's mistake or a machine's limit: one message that says what to do, never a traceback."""
