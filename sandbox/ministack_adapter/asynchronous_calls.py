"""Asynchronous calls of Lambda functions: by events, schedules, S3, CloudFormation and Invoke.

Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation": an error of the
function is tried again after one and two minutes, a call that is throttled for up to six hours; what did not
succeed goes to the dead-letter queue and to the destination for failures.
"""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.ministack_adapter.hooks import module
from sandbox.ministack_adapter.requests import forget
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

PAUSE = 60.0
"""AWS seconds before the second try; before the third it is twice as long."""
FIRST_THROTTLED_PAUSE, LONGEST_THROTTLED_PAUSE = 1.0, 300.0
"""AWS seconds before a throttled call is tried again; it doubles from the first to the longest."""
MAX_AGE = 21_600
"""AWS seconds after which a call is given up (MaximumEventAgeInSeconds)."""
MAX_RETRIES = 2
"""MaximumRetryAttempts."""

_LONGEST_MESSAGE = 1024  # ErrorMessage of a dead letter


@dataclass
class _Call:
    """A call that somebody waits for nothing of.

    Args:
        arn: Function, with version or alias if it was called by one.
        event: What it is called with.
        began: When, by the monotonic clock.
        tries: How often the function ran.
        version: Which version of it.
        result: What ministack says of the last try.
    """

    arn: str
    event: Any
    began: float
    tries: int = 0
    version: str = "$LATEST"
    result: Params | None = None

    @property
    def scope(self) -> Scope:
        words = self.arn.split(":")
        return Scope(words[4], words[3])

    @property
    def name(self) -> str:
        return self.arn.split(":")[6]

    @property
    def qualifier(self) -> str:
        return next(iter(self.arn.split(":")[7:]), "")


class AsynchronousCalls:
    """Calls functions, and tries again by the sandbox's clock; in place of ministack's own.

    Args:
        clock: The time scale.
        aws: Where queues, topics, functions and buses are that hear of the end.
    """

    def __init__(self, clock: Clock, aws: LocalAws) -> None:
        self._clock = clock
        self._aws = aws
        self._lambda = module("services.lambda_svc")

    def install(self) -> None:
        """Let Lambda, S3 and EventBridge call functions here."""
        eventbridge = module("services.eventbridge")
        self._lambda.invoke_async_with_retry = lambda func, event: self.call(
            (func.get("config") or func)["FunctionArn"], event
        )
        eventbridge._dispatch_to_lambda = self._dispatch
        eventbridge._invoke_target = self._telling_of_missing(eventbridge, eventbridge._invoke_target)

    def call(self, arn: str, event: Any) -> None:
        """Call a function; returns at once.

        Args:
            arn: The function.
            event: JSON.
        """
        call = _Call(arn, event, time.monotonic())
        self._start(lambda: self._carry_out(call))

    def _start(self, work: Callable[[], None]) -> None:
        # the context knows account and Region, and how many functions have called each other
        threading.Thread(
            target=contextvars.copy_context().run, args=(_apart, work), name="asynchronous call", daemon=True
        ).start()

    def _dispatch(self, arn: str, payload: str) -> None:
        try:
            event = json.loads(payload)
        except ValueError:
            event = payload
        if find_function(arn) is not None:
            self.call(arn, event)

    def _carry_out(self, call: _Call) -> None:
        with module("core.responses").request_scope(*call.scope):
            self._count(call, "AsyncEventsReceived")
            settings = self._settings(call)
            condition = self._attempt_until_done(call, settings)
            if condition is None:  # the function was deleted meanwhile
                return
            succeeded = condition == "Success"
            if not succeeded:
                self._count(call, "AsyncEventsDropped")
                log.warning("the call of %s failed for good: %s", call.arn, condition)
            kind = "OnSuccess" if succeeded else "OnFailure"
            target = ((settings.get("DestinationConfig") or {}).get(kind) or {}).get("Destination")
            if target:
                self._deliver(call, "DestinationDeliveryFailures", target, _record(call, condition))
            dead_letters = self._dead_letters(call)
            if dead_letters and not succeeded:
                text = json.dumps(call.event, ensure_ascii=False)
                self._deliver(call, "DeadLetterErrors", dead_letters, text, _error_attributes(call))

    def _attempt_until_done(self, call: _Call, settings: Params) -> str | None:
        """How it ends, in the words of invocation records; None if there is no function any more."""
        oldest = settings.get("MaximumEventAgeInSeconds") or MAX_AGE
        retries = settings.get("MaximumRetryAttempts")
        retries = MAX_RETRIES if retries is None else int(retries)
        throttled = _throttled_pauses()
        while True:
            record = find_function(call.arn)  # a retry meets the function as it is then
            if record is None:
                return None
            call.result = self._lambda._execute_function(record, call.event)
            if call.result.get("throttle"):
                pause = next(throttled)
            else:
                call.tries += 1
                call.version = record["config"].get("Version") or "$LATEST"
                if not call.result.get("error"):
                    return "Success"
                if call.tries > retries:
                    return "RetriesExhausted"
                pause = PAUSE * call.tries
            age = (time.monotonic() - call.began) * self._clock.scale
            if age + pause > oldest:
                return "EventAgeExceeded"
            time.sleep(self._clock.real(pause))

    def _function(self, call: _Call) -> Params:
        found: Params = self._lambda._functions.get_scoped(*call.scope, call.name) or {}
        return found

    def _settings(self, call: _Call) -> Params:
        """The EventInvokeConfig that holds for a call."""
        configs = self._function(call).get("event_invoke_configs") or {}
        # without a qualifier, and with $LATEST, it is the same version
        names = ("", "$LATEST") if call.qualifier in ("", "$LATEST") else (call.qualifier,)
        return next((configs[name] for name in names if name in configs), {})

    def _dead_letters(self, call: _Call) -> str | None:
        record = find_function(call.arn) or {}
        config = record.get("config") or {}
        return (config.get("DeadLetterConfig") or {}).get("TargetArn")

    def _count(self, call: _Call, name: str) -> None:
        record = module("services.cloudwatch").record_metric
        record("AWS/Lambda", name, 1, "Count", {"FunctionName": call.name})

    def _deliver(self, call: _Call, failure: str, target: str, text: str, *attributes: Params) -> None:
        try:
            self._send(target, text, *attributes)
        except Exception as error:
            self._count(call, failure)
            log.warning("%s could not be told of a call of %s: %s", target, call.arn, error)

    def _send(self, target: str, text: str, attributes: Params | None = None) -> None:
        """Give a text to a queue, topic, function or bus; blocks.

        Raises:
            Exception: It does not take it.
        """
        _, _, service, region, account, name = target.split(":", 5)
        client = self._aws.client(service, Scope(account, region))
        given = {"MessageAttributes": attributes} if attributes else {}
        if service == "sqs":
            url = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
            client.send_message(QueueUrl=url, MessageBody=text, **given)
        elif service == "sns":
            client.publish(TopicArn=target, Message=text, **given)
        elif service == "lambda":
            client.invoke(FunctionName=target, InvocationType="Event", Payload=text.encode())
        elif service == "events":
            failed = json.loads(text)["requestContext"]["condition"] != "Success"
            entry = {
                "Source": "lambda",
                "DetailType": f"Lambda Function Invocation Result - {'Failure' if failed else 'Success'}",
                "Detail": text,
                "EventBusName": target,
            }
            client.put_events(Entries=[entry])
        else:
            raise ValueError(f"the sandbox delivers nothing to {service}")

    def _telling_of_missing(self, eventbridge: Any, invoke: Callable[..., Any]) -> Callable[..., Any]:
        """A rule's event for a function that is not there goes to the dead-letter queue of its target."""

        @functools.wraps(invoke)
        def invoke_target(target: Params, event: Params, rule: Params, view: Any = None) -> Any:
            arn = target.get("Arn", "")
            if ":lambda:" not in arn or find_function(arn) is not None:
                return invoke(target, event, rule, view)
            log.warning("rule %s: function not found: %s", rule.get("Name"), arn)
            by_rule = {"RuleName": rule.get("Name", "")}
            record = module("services.cloudwatch").record_metric
            record("AWS/Events", "FailedInvocations", 1, "Count", by_rule)
            queue = (target.get("DeadLetterConfig") or {}).get("Arn")
            if queue:
                record("AWS/Events", "InvocationsSentToDlq", 1, "Count", by_rule)
                text = json.dumps((view or eventbridge._pattern_event_view(event)).event_with_detail())
                attributes = _text_attributes(
                    RULE_ARN=rule.get("Arn", ""),
                    TARGET_ARN=arn,
                    ERROR_CODE="RESOURCE_NOT_FOUND",
                    ERROR_MESSAGE=f"Function not found: {arn}",
                )
                # on a thread: this is the gateway's loop
                self._start(lambda: self._send_dead_letter(queue, text, attributes))
            return None

        return invoke_target

    def _send_dead_letter(self, queue: str, text: str, attributes: Params) -> None:
        try:
            self._send(queue, text, attributes)
        except Exception as error:
            log.warning("the dead letter could not be sent to %s: %s", queue, error)


