"""EventBridge Scheduler on ministack: schedules with their time zones, by the sandbox's clock.

A schedule has an AWS time of its own, which begins at the real time when it was made or changed and then runs
as fast as the sandbox's clock: with a scale of 60 a daily schedule fires after at most 24 minutes.
"""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.clock import Clock
from sandbox.ministack_adapter.asynchronous_calls import find_function
from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params

log = logging.getLogger(__name__)

_TYPE = "AWS::Scheduler::Schedule"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# AWS seconds between two looks at the schedules, whose smallest unit is a minute
_PERIOD = 10.0
_SHORTEST_PERIOD = 0.25
# what a clock that was stopped for long, or a fast one, may have to skip at most
_MOST_SKIPPED = 100_000
# members that ministack's CloudFormation drops
_KEPT = {"ScheduleExpressionTimezone": "UTC", "StartDate": None, "EndDate": None, "KmsKeyArn": None}


class Schedules:
    """Fires schedules when they are due; in place of ministack's own.

    Args:
        clock: How fast their time runs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = module("services.scheduler")
        self._last: dict[Any, tuple[float, float]] = {}

    def install(self) -> None:
        """Let ministack's ticker look at them."""
        self._scheduler._tick_schedules = self.tick
        self._scheduler._SCHEDULE_TICK_INTERVAL = max(_SHORTEST_PERIOD, self._clock.real(_PERIOD))

    def tick(self) -> None:
        """Fire what is due, once each, with the latest time that it was due at."""
        schedules = self._scheduler._schedules
        for account, region, key in list(schedules.to_dict()):
            schedule = schedules.get_scoped(account, region, key, None)
            if schedule is None or schedule.get("State") != "ENABLED":
                continue
            with module("core.responses").request_scope(account, region):
                try:
                    self._look_at((account, region, key), schedule)
                except Exception:  # the others go on
                    log.exception("schedule %s could not be fired", key)

    def _look_at(self, place: tuple[str, str, str], schedule: Params) -> None:
        modified = float(schedule["LastModificationDate"])
        now = modified + (time.time() - modified) * self._clock.scale
        known, last = self._last.get(place, (modified, modified))
        if known != modified:  # changed meanwhile: it begins anew
            last = modified
        start, end = (self._scheduler._to_epoch(schedule.get(name)) for name in ("StartDate", "EndDate"))
        last = max(last, start - 1) if start is not None else last
        due = None
        for number, moment in enumerate(occurrences(schedule, last)):
            if moment > now or (end is not None and moment > end) or number > _MOST_SKIPPED:
                break
            due = moment
        self._last[place] = (modified, last if due is None else due)
        if due is not None:
            self._fire(schedule, due)
        ends = _is_once(schedule) and due is not None
        if (ends or (end is not None and now > end)) and schedule.get("ActionAfterCompletion") == "DELETE":
            self._scheduler._schedules.pop(place[2], None)

    def _fire(self, schedule: Params, due: float) -> None:
        target = dict(schedule.get("Target") or {})
        if "Input" in target:
            target["Input"] = _filled(target["Input"], schedule, due)
        try:
            _invoke(target, schedule, due)
        except Exception as error:
            log.warning("schedule %s: its target %s failed: %s", schedule["Name"], target.get("Arn"), error)
            dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
            if dead_letters:
                eventbridge, arn = module("services.eventbridge"), module("core.arn").parse_arn(dead_letters)
                eventbridge._dispatch_to_sqs(arn, target.get("Input", "{}"), {})


