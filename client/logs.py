"""What an endpoint's containers and failed invocations logged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from client.connection import Connection
from client.errors import UserError
from client.invocation import log_group

# CloudWatch takes about ten of these calls per second and account
_POLL_SECONDS = 1.0
# events may turn up late, so each look reaches back this far beyond the newest one seen
_LATE_MS = 10_000


def log_events(
    connection: Connection, endpoint_name: str, *, since_seconds: float, follow: bool
) -> Iterator[dict[str, Any]]:
    """Log events by time, each once.

    Args:
        connection: Where to look.
        endpoint_name: Whose.
        since_seconds: How far to look back.
        follow: Go on with new ones until interrupted.

    Yields:
        ``timestamp`` (milliseconds since 1970), ``logStreamName`` and ``message``.

    Raises:
        UserError: The log group does not exist.
    """
    pages = connection.client("logs").get_paginator("filter_log_events")
    start = int((time.time() - since_seconds) * 1000)
    seen: dict[str, int] = {}
    while True:
        try:
            for page in pages.paginate(logGroupName=log_group(endpoint_name), startTime=start):
                for event in page["events"]:
                    if event["eventId"] not in seen:
                        seen[event["eventId"]] = event["timestamp"]
                        yield event
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            raise UserError(
                f"Log group {log_group(endpoint_name)} does not exist",
                "It appears when the endpoint's first container logs something.",
            ) from error
        if not follow:
            return
        start = max(start, max(seen.values(), default=start) - _LATE_MS)
        seen = {identifier: at for identifier, at in seen.items() if at >= start}
        time.sleep(_POLL_SECONDS)
