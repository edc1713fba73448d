"""Notifications: what is told of a request's ending, to which topic, and how it gets there.

Messages are those of the developer guide, "Check prediction results"; what it does not show is taken from
messages seen in public (docs/sandbox.md says what that is).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime

from sandbox.async_queue.request import AsyncRequest, Ending, Notice
from sandbox.aws import LocalAws
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

# AsyncInferenceNotificationConfig.IncludeInferenceResponseIn
MAX_INCLUDED_BYTES = 128 * 1024
# SNS that does not answer is asked again: after 0.5, 1, 2 ... 30 AWS-independent seconds
ATTEMPTS = 8
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

_MORE = "Check S3 path location(if configured) or Cloudwatch for additional details."
_EVENT = {"eventVersion": "1.0", "eventSource": "aws:sagemaker"}
TEST_NOTIFICATION = json.dumps({**_EVENT, "eventName": "TestNotification"})


def topics(config: Params) -> list[str]:
    """ARNs of the topics of an AsyncInferenceConfig, each once."""
    notification = config["OutputConfig"].get("NotificationConfig") or {}
    named = (notification.get("SuccessTopic"), notification.get("ErrorTopic"))
    return list(dict.fromkeys(topic for topic in named if topic))


def includes_response(config: Params, completed: bool) -> bool:
    """Whether notifications of that kind are to contain the response."""
    notification = config["OutputConfig"].get("NotificationConfig") or {}
    name = "SUCCESS_NOTIFICATION_TOPIC" if completed else "ERROR_NOTIFICATION_TOPIC"
    return name in notification.get("IncludeInferenceResponseIn", ())


def compose(
    config: Params, scope: Scope, endpoint_name: str, request: AsyncRequest, ending: Ending, variant: str
) -> Notice | None:
    """The notice of an ending; None if the endpoint has no topic for it.

    Args:
        config: The endpoint's AsyncInferenceConfig.
        scope: Account and Region.
        endpoint_name: EndpointName.
        request: The request.
        ending: Its ending.
        variant: Name of the variant that worked on it.
    """
    completed = ending.status == "Completed"
    notification = config["OutputConfig"].get("NotificationConfig") or {}
    topic = notification.get("SuccessTopic" if completed else "ErrorTopic")
    if not topic:
        return None
    asked = {
        "contentType": request.content_type,
        "accept": request.accept,
        "endpointName": endpoint_name,
        "inputLocation": request.input_location,
    }
    message: Params = {
        "awsRegion": scope.region,
        "eventTime": _time(ending.ended_at),
        "receivedTime": _time(request.received_at),
        # an expired request counts as one that failed (ExpiredRequests, "requests in the queue that fail")
        "invocationStatus": "Completed" if completed else "Failed",
        **({} if completed else {"failureReason": ending.reason}),
        "requestParameters": {name: value for name, value in asked.items() if value is not None},
    }
    if completed:
        message["responseParameters"] = {
            "contentType": ending.content_type,
            "outputLocation": request.output_location,
        }
    if ending.response is not None and includes_response(config, completed):
        content = base64.b64encode(ending.response).decode()
        message["responseBody"] = {"content": content, "message": _MORE, "encoding": "BASE64"}
    message |= {"inferenceId": request.inference_id, **_EVENT, "eventName": "InferenceResult"}
    return Notice(topic, json.dumps(message, ensure_ascii=False), variant)


class Publisher:
    """Publishes to SNS.

    Args:
        aws: Where SNS is.
        scope: Account and Region.
        executor: Where boto3 blocks.
    """

    def __init__(self, aws: LocalAws, scope: Scope, executor: Executor) -> None:
        self._aws = aws
        self._scope = scope
        self._executor = executor

    async def publish(self, notice: Notice, on_failure: Callable[[], None]) -> bool:
        """Publish a notice, again and again while SNS refuses it, for about a minute and a half.

        Args:
            notice: The notice.
            on_failure: Called at each attempt that fails.

        Returns:
            Whether SNS has taken it.
        """
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            error = await self.try_publish(notice.topic, notice.message)
            if error is None:
                return True
            on_failure()
            if attempt == ATTEMPTS:
                log.warning("a notification to %s is given up: %s", notice.topic, error)
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return False

    async def try_publish(self, topic: str, message: str) -> Exception | None:
        """Publish once; what went wrong, None if nothing did."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._publish, topic, message)
        except Exception as error:  # whatever SNS's trouble, the ending stands
            return error
        return None

    def _publish(self, topic: str, message: str) -> None:
        # a FIFO topic takes no messages without a group; that is an error here as it is on AWS
        self._aws.client("sns", self._scope).publish(TopicArn=topic, Message=message)


def _time(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
