"""What an execution role may do while its model serves, whoever made the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam

from constructs import Construct

from .acknowledgements import acknowledge_wildcards
from .metrics import INSTANCE_NAMESPACE, INVOCATION_NAMESPACE
from .model import acknowledge_inline
from .storage import ServiceLogGroup


def serving_policy(
    scope: Construct,
    id_: str,
    *,
    role: iam.Role,
    log_group: ServiceLogGroup,
    rollback_alarms: Sequence[cloudwatch.IAlarm],
    statements: Sequence[iam.PolicyStatement] = (),
    wildcards: Mapping[str, str] | None = None,
) -> iam.Policy:
    """The policy by which a model's role writes logs and metrics of its endpoint, and looks at its alarms.

    Args:
        scope: Where it is made.
        id_: Its construct id.
        role: The model's execution role.
        log_group: The endpoint's.
        rollback_alarms: What takes updates of the endpoint back (developer guide, "Auto-rollback
            configuration and monitoring": this role looks at them).
        statements: What else the role may do.
        wildcards: Resources in these that end in a wildcard, and why.
    """
    streams = f"{log_group.arn}:log-stream:*"
    alarms = [alarm.alarm_arn for alarm in rollback_alarms]
    allowed = [
        iam.PolicyStatement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[log_group.arn, streams],
        ),
        iam.PolicyStatement(
            sid="PublishMetrics",
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": [INVOCATION_NAMESPACE, INSTANCE_NAMESPACE]}},
        ),
        *statements,
    ]
    if alarms:
        allowed.append(
            iam.PolicyStatement(
                sid="WatchRollbackAlarms", actions=["cloudwatch:DescribeAlarms"], resources=alarms
            )
        )
    policy = iam.Policy(scope, id_, roles=[role], statements=allowed)
    acknowledge_wildcards(
        policy,
        {
            "*": "cloudwatch:PutMetricData knows no resource; the condition on the namespace narrows it.",
            streams: "SageMaker names the log streams; the group is this endpoint's own.",
            **(wildcards or {}),
        },
    )
    acknowledge_inline(policy)
    return policy
