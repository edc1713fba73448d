"""Tells people about deployments that end badly, also those that SageMaker takes back in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam

from constructs import Construct

from .endpoint import ServingEndpoint
from .storage import AlarmTopic, DeadLetterQueue

BAD_STATUSES = ("FAILED", "ROLLING_BACK", "UPDATE_ROLLBACK_FAILED")
"""Statuses of an endpoint whose creation or update went wrong, as events write them (developer guide, "Events
that Amazon SageMaker AI sends to Amazon EventBridge")."""


class DeploymentNotifications(Construct):
    """Messages to a topic when an endpoint's creation or update fails or is taken back.

    Two rules on the events "SageMaker Endpoint State Change" of this endpoint: one for the statuses in
    `BAD_STATUSES`, and one for an endpoint that is in service with another configuration than this
    deployment's, which is how a rollback ends. They are in place before the endpoint is updated. SageMaker
    may send an event more than once, and then the same message comes again.

    Args:
        endpoint: The endpoint.
        topic: Where messages go. What cannot be delivered within 24 hours is kept in a dead-letter queue,
            which raises an alarm.

    Attributes:
        rules: The rules.
        dead_letters: The dead-letter queue.
        alarm: The alarm on the queue.
    """

    def __init__(self, scope: Construct, id_: str, *, endpoint: ServingEndpoint, topic: AlarmTopic) -> None:
        super().__init__(scope, id_)
        self._endpoint_name = endpoint.endpoint_name
        self._topic = topic
        topic.allow_events()
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=topic.key)
        self.rules = [
            self._rule(
                "EndsBadly",
                {"EndpointStatus": BAD_STATUSES},
                "A deployment of the endpoint <endpoint> went wrong: its status is <status>.",
            ),
            self._rule(
                "ServesAnother",
                {
                    "EndpointStatus": ["IN_SERVICE"],
                    "EndpointConfigName": [{"anything-but": [endpoint.expected_config_name]}],
                },
                "The endpoint <endpoint> is in service with the configuration <config>, which is not the one "
                "that was deployed last: the update was taken back.",
            ),
        ]
        self.dead_letters.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EventsOfTheseRules",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.dead_letters.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": [rule.attr_arn for rule in self.rules]}},
            )
        )
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
            alarm_description=f"[warning] notifications about {self._endpoint_name} were not delivered",
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))
        endpoint.endpoint.node.add_dependency(*self.rules)

    def _rule(self, id_: str, detail: Mapping[str, Sequence[object]], text: str) -> events.CfnRule:
        return events.CfnRule(
            self,
            id_,
            description=f"Deployments of {self._endpoint_name}: {id_}",
            event_pattern={
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Endpoint State Change"],
                "detail": {
                    "EndpointName": [self._endpoint_name],
                    **{name: list(values) for name, values in detail.items()},
                },
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
                            "endpoint": "$.detail.EndpointName",
                            "status": "$.detail.EndpointStatus",
                            "config": "$.detail.EndpointConfigName",
                            "time": "$.time",
                        },
                        # a text in JSON: the quotation marks belong to it
                        input_template=f'"{text} (<time>) See FailureReason in DescribeEndpoint."',
                    ),
                )
            ],
        )
