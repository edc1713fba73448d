"""Functions that events of EventBridge call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events

from constructs import Construct

from .storage import DeadLetterQueue
from .zip_function import ZipFunction


def call_on_events(
    scope: Construct,
    id_: str,
    *,
    description: str,
    pattern: Mapping[str, Any],
    function: ZipFunction,
    dead_letters: DeadLetterQueue,
) -> events.CfnRule:
    """A rule that calls a function, which may be called by this rule.

    Args:
        scope: Where it is made.
        id_: Its construct id.
        description: For people.
        pattern: Which events.
        function: What is called, with the event.
        dead_letters: Gets events that could not be delivered for a day; whoever makes it lets the rule write.
    """
    from aws_cdk import aws_lambda as lambda_  # a fifth of a second: only who has a function pays it

    rule = events.CfnRule(
        scope,
        id_,
        description=description,
        event_pattern=dict(pattern),
        targets=[
            events.CfnRule.TargetProperty(
                id="Function",
                arn=function.function.function_arn,
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
                retry_policy=events.CfnRule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=86_400, maximum_retry_attempts=185
                ),
            )
        ],
    )
    lambda_.CfnPermission(
        scope,
        f"{id_}Permission",
        action="lambda:InvokeFunction",
        function_name=function.function.function_arn,
        principal="events.amazonaws.com",
        source_arn=rule.attr_arn,
    )
    return rule
