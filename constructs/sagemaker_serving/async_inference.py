"""Where an asynchronous endpoint's requests and answers lie, and who is told when one is done."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from constructs import Construct

from .acknowledgements import acknowledge_wildcards
from .errors import Findings, is_token
from .limits import check_choice, check_integer
from .model import acknowledge_inline
from .naming import free_id
from .storage import DataBucket, DeadLetterQueue, EncryptionKey, Retention

INPUT_PREFIX, OUTPUT_PREFIX, FAILURE_PREFIX = "input", "output", "failure"
"""Folders of the bucket."""

MAX_CONCURRENT_INVOCATIONS = 1000
"""Requests that an instance works on at a time (API shape MaxConcurrentInvocationsPerInstance)."""

MAX_RECEIVES = 5
"""Times that a notification is taken from its queue and not removed before it becomes a dead letter."""


class NotificationTopic(StrEnum):
    """Which notification (API shape AsyncNotificationTopicTypes)."""

    SUCCESS = "SUCCESS_NOTIFICATION_TOPIC"
    ERROR = "ERROR_NOTIFICATION_TOPIC"


class NotificationChannel(Construct):
    """A topic, a queue that is subscribed to it, and the queue's dead-letter queue; all encrypted, TLS only.

    The queue gets each notification as SageMaker wrote it (raw message delivery) and keeps it for 4 days.

    Args:
        key: Encrypts topic and queues; gets the statement that lets SNS use it.
        emails: Addresses that are asked to subscribe.
        topic: An existing topic in the same Region. Default: one is made.

    Attributes:
        topic: The topic.
        queue: The queue that is subscribed.
        dead_letters: Notifications that did not reach the queue, or that nobody could handle.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        key: EncryptionKey,
        emails: Sequence[str] = (),
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self.topic: sns.ITopic = topic or sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", key=key, has_owner=True)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(4),
            visibility_timeout=cdk.Duration.minutes(1),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=MAX_RECEIVES),
        )
        self._subscribe()
        for index, email in enumerate(emails):
            sns.Subscription(
                self,
                f"Email{index}",
                topic=self.topic,
                protocol=sns.SubscriptionProtocol.EMAIL,
                endpoint=email,
            )

    def _subscribe(self) -> None:
        # Not by SqsSubscription: it names the topic in the key's policy, and the topic needs the key.
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="NotificationsOfThisTopic",
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
            )
        )
        sns.Subscription(
            self,
            "Subscription",
            topic=self.topic,
            protocol=sns.SubscriptionProtocol.SQS,
            endpoint=self.queue.queue_arn,
            raw_message_delivery=True,
            dead_letter_queue=self.dead_letters,
        )


