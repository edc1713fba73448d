"""Where asynchronous requests and answers lie, who is told, and who may do what with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.async_inference import AsyncInference, NotificationTopic, check_concurrency
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.storage import EncryptionKey, Retention

Synthesised = Callable[[], Template]
RETENTION = Retention(keep_data=False)
BOTH = (NotificationTopic.SUCCESS, NotificationTopic.ERROR)


def requests(stack: cdk.Stack, key: EncryptionKey, **arguments: Any) -> AsyncInference:
    return AsyncInference(stack, "Requests", **{"key": key, "retention": RETENTION, **arguments})


def of_kind(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: dict(item["Properties"]) for name, item in template.find_resources(kind).items()}


def statements(template: Template, policy: str) -> dict[str, dict[str, Any]]:
    """The statements of the one policy whose logical id holds this."""
    (found,) = (one for name, one in of_kind(template, "AWS::IAM::Policy").items() if policy in name)
    return {item["Sid"]: item for item in found["PolicyDocument"]["Statement"]}


def rendered(made: AsyncInference) -> dict[str, Any]:
    return dict(cdk.Stack.of(made).resolve(made.render()))


def test_answers_failures_and_notifications_always_have_a_place(stack: cdk.Stack, key: EncryptionKey) -> None:
    # GIVEN nothing but the defaults
    made = requests(stack, key)
    # THEN the output path, the failure path, the key and both topics are there
    output = rendered(made)["outputConfig"]
    bucket = stack.resolve(made.bucket.bucket_name)
    assert output["s3OutputPath"] == {"Fn::Join": ["", ["s3://", bucket, "/output"]]}
    assert output["s3FailurePath"] == {"Fn::Join": ["", ["s3://", bucket, "/failure"]]}
    assert output["kmsKeyId"] == stack.resolve(key.key_arn)
    assert output["notificationConfig"] == {
        "successTopic": stack.resolve(made.success.topic.topic_arn),
        "errorTopic": stack.resolve(made.error.topic.topic_arn),
    }
    assert stack.resolve(made.input_uri) == {"Fn::Join": ["", ["s3://", bucket, "/input/"]]}


def test_concurrency_and_answers_in_notifications_are_rendered(stack: cdk.Stack, key: EncryptionKey) -> None:
    made = requests(stack, key, max_concurrent_invocations_per_instance=4, include_response_in=BOTH)
    config = rendered(made)
    assert config["clientConfig"] == {"maxConcurrentInvocationsPerInstance": 4}
    assert config["outputConfig"]["notificationConfig"]["includeInferenceResponseIn"] == [
        "SUCCESS_NOTIFICATION_TOPIC",
        "ERROR_NOTIFICATION_TOPIC",
    ]


def test_each_topic_has_a_queue_and_each_queue_dead_letters_all_encrypted(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    made = requests(stack, key)
    template = synthesised()
    arn = stack.resolve(key.key_arn)
    assert [one["KmsMasterKeyId"] for one in of_kind(template, "AWS::SNS::Topic").values()] == [arn, arn]
    queues = of_kind(template, "AWS::SQS::Queue")
    assert {json.dumps(one["KmsMasterKeyId"]) for one in queues.values()} == {json.dumps(arn)}
    # AND both ways to lose a notification end in the dead-letter queue
    subscriptions = of_kind(template, "AWS::SNS::Subscription").values()
    for channel in made.channels.values():
        topic, queue, letters = (
            stack.resolve(one)
            for one in (channel.topic.topic_arn, channel.queue.queue_arn, channel.dead_letters.queue_arn)
        )
        (subscription,) = (one for one in subscriptions if one["TopicArn"] == topic)
        assert subscription["Endpoint"] == queue
        assert subscription["RawMessageDelivery"] is True
        assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": letters}
        redrive = queues[queue["Fn::GetAtt"][0]]["RedrivePolicy"]
        assert redrive == {"deadLetterTargetArn": letters, "maxReceiveCount": 5}


def test_a_queue_takes_messages_of_its_topic_only(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    made = requests(stack, key)
    policies = of_kind(synthesised(), "AWS::SQS::QueuePolicy").values()
    for channel in made.channels.values():
        queue = stack.resolve(channel.queue.queue_url)
        (policy,) = (one for one in policies if one["Queues"] == [queue])
        (allowed,) = (one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow")
        assert allowed["Principal"] == {"Service": "sns.amazonaws.com"}
        source = stack.resolve(channel.topic.topic_arn)
        assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}


def test_sns_may_use_the_key_for_topics_of_this_account_only(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    requests(stack, key)
    (policy,) = of_kind(synthesised(), "AWS::KMS::Key").values()
    (allowed,) = (
        one
        for one in policy["KeyPolicy"]["Statement"]
        if one["Principal"] == {"Service": "sns.amazonaws.com"}
    )
    assert allowed["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_everybody_who_is_named_is_asked_to_subscribe_to_both_topics(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    requests(stack, key, emails=["a@example.com", "b@example.com"])
    mails = [
        one["Endpoint"]
        for one in of_kind(synthesised(), "AWS::SNS::Subscription").values()
        if one["Protocol"] == "email"
    ]
    assert sorted(mails) == ["a@example.com", "a@example.com", "b@example.com", "b@example.com"]


def test_a_model_may_read_requests_write_answers_and_notify_and_nothing_else(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    made = requests(stack, key)
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
    made.grant_model(role)
    allowed = statements(synthesised(), "RequestsModelPolicy")
    assert {sid: item["Action"] for sid, item in allowed.items()} == {
        "ReadRequests": "s3:GetObject",
        "WriteAnswers": ["s3:PutObject", "s3:AbortMultipartUpload"],
        "SeeWhatIsMissing": "s3:ListBucket",
        "Notify": "sns:Publish",
        "EncryptRequestsAndAnswers": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    assert "/input/*" in json.dumps(allowed["ReadRequests"]["Resource"])
    written = json.dumps(allowed["WriteAnswers"]["Resource"])
    assert "/output/*" in written
    assert "/failure/*" in written
    assert "/input/*" not in written
    assert allowed["Notify"]["Resource"] == [
        stack.resolve(channel.topic.topic_arn) for channel in made.channels.values()
    ]


def test_two_models_get_a_policy_each(stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised) -> None:
    made = requests(stack, key)
    for name in ("One", "Two"):
        made.grant_model(iam.Role(stack, name, assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com")))
    policies = of_kind(synthesised(), "AWS::IAM::Policy")
    assert len([name for name in policies if "ModelPolicy" in name]) == 2


def test_an_existing_topic_gets_a_queue_too(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    # GIVEN a topic that the company has already, in a stack that does not know its Region
    arn = "arn:aws:sns:eu-west-1:111122223333:results"
    made = requests(stack, key, success_topic=sns.Topic.from_topic_arn(stack, "Results", arn))
    # THEN only the other one is made, and both have a queue
    template = synthesised()
    assert len(of_kind(template, "AWS::SNS::Topic")) == 1
    subscribed = [one["TopicArn"] for one in of_kind(template, "AWS::SNS::Subscription").values()]
    assert len(subscribed) == 2
    assert arn in subscribed
    assert rendered(made)["outputConfig"]["notificationConfig"]["successTopic"] == arn


@pytest.mark.parametrize("which", ["success_topic", "error_topic"])
def test_a_topic_of_another_region_is_refused(app: cdk.App, which: str) -> None:
    stack = cdk.Stack(app, "Here", env=cdk.Environment(account="111122223333", region="ap-northeast-2"))
    key = EncryptionKey(stack, "Key", retention=RETENTION)
    arn = "arn:aws:sns:eu-west-1:111122223333:results"
    with pytest.raises(InvalidConfiguration) as caught:
        requests(stack, key, **{which: sns.Topic.from_topic_arn(stack, "Results", arn)})
    message = str(caught.value)
    assert f"{which} = 'in eu-west-1': the endpoint is in ap-northeast-2" in message
    assert "endpoint's own Region only" in message
    assert "give a topic in ap-northeast-2" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"max_concurrent_invocations_per_instance": 0},
            "max_concurrent_invocations_per_instance = 0: must be a whole number from 1 to 1000",
        ),
        ({"max_concurrent_invocations_per_instance": 1001}, "whole number from 1 to 1000"),
        ({"include_response_in": ["ALWAYS"]}, "include_response_in[0] = 'ALWAYS': must be one of SUCCESS_"),
        (
            {"include_response_in": [NotificationTopic.ERROR, NotificationTopic.ERROR]},
            "names each notification at most once",
        ),
    ],
)
def test_what_sagemaker_refuses_is_refused(
    stack: cdk.Stack, key: EncryptionKey, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfiguration, match="Test/Requests") as caught:
        requests(stack, key, **arguments)
    assert message in str(caught.value)


@given(st.integers())
def test_concurrency_is_from_one_to_a_thousand(value: int) -> None:
    findings = Findings("test")
    check_concurrency(findings, value)
    assert (not findings.found) == (1 <= value <= 1000)