def find_function(arn: str) -> Params | None:
    """ministack's record of a function of this account, by which it is executed; None if there is none."""
    service = module("services.lambda_svc")
    found, config, _ = service._get_func_record_for_ref(arn)
    if not found or not config:
        return None
    record: Params = service._execution_record_for_config(found, config)
    return record


def _apart(work: Callable[[], None]) -> None:
    forget()  # the request that it came from has had its answer
    try:
        work()
    except Exception:
        log.exception("an asynchronous call failed in the sandbox")


def _throttled_pauses() -> Iterator[float]:
    pause = FIRST_THROTTLED_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_THROTTLED_PAUSE, 2 * pause)


def _record(call: _Call, condition: str) -> str:
    """What a destination is told ("Capturing records of Lambda asynchronous invocations")."""
    now, result = datetime.now(UTC), call.result or {}
    record = {
        "version": "1.0",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": call.arn if call.qualifier else f"{call.arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": call.tries,
        },
        "requestPayload": call.event,
    }
    if call.tries:
        answered = {"statusCode": 200, "executedVersion": call.version}
        if condition != "Success":
            answered["functionError"] = result.get("function_error") or "Unhandled"
        record |= {"responseContext": answered, "responsePayload": result.get("body")}
    return json.dumps(record, ensure_ascii=False)


def _error_attributes(call: _Call) -> Params:
    """Attributes of a message in a function's dead-letter queue."""
    result = call.result or {}
    body = result.get("body")
    words = body if isinstance(body, dict) else {}
    message = str(words.get("errorMessage") or words.get("message") or body)
    return {
        **_text_attributes(RequestID=str(uuid.uuid4()), ErrorMessage=message[:_LONGEST_MESSAGE] or "Unknown"),
        "ErrorCode": {"DataType": "Number", "StringValue": "429" if result.get("throttle") else "200"},
    }


def _text_attributes(**values: str) -> Params:
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