class AsyncInference(Construct):
    """What makes an endpoint asynchronous (API shape AsyncInferenceConfig): a bucket for requests, answers
    and failures, and a notification for each request that is done.

    The bucket's folders are ``input/`` (callers write requests), ``output/`` (answers) and ``failure/`` (why
    there is none). There are always a success and an error topic, each with a queue.

    Args:
        key: Encrypts bucket, topics and queues.
        retention: How long objects stay in the bucket, and whether it outlives the stack.
        emails: Addresses that are asked to subscribe to both topics.
        max_concurrent_invocations_per_instance: Requests that an instance works on at a time, 1 to 1000.
            Default: SageMaker chooses, by what it observes.
        include_response_in: Notifications that carry the answer too, if it is not larger than 128 KB.
            Default: none.
        success_topic: An existing topic, in the same Region as the endpoint. Default: one is made. A topic
            with a key of its own must let the models' roles use that key.
        error_topic: The same for failures.

    Attributes:
        bucket: The bucket.
        success: Topic and queues for requests that were answered.
        error: Topic and queues for requests that failed.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        key: EncryptionKey,
        retention: Retention,
        emails: Sequence[str] = (),
        max_concurrent_invocations_per_instance: int | None = None,
        include_response_in: Sequence[NotificationTopic] = (),
        success_topic: sns.ITopic | None = None,
        error_topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self._concurrency = max_concurrent_invocations_per_instance
        self._include_response_in = list(include_response_in)
        self._key = key
        findings = Findings(self.node.path)
        check_concurrency(findings, self._concurrency)
        _check_included(findings, self._include_response_in)
        for field, topic in (("success_topic", success_topic), ("error_topic", error_topic)):
            _check_region(findings, field, topic, cdk.Stack.of(self).region)
        findings.raise_if_any()

        self.bucket = DataBucket(self, "Data", key=key, retention=retention)
        self.success = NotificationChannel(self, "Success", key=key, emails=emails, topic=success_topic)
        self.error = NotificationChannel(self, "Error", key=key, emails=emails, topic=error_topic)
        stack = cdk.Stack.of(self)
        # By account, because a topic in the key's policy would need the key that needs the topic.
        key.allow_service(
            "NotificationsToQueues",
            "sns.amazonaws.com",
            actions=["Decrypt", "GenerateDataKey*"],
            conditions={
                "StringEquals": {"aws:SourceAccount": stack.account},
                "ArnLike": {"aws:SourceArn": f"arn:{cdk.Aws.PARTITION}:sns:{stack.region}:{stack.account}:*"},
            },
        )

    @property
    def channels(self) -> dict[str, NotificationChannel]:
        """Both channels, by what they tell: ``success`` and ``error``."""
        return {"success": self.success, "error": self.error}

    @property
    def input_uri(self) -> str:
        """Where callers put requests, for example ``s3://bucket/input/``."""
        return self._uri(INPUT_PREFIX)

    @property
    def output_uri(self) -> str:
        """Where answers are, for example ``s3://bucket/output/``."""
        return self._uri(OUTPUT_PREFIX)

    @property
    def failure_uri(self) -> str:
        """Where it is told why there is no answer, for example ``s3://bucket/failure/``."""
        return self._uri(FAILURE_PREFIX)

    def render(self) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
        """The block as an endpoint configuration holds it."""
        config = sagemaker.CfnEndpointConfig
        return config.AsyncInferenceConfigProperty(
            output_config=config.AsyncInferenceOutputConfigProperty(
                # SageMaker puts a slash after it
                s3_output_path=self.output_uri.rstrip("/"),
                s3_failure_path=self.failure_uri.rstrip("/"),
                kms_key_id=self._key.key_arn,
                notification_config=config.AsyncInferenceNotificationConfigProperty(
                    success_topic=self.success.topic.topic_arn,
                    error_topic=self.error.topic.topic_arn,
                    include_inference_response_in=[
                        NotificationTopic(topic).value for topic in self._include_response_in
                    ]
                    or None,
                ),
            ),
            client_config=config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=self._concurrency
            )
            if self._concurrency is not None
            else None,
        )

    def grant_model(self, role: iam.Role) -> iam.Policy:
        """Let a model's role read requests, write answers and failures, and tell the topics.

        https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-create-endpoint-prerequisites.html

        Args:
            role: The execution role of the model.

        Returns:
            The policy; the endpoint must not be created before it.
        """
        requests = self._objects(INPUT_PREFIX)
        written = [self._objects(OUTPUT_PREFIX), self._objects(FAILURE_PREFIX)]
        policy = iam.Policy(
            self,
            free_id(self, "ModelPolicy"),
            roles=[role],
            statements=[
                iam.PolicyStatement(sid="ReadRequests", actions=["s3:GetObject"], resources=[requests]),
                iam.PolicyStatement(
                    sid="WriteAnswers", actions=["s3:PutObject", "s3:AbortMultipartUpload"], resources=written
                ),
                # without it a missing object looks like a forbidden one
                iam.PolicyStatement(
                    sid="SeeWhatIsMissing", actions=["s3:ListBucket"], resources=[self.bucket.bucket_arn]
                ),
                iam.PolicyStatement(
                    sid="Notify",
                    actions=["sns:Publish"],
                    resources=[channel.topic.topic_arn for channel in self.channels.values()],
                ),
                self._use_key("EncryptRequestsAndAnswers"),
            ],
        )
        acknowledge_wildcards(
            policy,
            {
                requests: "Callers name their requests; the folder is for these alone.",
                **dict.fromkeys(written, "SageMaker names its answers; the folder is for these alone."),
            },
        )
        acknowledge_inline(policy)
        return policy

    def statements_for_callers(self) -> list[iam.PolicyStatement]:
        """What a caller needs beside the call: put a request, look for the answer or the failure, read it."""
        return [
            iam.PolicyStatement(
                sid="PutRequests",
                actions=["s3:PutObject", "s3:AbortMultipartUpload"],
                resources=[self._objects(INPUT_PREFIX)],
            ),
            iam.PolicyStatement(
                sid="ReadAnswers",
                actions=["s3:GetObject"],
                resources=[self._objects(OUTPUT_PREFIX), self._objects(FAILURE_PREFIX)],
            ),
            # without it an answer that is not there yet looks like a forbidden one
            iam.PolicyStatement(
                sid="SeeWhatIsThere", actions=["s3:ListBucket"], resources=[self.bucket.bucket_arn]
            ),
            self._use_key("EncryptRequestsDecryptAnswers"),
        ]

    def check_region(self, findings: Findings, region: str, field: str = "async_inference") -> None:
        """Note a finding when bucket and topics are in another Region than the endpoint.

        Args:
            findings: Where to note it.
            region: The endpoint's.
            field: The argument that holds this.
        """
        here = cdk.Stack.of(self).region
        findings.require(
            is_token(here) or is_token(region) or here == region,
            field,
            f"in {here}",
            f"the endpoint is in {region}, and {_SAME_REGION}",
            "make both in stacks of one Region",
        )

    def _uri(self, prefix: str) -> str:
        return f"s3://{self.bucket.bucket_name}/{prefix}/"

    def _objects(self, prefix: str) -> str:
        return self.bucket.arn_for_objects(f"{prefix}/*")

    def _use_key(self, sid: str) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid=sid, actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[self._key.key_arn]
        )


