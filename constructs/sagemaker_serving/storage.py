"""Where data rests: the stack's own key, its encrypted buckets and queues, and the topic that alarms are sent
to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from constructs import Construct

from .acknowledgements import Pack, acknowledge
from .errors import Findings
from .limits import check_integer

LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""Days that CloudWatch Logs can keep a group's events (API operation PutRetentionPolicy)."""


@dataclass(frozen=True)
class Retention:
    """What becomes of data with time, and when its stack is removed.

    Args:
        keep_data: True: buckets, keys and logs outlive their stack, and buckets keep earlier versions of
            their objects. False: removing the stack removes them with all that is in them.
        log_days: Days that logs are kept; one of `LOG_RETENTION_DAYS`.
        data_days: Days that objects are kept in a bucket, at least 1.

    Raises:
        InvalidConfiguration: A number of days that the service does not know.
    """

    keep_data: bool
    log_days: int = 30
    data_days: int = 90

    def __post_init__(self) -> None:
        findings = Findings("Retention")
        findings.require(
            self.log_days in LOG_RETENTION_DAYS,
            "log_days",
            self.log_days,
            "CloudWatch Logs keeps events for one of these numbers of days: "
            f"{', '.join(map(str, LOG_RETENTION_DAYS))} (API operation PutRetentionPolicy)",
            "choose one of them",
        )
        check_integer(findings, "data_days", self.data_days, low=1, source="S3 lifecycle Expiration.Days")
        findings.raise_if_any()

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """For CloudFormation's DeletionPolicy and UpdateReplacePolicy.

        What a failed first deployment made is removed in any case: it holds nothing yet, and a log group that
        is left behind would stand in the way of the next attempt.
        """
        kept = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        return kept if self.keep_data else cdk.RemovalPolicy.DESTROY


class EncryptionKey(kms.Key):
    """The stack's own key: rotates each year, and is removed or kept with the data it protects.

    The account's IAM policies decide who may use it; services that act on their own behalf get a statement
    from the construct that needs it.

    Args:
        retention: Whether the key outlives the stack. A removed key can still be recovered for 7 days.
    """

    def __init__(self, scope: Construct, id_: str, *, retention: Retention) -> None:
        super().__init__(
            scope,
            id_,
            description=f"Data at rest of {cdk.Stack.of(scope).stack_name}",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(30 if retention.keep_data else 7),
            removal_policy=retention.removal_policy,
        )
        self._open_to_rules = False

    def allow_rules(self) -> None:
        """Let rules of EventBridge write into this stack's dead-letter queues."""
        if self._open_to_rules:
            return
        self._open_to_rules = True
        self.allow_service(
            "LettersOfRules",
            "events.amazonaws.com",
            actions=["Decrypt", "GenerateDataKey*"],
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
        )

    def allow_service(
        self,
        sid: str,
        service: str,
        *,
        actions: Sequence[str],
        conditions: dict[str, dict[str, object]],
    ) -> None:
        """Let an AWS service use the key on its own behalf.

        Args:
            sid: Name of the statement; letters and digits.
            service: Service principal, for example ``cloudwatch.amazonaws.com``.
            actions: Actions without their ``kms:``.
            conditions: What narrows it down to this stack's resources.
        """
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                principals=[iam.ServicePrincipal(service)],
                actions=[f"kms:{action}" for action in actions],
                resources=["*"],  # in a key's policy: this key
                conditions=conditions,
            )
        )


class DataBucket(s3.Bucket):
    """A private bucket: encrypted with the stack's key, reached over TLS only, emptied by a lifecycle rule.

    Kept data also gets versions and access logs (in a second bucket); a throw-away bucket empties itself when
    its stack is removed.

    Args:
        key: Encrypts every object.
        retention: How long objects stay, and whether the bucket outlives the stack.
        expires: Whether objects go after the retention's days. Without, only uploads that were not finished
            and versions that were replaced do: for what something that runs depends on. Default yes.
    """

    def __init__(
        self, scope: Construct, id_: str, *, key: kms.IKey, retention: Retention, expires: bool = True
    ) -> None:
        super().__init__(
            scope,
            id_,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=retention.keep_data,
            lifecycle_rules=[_expiry(retention, expires=expires)],
            removal_policy=retention.removal_policy,
            auto_delete_objects=not retention.keep_data,
        )
        acknowledge(self, _NOT_REPLICATED)
        if retention.keep_data:
            AccessLogBucket(scope, f"{id_}AccessLogs", retention=retention).receive_from(self)
        else:
            _acknowledge_throw_away(self)

    def send_events(self) -> None:
        """Let the bucket tell EventBridge about new objects."""
        # not by event_bridge_enabled, which would add a function that does the same
        cast(
            s3.CfnBucket, self.node.default_child
        ).notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                event_bridge_enabled=True
            )
        )


class AccessLogBucket(s3.Bucket):
    """Receives the access logs of a `DataBucket`.

    Args:
        retention: How long log files stay.
    """

    def __init__(self, scope: Construct, id_: str, *, retention: Retention) -> None:
        super().__init__(
            scope,
            id_,
            encryption=s3.BucketEncryption.S3_MANAGED,  # S3 delivers access logs to no other kind
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=retention.keep_data,
            lifecycle_rules=[_expiry(retention)],
            removal_policy=retention.removal_policy,
            auto_delete_objects=not retention.keep_data,
        )
        no_kms = (
            "S3 delivers server access logs only to buckets with SSE-S3 (Amazon S3 User Guide, server logs)."
        )
        acknowledge(self, {"S3DefaultEncryptionKMS": no_kms, **_NOT_REPLICATED})

    def receive_from(self, bucket: s3.Bucket) -> None:
        """Let S3 write a bucket's access logs into this one.

        By a bucket policy of our own: without a feature flag, the CDK's own way still asks for an ACL, which
        a bucket that has its ACLs switched off refuses.

        Args:
            bucket: A bucket of the same account and Region.
        """
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="DeliverAccessLogs",
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.arn_for_objects("*")],
                conditions={
                    "ArnLike": {"aws:SourceArn": bucket.bucket_arn},
                    "StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account},
                },
            )
        )
        logged = cast(s3.CfnBucket, bucket.node.default_child)
        logged.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self.bucket_name
        )


