"""When something starts by the clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import available_timezones

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler

from constructs import Construct

from .errors import Findings
from .limits import check_choice, check_integer, suggest
from .model import acknowledge_inline
from .storage import DeadLetterQueue, EncryptionKey

MAX_FLEXIBLE_MINUTES = 1440
"""API shape MaximumWindowInMinutes of EventBridge Scheduler."""

_CRON_FIELDS = 6
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SOURCE = "EventBridge Scheduler User Guide, schedule types"


class Day(StrEnum):
    """A day of the week, as cron writes it."""

    MONDAY = "MON"
    TUESDAY = "TUE"
    WEDNESDAY = "WED"
    THURSDAY = "THU"
    FRIDAY = "FRI"
    SATURDAY = "SAT"
    SUNDAY = "SUN"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When something starts; made by `daily`, `weekly` or `cron`.

    Args:
        expression: Six fields: minutes, hours, day of month, month, day of week, year; one of the two days is
            ``?``.
        time_zone: A name of the IANA database, for example ``Asia/Seoul``; daylight saving time is followed.
            Default ``UTC``.
        flexible_minutes: It may start so many minutes later, which spreads the load. Default 0.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    expression: str
    time_zone: str = "UTC"
    flexible_minutes: int = 0

    @classmethod
    def daily(cls, at: str, *, time_zone: str = "UTC", flexible_minutes: int = 0) -> Schedule:
        """Each day.

        Args:
            at: Hours and minutes, for example ``02:30``.
            time_zone: See `Schedule`.
            flexible_minutes: See `Schedule`.
        """
        hours, minutes = _clock(at)
        return cls(
            expression=f"{minutes} {hours} * * ? *", time_zone=time_zone, flexible_minutes=flexible_minutes
        )

    @classmethod
    def weekly(cls, day: Day, at: str, *, time_zone: str = "UTC", flexible_minutes: int = 0) -> Schedule:
        """Once a week.

        Args:
            day: Which day.
            at: Hours and minutes, for example ``02:30``.
            time_zone: See `Schedule`.
            flexible_minutes: See `Schedule`.
        """
        findings = Findings("Schedule")
        known = check_choice(findings, "day", day, Day, source=_SOURCE)
        findings.raise_if_any()
        hours, minutes = _clock(at)
        return cls(
            expression=f"{minutes} {hours} ? * {known} *",
            time_zone=time_zone,
            flexible_minutes=flexible_minutes,
        )

    @classmethod
    def cron(cls, expression: str, *, time_zone: str = "UTC", flexible_minutes: int = 0) -> Schedule:
        """By a cron expression.

        Args:
            expression: See `Schedule`, for example ``0 3 ? * MON-FRI *``.
            time_zone: See `Schedule`.
            flexible_minutes: See `Schedule`.
        """
        return cls(expression=expression, time_zone=time_zone, flexible_minutes=flexible_minutes)

    def __post_init__(self) -> None:
        findings = Findings("Schedule")
        fields = self.expression.split()
        if findings.require(
            len(fields) == _CRON_FIELDS and all(re.fullmatch(r"[A-Za-z0-9*?,/#\-]+", one) for one in fields),
            "expression",
            self.expression,
            "has six fields, separated by blanks: minutes, hours, day of month, month, day of week, year "
            f"({_SOURCE})",
            "write for example '30 2 * * ? *' (each day at 02:30)",
        ):
            findings.require(
                [fields[2], fields[4]].count("?") == 1,
                "expression",
                self.expression,
                f"exactly one of day of month and day of week is ? ({_SOURCE})",
                "put ? where the day does not matter",
            )
        findings.require(
            self.time_zone in available_timezones(),
            "time_zone",
            self.time_zone,
            "is a name of the IANA time zone database",
            suggest(self.time_zone, sorted(available_timezones())),
        )
        check_integer(
            findings,
            "flexible_minutes",
            self.flexible_minutes,
            low=0,
            high=MAX_FLEXIBLE_MINUTES,
            source="API shape MaximumWindowInMinutes",
        )
        findings.raise_if_any()


def _clock(at: str) -> tuple[int, int]:
    matched = _TIME.fullmatch(at)
    if matched is None:
        findings = Findings("Schedule")
        findings.require(False, "at", at, "is hours and minutes of a day, 00:00 to 23:59", "write '02:30'")
        findings.raise_if_any()
        raise AssertionError("unreachable")
    return int(matched[1]), int(matched[2])


def start_by_schedule(
    scope: Construct,
    schedule: Schedule,
    *,
    what: str,
    arn: str,
    permission: iam.PolicyStatement,
    text: str,
    dead_letters: DeadLetterQueue,
    key: EncryptionKey,
) -> scheduler.CfnSchedule:
    """A schedule of EventBridge Scheduler, ``Schedule`` below the scope, with a role that starts this alone.

    Args:
        scope: Where it is made; it has at most one.
        schedule: When.
        what: Name of what starts, for people.
        arn: ARN of what starts.
        permission: Lets the role start it.
        text: What it is started with, JSON.
        dead_letters: Starts that failed for a day.
        key: Encrypts these.
    """
    role = starter_role(
        scope,
        "scheduler.amazonaws.com",
        what,
        [
            permission,
            iam.PolicyStatement(
                sid="WriteDeadLetters", actions=["sqs:SendMessage"], resources=[dead_letters.queue_arn]
            ),
            iam.PolicyStatement(
                sid="UseKey", actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]
            ),
        ],
    )
    made = scheduler.CfnSchedule(
        scope,
        "Schedule",
        description=f"Starts {what}",
        schedule_expression=f"cron({schedule.expression})",
        schedule_expression_timezone=schedule.time_zone,
        flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
            mode="FLEXIBLE" if schedule.flexible_minutes else "OFF",
            maximum_window_in_minutes=schedule.flexible_minutes or None,
        ),
        target=scheduler.CfnSchedule.TargetProperty(
            arn=arn,
            role_arn=role.role_arn,
            input=text,
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
            ),
        ),
    )
    made.node.add_dependency(scope.node.find_child("Policy"))
    return made


def starter_role(
    scope: Construct, service: str, what: str, statements: Sequence[iam.PolicyStatement]
) -> iam.Role:
    """The role by which a service starts something; ``Role`` and ``Policy`` below the scope.

    Args:
        scope: Where it is made.
        service: Service principal.
        what: Name of what starts, for people.
        statements: What the role may do.
    """
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(
            service, conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(scope).account}}
        ),
        description=f"Starts {what}",
    )
    acknowledge_inline(iam.Policy(scope, "Policy", roles=[role], statements=list(statements)))
    return role
