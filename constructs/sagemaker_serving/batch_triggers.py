"""What starts a batch workflow by itself: a schedule, or an object that arrives."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import available_timezones

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler

from constructs import Construct

from .batch_storage import Folder
from .errors import Findings, is_token
from .limits import check_choice, check_integer, suggest
from .model import acknowledge_inline
from .storage import DeadLetterQueue, EncryptionKey
from .transform_workflow import TransformWorkflow

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
    """When a workflow starts; made by `daily`, `weekly` or `cron`.

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


class ScheduleTrigger(Construct):
    """Starts a workflow by the clock, over one prefix of its input bucket: what is new there is scored.

    Args:
        workflow: What starts.
        schedule: When.
        prefix: Below ``input/``, ends in ``/``; empty for all of it. Default all.
        key: Encrypts the dead letters.

    Attributes:
        dead_letters: Starts that failed for a day.
        schedule: The underlying resource.

    Raises:
        InvalidConfiguration: A prefix that is none.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow: TransformWorkflow,
        schedule: Schedule,
        prefix: str = "",
        key: EncryptionKey,
    ) -> None:
        super().__init__(scope, id_)
        check_prefix(findings := Findings(self.node.path), prefix)
        findings.raise_if_any()
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key)
        role = _starter(self, workflow, "scheduler.amazonaws.com", self.dead_letters, key)
        window = scheduler.CfnSchedule.FlexibleTimeWindowProperty(
            mode="FLEXIBLE" if schedule.flexible_minutes else "OFF",
            maximum_window_in_minutes=schedule.flexible_minutes or None,
        )
        self.schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Starts {workflow.workflow_name}",
            schedule_expression=f"cron({schedule.expression})",
            schedule_expression_timezone=schedule.time_zone,
            flexible_time_window=window,
            target=scheduler.CfnSchedule.TargetProperty(
                arn=workflow.state_machine_arn,
                role_arn=role.role_arn,
                input=json.dumps(
                    {
                        "input": f"{workflow.storage.uri(Folder.INPUT)}{prefix}",
                        "force": False,
                        "trigger": "schedule",
                    }
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                    arn=self.dead_letters.queue_arn
                ),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                ),
            ),
        )
        self.schedule.node.add_dependency(self.node.find_child("Policy"), workflow.state_machine)


class ObjectTrigger(Construct):
    """Starts a workflow when a manifest (``*.manifest``) or a marker (``_SUCCESS``) arrives below ``input/``.

    S3 may tell of one object twice; the second execution finds everything claimed and ends.

    Args:
        workflow: What starts.
        prefix: Below ``input/``, ends in ``/``; empty for all of it. Default all.
        key: Encrypts the dead letters.

    Attributes:
        dead_letters: Starts that failed for a day.
        rule: The underlying resource.

    Raises:
        InvalidConfiguration: A prefix that is none.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        workflow: TransformWorkflow,
        prefix: str = "",
        key: EncryptionKey,
    ) -> None:
        super().__init__(scope, id_)
        check_prefix(findings := Findings(self.node.path), prefix)
        findings.raise_if_any()
        workflow.storage.send_events()
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key)
        role = _starter(self, workflow, "events.amazonaws.com", None, key)
        folder = f"{Folder.INPUT}/{prefix}"
        self.rule = events.CfnRule(
            self,
            "Rule",
            description=f"Starts {workflow.workflow_name}",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [workflow.storage.input.bucket_name]},
                    "object": {
                        "key": [{"wildcard": f"{folder}*.manifest"}, {"wildcard": f"{folder}*_SUCCESS"}]
                    },
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Workflow",
                    arn=workflow.state_machine_arn,
                    role_arn=role.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=self.dead_letters.queue_arn
                    ),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                    ),
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"bucket": "$.detail.bucket.name", "key": "$.detail.object.key"},
                        input_template='{"input": "s3://<bucket>/<key>", "trigger": "object"}',
                    ),
                )
            ],
        )
        self.rule.node.add_dependency(self.node.find_child("Policy"), workflow.state_machine)
        self.dead_letters.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EventsOfThisRule",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.dead_letters.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": self.rule.attr_arn}},
            )
        )
        key.allow_service(
            "LettersOfRules",
            "events.amazonaws.com",
            actions=["Decrypt", "GenerateDataKey*"],
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
        )


def check_prefix(findings: Findings, prefix: str, field: str = "prefix") -> None:
    """Note a finding unless a prefix names a folder below ``input/``, or all of it.

    Args:
        findings: Where to note it.
        prefix: The prefix.
        field: The argument that holds it.
    """
    findings.require(
        lambda: not prefix or (prefix.endswith("/") and not prefix.startswith("/") and "*" not in prefix),
        field,
        prefix,
        f"is a folder below {Folder.INPUT}/: it ends in / and does not begin with it",
        f"write {prefix.strip('/*') if not is_token(prefix) else ''}/",
    )


def _starter(
    scope: Construct,
    workflow: TransformWorkflow,
    service: str,
    letters: DeadLetterQueue | None,
    key: EncryptionKey,
) -> iam.Role:
    """The role by which a service starts the workflow, and writes dead letters where it does so itself."""
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(
            service, conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(scope).account}}
        ),
        description=f"Starts {workflow.workflow_name}",
    )
    statements = [workflow.start_statement()]
    if letters is not None:
        statements += [
            iam.PolicyStatement(
                sid="WriteDeadLetters", actions=["sqs:SendMessage"], resources=[letters.queue_arn]
            ),
            iam.PolicyStatement(
                sid="UseKey", actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]
            ),
        ]
    policy = iam.Policy(scope, "Policy", roles=[role], statements=statements)
    acknowledge_inline(policy)
    return role