class ServiceLogGroup(logs.CfnLogGroup):
    """The log group that a service would make by itself, made before it does: its own would keep logs for
    ever, in plain.

    Args:
        name: The group's name, as the service goes by it; a plain text.
        key: Encrypts the logs; gets the statement that lets CloudWatch Logs use it for this group.
        retention: How long logs are kept, and whether they outlive the stack.

    Attributes:
        arn: The group's ARN, without the ``:*`` of all its streams.
    """

    def __init__(
        self, scope: Construct, id_: str, *, name: str, key: EncryptionKey, retention: Retention
    ) -> None:
        self.arn = f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:{name}"
        key.allow_service(
            f"LogsOf{''.join(filter(str.isalnum, name.rpartition('/')[2]))}",
            f"logs.{cdk.Aws.REGION}.amazonaws.com",
            actions=["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "Describe*"],
            conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": self.arn}},
        )
        super().__init__(
            scope, id_, log_group_name=name, retention_in_days=retention.log_days, kms_key_id=key.key_arn
        )
        self.apply_removal_policy(retention.removal_policy)


class AlarmTopic(sns.Topic):
    """The topic that this stack's alarms are sent to: encrypted, over TLS only, open to CloudWatch alarms of
    this account, and to EventBridge when that is asked for.

    Args:
        key: Encrypts the messages; gets the statement that lets CloudWatch alarms use it.
        emails: Addresses that are asked to subscribe.

    Attributes:
        key: As given.
    """

    def __init__(self, scope: Construct, id_: str, *, key: EncryptionKey, emails: Sequence[str] = ()) -> None:
        super().__init__(scope, id_, master_key=key, enforce_ssl=True)
        self.key = key
        self._open_to_events = False
        stack = cdk.Stack.of(self)
        own_alarms: dict[str, dict[str, object]] = {
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {
                "aws:SourceArn": f"arn:{cdk.Aws.PARTITION}:cloudwatch:{stack.region}:{stack.account}:alarm:*"
            },
        }
        # TLS only means a policy of our own, and that replaces the default one that let alarms in
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic_arn],
                conditions=own_alarms,
            )
        )
        key.allow_service(
            "AlarmsOfThisAccount",
            "cloudwatch.amazonaws.com",
            actions=["Decrypt", "GenerateDataKey*"],
            conditions=own_alarms,
        )
        for index, email in enumerate(emails):
            sns.Subscription(
                self, f"Email{index}", topic=self, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=email
            )

    def allow_events(self) -> None:
        """Let EventBridge rules send to the topic.

        Without a condition on the rule: EventBridge takes none in a topic's policy (EventBridge User Guide,
        Amazon SNS permissions), and publishes with nothing that a condition on the key could look at.
        """
        if self._open_to_events:
            return
        self._open_to_events = True
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EventsOfRules",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic_arn],
            )
        )
        self.key.allow_service(
            "EventsOfRules",
            "events.amazonaws.com",
            actions=["Decrypt", "GenerateDataKey*"],
            conditions={},
        )


class DeadLetterQueue(sqs.Queue):
    """Keeps what could not be delivered: encrypted, over TLS only, for 14 days, the longest that SQS keeps
    messages.

    Args:
        key: Encrypts the messages. Whoever sends to the queue must be able to use it.
        has_owner: Whether a queue or function of the same stack names it as its own dead-letter queue: then
            the compliance packs see what it is by themselves. Default no.
    """

    def __init__(self, scope: Construct, id_: str, *, key: EncryptionKey, has_owner: bool = False) -> None:
        super().__init__(
            scope,
            id_,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        if not has_owner:
            acknowledge(
                self,
                {"SQS3": "It is a dead-letter queue itself; what lands in it raises an alarm."},
                Pack.AWS_SOLUTIONS,
            )

    def keep_events_of(self, rules: Sequence[events.CfnRule]) -> None:
        """Let rules of EventBridge write what they could not deliver; the queue's key has to let them, too.

        Args:
            rules: All rules that name this queue.
        """
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="EventsOfTheseRules",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": [rule.attr_arn for rule in rules]}},
            )
        )


_NOT_REPLICATED = {
    "S3BucketReplicationEnabled": "What is stored here are requests and answers, for a limited time, and "
    "serving goes on without them; a second copy in another Region would only double the personal data."
}


def _expiry(retention: Retention, *, expires: bool = True) -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="expire" if expires else "tidy",
        expiration=cdk.Duration.days(retention.data_days) if expires else None,
        noncurrent_version_expiration=cdk.Duration.days(30) if retention.keep_data else None,
        abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
    )


def _acknowledge_throw_away(bucket: s3.Bucket) -> None:
    reason = "Throw-away data of a development stack: it goes with the stack, so there is nothing to {}."
    acknowledge(bucket, {"S1": reason.format("audit")}, Pack.AWS_SOLUTIONS)
    acknowledge(
        bucket,
        {
            "S3BucketLoggingEnabled": reason.format("audit"),
            "S3BucketVersioningEnabled": reason.format("restore"),
        },
    )