def occurrences(schedule: Params, after: float) -> Iterator[float]:
    """The times at which a schedule is due, in order, in seconds since 1970.

    Args:
        schedule: ScheduleExpression and ScheduleExpressionTimezone.
        after: Only later ones.

    Raises:
        ValueError: The expression or the time zone is none.
    """
    expression = schedule["ScheduleExpression"].strip()
    zone = _zone(schedule.get("ScheduleExpressionTimezone") or "UTC")
    eventbridge = module("services.eventbridge")
    if expression.startswith("at("):
        once = datetime.fromisoformat(expression[3:-1]).replace(tzinfo=zone).timestamp()
        return iter([once] if once > after else [])
    interval = eventbridge._parse_rate_seconds(expression)
    if interval:
        return _every(interval, after)
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        raise ValueError(f"Invalid Schedule Expression {expression}.")
    return _cron(eventbridge, fields, zone, after)


def _every(interval: float, after: float) -> Iterator[float]:
    while True:
        after += interval
        yield after


def _cron(eventbridge: ModuleType, fields: Any, zone: ZoneInfo, after: float) -> Iterator[float]:
    while True:
        # ministack reckons in UTC: the zone's time on the wall is passed off as that
        wall = datetime.fromtimestamp(after, zone).replace(tzinfo=UTC)
        found = eventbridge._cron_next_fire(fields, wall)
        if found is None:
            return
        moment = found.replace(tzinfo=zone).timestamp()
        if moment <= after:  # an hour that a clock change repeats
            moment = after + 60
        after = moment
        yield moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"Invalid ScheduleExpressionTimezone {name}.") from error


def _is_once(schedule: Params) -> bool:
    return str(schedule["ScheduleExpression"]).startswith("at(")


def _filled(text: str, schedule: Params, due: float) -> str:
    """The input with the attributes that EventBridge Scheduler fills in ("Adding context attributes")."""
    values = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": f"{datetime.fromtimestamp(due, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _invoke(target: Params, schedule: Params, due: float) -> None:
    """Call a target.

    Raises:
        Exception: It does not take it.
    """
    arn, text = target["Arn"], target.get("Input", "{}")
    stepfunctions = module("services.stepfunctions")
    if arn.startswith(_UNIVERSAL):
        resource = f"arn:aws:states:::aws-sdk:{arn.removeprefix(_UNIVERSAL)}"
        stepfunctions._invoke_aws_sdk_integration(resource, json.loads(text))
        return
    if ":states:" in arn:
        status, _, body = stepfunctions._start_execution({"stateMachineArn": arn, "input": text})
        if status >= 300:
            raise ValueError(json.loads(body).get("message", body))
        return
    if ":lambda:" in arn and find_function(arn) is None:
        raise ValueError(f"Function not found: {arn}")
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": due,
        "Resources": [schedule["Arn"]],
        "Account": schedule["Arn"].split(":")[4],
        "Region": schedule["Arn"].split(":")[3],
    }
    module("services.eventbridge")._invoke_target(target, event, schedule)


def repair_schedules_of_templates(provisioners: ModuleType) -> None:
    """ministack's CloudFormation drops time zone, start and end, and takes expressions that are none."""
    handlers = provisioners._RESOURCE_HANDLERS[_TYPE]
    create, update = handlers["create"], handlers["update"]

    @functools.wraps(create)
    def create_whole(logical_id: str, props: Params, stack_name: str) -> Any:
        occurrences(props, 0.0)
        made = create(logical_id, props, stack_name)
        _complete(made[0], props)
        return made

    @functools.wraps(update)
    def update_whole(physical_id: str, old_props: Params, new_props: Params, stack_name: str) -> Any:
        occurrences(new_props, 0.0)
        made = update(physical_id, old_props, new_props, stack_name)
        _complete(made[0], new_props)
        return made

    provisioners._RESOURCE_HANDLERS[_TYPE] = handlers | {"create": create_whole, "update": update_whole}


def _complete(name: str, props: Params) -> None:
    scheduler = module("services.scheduler")
    group = props.get("GroupName", "default")
    schedule = scheduler._schedules.get(f"{group}/{name}")
    if schedule is None:
        raise ValueError(f"Schedule {name} could not be made in group {group}.")
    schedule |= {member: props.get(member, default) for member, default in _KEPT.items()}
    schedule["LastModificationDate"] = time.time()
