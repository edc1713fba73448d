"""Messages to a topic about events of EventBridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events

from constructs import Construct

from .storage import AlarmTopic, DeadLetterQueue

SOURCE = "aws.sagemaker"
ENDPOINT_CHANGE = "SageMaker Endpoint State Change"
PACKAGE_CHANGE = "SageMaker Model Package State Change"
EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"
"""Kinds of events (developer guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge")."""


class EventMessages(Construct):
    """Rules that write a sentence to a topic; what cannot be delivered within 24 hours is kept and raises an
    alarm. A service may send an event more than once, and then the same message comes again.

    Args:
        subject: What the messages are about, for people.
        topic: Where they go.

    Attributes:
        rules: The rules so far.
        dead_letters: The dead-letter queue.
        alarm: The alarm on the queue.
    """

    def __init__(self, scope: Construct, id_: str, *, subject: str, topic: AlarmTopic) -> None:
        super().__init__(scope, id_)
        self._subject = subject
        self._topic = topic
        topic.allow_events()
        self.rules: list[events.CfnRule] = []
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=topic.key)
        self.alarm = cloudwatch.Alarm(
            self,
            "Undelivered",
            metric=self.dead_letters.metric_approximate_number_of_messages_visible(
                period=cdk.Duration.minutes(5), statistic="Maximum"
            ),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"[warning] notifications about {subject} were not delivered",
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))

    def tell(
        self,
        id_: str,
        *,
        about: str,
        detail_type: str,
        detail: Mapping[str, Sequence[object]],
        paths: Mapping[str, str],
        text: str,
    ) -> events.CfnRule:
        """Add a rule on events of SageMaker.

        Args:
            id_: Its construct id.
            about: For people, in the rule's description.
            detail_type: Kind of event.
            detail: Member of the event's detail to its values or patterns.
            paths: Name in ``text`` to member of the event's detail; ``time`` is there without.
            text: The message, with names of ``paths`` in angle brackets.
        """
        rule = events.CfnRule(
            self,
            id_,
            description=f"{about} of {self._subject}: {id_}",
            event_pattern={
                "source": [SOURCE],
                "detail-type": [detail_type],
                "detail": {name: list(values) for name, values in detail.items()},
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="Topic",
                    arn=self._topic.topic_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=self.dead_letters.queue_arn
                    ),
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={
                            **{name: f"$.detail.{member}" for name, member in paths.items()},
                            "time": "$.time",
                        },
                        # a text in JSON: the quotation marks belong to it
                        input_template=f'"{text}"',
                    ),
                )
            ],
        )
        self.rules.append(rule)
        return rule

    def let_rules_keep_letters(self) -> None:
        """Let the rules write dead letters; call it once, after the last of them."""
        self.dead_letters.keep_events_of(self.rules)
