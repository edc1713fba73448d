"""Takes one's own notifications out of the two queues, and leaves those of others there.

Queues hand a message to whoever asks first, so another caller's may come here. It is held back while this
caller looks for its own and given back afterwards: a queue that is asked again at once would hand out the
same ones, and what is taken five times goes to the dead-letter queue.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from botocore.exceptions import ClientError

from client.async_inference.sending import Places
from client.connection import Connection

# API ReceiveMessage and ChangeMessageVisibilityBatch take so many at once
_PER_CALL = 10
_HELD_SECONDS = 60
_TEST = "TestNotification"


@dataclass(frozen=True)
class Notification:
    """What SageMaker says about a request that has ended.

    Args:
        inference_id: Whose.
        status: ``Completed`` or ``Failed`` (member ``invocationStatus``).
        content: The whole of it.
    """

    inference_id: str
    status: str
    content: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why the request failed; empty if it did not."""
        return str(self.content.get("failureReason") or "")

    @property
    def output_uri(self) -> str:
        """Where the answer lies; empty if there is none."""
        return str((self.content.get("responseParameters") or {}).get("outputLocation") or "")

    @property
    def content_type(self) -> str:
        """The answer's media type; empty if there is none."""
        return str((self.content.get("responseParameters") or {}).get("contentType") or "")


class Notifications:
    """Both queues of an endpoint; a context manager: at its end other callers' messages are given back.

    Args:
        connection: Where they are.
        places: Of the endpoint.
    """

    def __init__(self, connection: Connection, places: Places) -> None:
        self._sqs = connection.client("sqs")
        self._queues = (places.success_queue, places.error_queue)
        self._held: dict[str, list[str]] = {queue: [] for queue in self._queues}

    def __enter__(self) -> Notifications:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def take(self, wanted: Collection[str]) -> list[Notification]:
        """The notifications of these requests that are there now; they are removed from their queue.

        A test notification, which SageMaker sends when an endpoint is made or changed and which is nobody's,
        is removed, too.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SQS could not be asked.
        """
        return [found for queue in self._queues for found in self._take_from(queue, wanted)]

    def give_back(self) -> None:
        """Make other callers' messages visible again at once."""
        for queue, receipts in self._held.items():
            for start in range(0, len(receipts), _PER_CALL):
                entries = [
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for number, receipt in enumerate(receipts[start : start + _PER_CALL])
                ]
                # if not now, they are visible again by themselves after a minute
                with contextlib.suppress(ClientError):
                    self._sqs.change_message_visibility_batch(QueueUrl=queue, Entries=entries)
            receipts.clear()

    def _take_from(self, queue: str, wanted: Collection[str]) -> Iterator[Notification]:
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=_PER_CALL, VisibilityTimeout=_HELD_SECONDS
            )
            messages = answer.get("Messages", [])
            if not messages:
                return
            for message in messages:
                content = _content(message["Body"])
                inference_id = str(content.get("inferenceId") or "")
                if inference_id in wanted:
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                    yield Notification(inference_id, str(content.get("invocationStatus") or ""), content)
                elif content.get("eventName") == _TEST:
                    self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                else:
                    self._held[queue].append(message["ReceiptHandle"])


def _content(body: str) -> dict[str, Any]:
    """A notification as SageMaker wrote it: the queue gets it without SNS's envelope."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
