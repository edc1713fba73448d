"""Tells people about deployments that end badly, also those that SageMaker takes back in silence."""

from __future__ import annotations

from collections.abc import Sequence

from constructs import Construct

from .endpoint import ServingEndpoint
from .event_messages import ENDPOINT_CHANGE, EventMessages
from .storage import AlarmTopic

BAD_STATUSES = ("FAILED", "ROLLING_BACK", "UPDATE_ROLLBACK_FAILED")
"""Statuses of an endpoint whose creation or update went wrong, as events write them (developer guide, "Events
that Amazon SageMaker AI sends to Amazon EventBridge")."""


class DeploymentNotifications(EventMessages):
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
        super().__init__(scope, id_, subject=endpoint.endpoint_name, topic=topic)
        paths = {"endpoint": "EndpointName", "status": "EndpointStatus", "config": "EndpointConfigName"}
        told: list[tuple[str, dict[str, Sequence[object]], str]] = [
            (
                "EndsBadly",
                {"EndpointStatus": BAD_STATUSES},
                "A deployment of the endpoint <endpoint> went wrong: its status is <status>.",
            ),
            (
                "ServesAnother",
                {
                    "EndpointStatus": ["IN_SERVICE"],
                    "EndpointConfigName": [{"anything-but": [endpoint.expected_config_name]}],
                },
                "The endpoint <endpoint> is in service with the configuration <config>, which is not the one "
                "that was deployed last: the update was taken back.",
            ),
        ]
        for name, detail, text in told:
            self.tell(
                name,
                about="Deployments",
                detail_type=ENDPOINT_CHANGE,
                detail={"EndpointName": [endpoint.endpoint_name], **detail},
                paths=paths,
                text=f"{text} (<time>) See FailureReason in DescribeEndpoint.",
            )
        self.let_rules_keep_letters()
        endpoint.endpoint.node.add_dependency(*self.rules)
