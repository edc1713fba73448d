"""Waits for the end of requests: an answer or a failure, told by a notification, and fetched from S3."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from client.async_inference.notifications import Notification, Notifications
from client.async_inference.sending import Places, Request
from client.connection import Connection
from client.invocation import model_message
from client.s3 import Place

_POLL_SECONDS_SANDBOX = 0.1
_POLL_SECONDS_AWS = 2.0
# between the object and its notification there is SNS
_NOTICE_WITHIN_SECONDS = 60.0
_ABSENT = {"404", "NoSuchKey", "NotFound", "403"}

COMPLETED = "Completed"
FAILED = "Failed"
TIMED_OUT = "TimedOut"


@dataclass(frozen=True)
class Result:
    """How a request ended.

    Args:
        request: Which.
        status: ``Completed``, ``Failed``, or ``TimedOut``: nothing came while the client waited.
        seconds: From the call to the notification.
        notification: What SageMaker told; None if it did not.
        body: The answer, or the object with the reason of the failure; None if there is none.
        note: What else is to be said; mostly empty.
    """

    request: Request
    status: str
    seconds: float
    notification: Notification | None = None
    body: bytes | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.status == COMPLETED

    @property
    def reason(self) -> str:
        """Why there is no answer, in words; empty if there is one."""
        if self.ok:
            return ""
        if self.status == TIMED_OUT:
            return self.note
        said = self.body.decode(errors="replace").strip() if self.body else ""
        told = self.notification.reason if self.notification else ""
        return told or model_message(said) or "no reason was given"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; the answer itself is in its file."""
        failed = self.status == FAILED
        return {
            "file": str(self.request.file),
            "inference_id": self.request.inference_id,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "input": self.request.input_uri,
            "output": self.request.output_uri if self.ok else None,
            "failure": self.request.failure_uri if failed else None,
            "failure_object": self.body.decode(errors="replace") if failed and self.body else None,
            "reason": self.reason or None,
            "note": self.note or None,
            "notification": self.notification.content if self.notification else None,
        }


def wait_for_results(
    connection: Connection,
    places: Places,
    requests: Sequence[Request],
    *,
    timeout: float,
    on_look: Callable[[Sequence[Request]], None] | None = None,
) -> list[Result]:
    """Wait until each request has ended, or time is up.

    The queues are asked only once S3 holds an answer or a failure: each time that another caller's message is
    taken counts towards the dead-letter queue.

    Args:
        connection: Where.
        places: Of the endpoint.
        requests: Which.
        timeout: Seconds to wait at most; above 0.
        on_look: Called before each look, with the requests that have not ended.

    Returns:
        Their ends, in the same order.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: S3 or SQS could not be asked.
    """
    pause = _POLL_SECONDS_SANDBOX if connection.is_sandbox else _POLL_SECONDS_AWS
    start = time.monotonic()
    waiting = {one.inference_id: one for one in requests}
    there_since: dict[str, float] = {}
    found: dict[str, Result] = {}
    with Notifications(connection, places) as notifications:
        while waiting:
            if on_look:
                on_look(list(waiting.values()))
            now = time.monotonic()
            for name, request in waiting.items():
                if name not in there_since and _ended(connection, request):
                    there_since[name] = now
            late = now - start > timeout
            # at the last, ask although S3 shows nothing: objects may be hidden from these credentials
            if there_since.keys() & waiting.keys() or late:
                for notification in notifications.take(waiting.keys()):
                    request = waiting.pop(notification.inference_id)
                    found[request.inference_id] = _told(
                        connection, request, notification, time.monotonic() - start
                    )
            for name, request in list(waiting.items()):
                overdue = name in there_since and now - there_since[name] > _NOTICE_WITHIN_SECONDS
                if late or overdue:
                    found[name] = _untold(connection, request, name in there_since, now - start)
                    del waiting[name]
            if waiting:
                time.sleep(pause)
                notifications.give_back()
    return [found[one.inference_id] for one in requests]


def _told(connection: Connection, request: Request, notification: Notification, seconds: float) -> Result:
    if notification.status == COMPLETED:
        body = _read(connection, notification.output_uri or request.output_uri)
        if body is not None:
            return Result(request, COMPLETED, seconds, notification, body)
        note = f"it was told to lie at {notification.output_uri}, but is not there or not readable"
        return Result(request, FAILED, seconds, notification, None, f"no answer: {note}")
    body = _read(connection, request.failure_uri) if request.failure_uri else None
    return Result(request, FAILED, seconds, notification, body)


def _untold(connection: Connection, request: Request, there: bool, seconds: float) -> Result:
    """What there is without a notification."""
    note = (
        "no notification came; another caller may have taken it from the queue, or SNS could not deliver it: "
        "look at the dead-letter queue"
    )
    if there:
        body = _read(connection, request.output_uri)
        if body is not None:
            return Result(request, COMPLETED, seconds, None, body, note)
        failure = _read(connection, request.failure_uri) if request.failure_uri else None
        if failure is not None:
            return Result(request, FAILED, seconds, None, failure, note)
    return Result(
        request,
        TIMED_OUT,
        seconds,
        note=f"nothing came within {seconds:.0f} s; the request is not lost, it waits on: the answer will "
        f"lie at {request.output_uri}",
    )


def _ended(connection: Connection, request: Request) -> bool:
    return any(_is_there(connection, uri) for uri in (request.output_uri, request.failure_uri) if uri)


def _is_there(connection: Connection, uri: str) -> bool:
    place = Place.parse(uri)
    try:
        connection.client("s3").head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        # without s3:ListBucket, S3 says 403 of an object that is not there (API HeadObject)
        if str(error.response.get("Error", {}).get("Code")) in _ABSENT:
            return False
        raise
    return True


def _read(connection: Connection, uri: str) -> bytes | None:
    place = Place.parse(uri)
    try:
        body = connection.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"]
        content: bytes = body.read()
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code")) in {*_ABSENT, "AccessDenied"}:
            return None
        raise
    return content