_SAME_REGION = (
    "SageMaker notifies topics and writes to buckets of the endpoint's own Region only "
    "(API shape AsyncInferenceNotificationConfig)"
)


def check_concurrency(
    findings: Findings, value: int | None, field: str = "max_concurrent_invocations_per_instance"
) -> None:
    """Note a finding unless so many requests can be worked on at a time by one instance.

    Args:
        findings: Where to note it.
        value: How many; None for what SageMaker chooses.
        field: The argument that holds it.
    """
    if value is not None:
        check_integer(
            findings,
            field,
            value,
            low=1,
            high=MAX_CONCURRENT_INVOCATIONS,
            source="API shape MaxConcurrentInvocationsPerInstance",
        )


def _check_included(findings: Findings, topics: Sequence[NotificationTopic]) -> None:
    for index, topic in enumerate(topics):
        check_choice(
            findings,
            f"include_response_in[{index}]",
            topic,
            NotificationTopic,
            source="API shape AsyncNotificationTopicTypes",
        )
    findings.require(
        len(set(topics)) == len(topics),
        "include_response_in",
        [str(topic) for topic in topics],
        "names each notification at most once (API shape AsyncNotificationTopicTypeList)",
        "remove what is there twice",
    )


def _check_region(findings: Findings, field: str, topic: sns.ITopic | None, here: str) -> None:
    there = here if topic is None else topic.env.region
    findings.require(
        is_token(here) or is_token(there) or here == there,
        field,
        f"in {there}",
        f"the endpoint is in {here}, and {_SAME_REGION}",
        f"give a topic in {here}, or leave it out for one that is made there",
    )
