"""Messages about deployments that end badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from sagemaker_serving.deployment_notifications import DeploymentNotifications
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.model import ServingModel
from sagemaker_serving.storage import AlarmTopic, EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant

Synthesised = Callable[[], Template]
RETENTION = Retention(keep_data=False)


@pytest.fixture
def topic(stack: cdk.Stack) -> AlarmTopic:
    return AlarmTopic(stack, "Topic", key=EncryptionKey(stack, "Key", retention=RETENTION))


@pytest.fixture
def endpoint(stack: cdk.Stack, model: ServingModel, topic: AlarmTopic) -> ServingEndpoint:
    return ServingEndpoint(
        stack,
        "Endpoint",
        endpoint_name="Sentiment",
        variants=[ServedVariant(model=model, variant=InstanceVariant(instance_type="ml.m5.large"))],
        key=topic.key,
        retention=RETENTION,
    )


@pytest.fixture
def template(
    stack: cdk.Stack, endpoint: ServingEndpoint, topic: AlarmTopic, synthesised: Synthesised
) -> Template:
    DeploymentNotifications(stack, "Notifications", endpoint=endpoint, topic=topic)
    return synthesised()


def only(template: Template, kind: str) -> tuple[str, dict[str, Any]]:
    ((name, resource),) = template.find_resources(kind).items()
    return name, dict(resource)


def rule(template: Template, name: str) -> dict[str, Any]:
    (found,) = (
        item["Properties"]
        for id_, item in template.find_resources("AWS::Events::Rule").items()
        if name in id_
    )
    return dict(found)


def test_one_rule_hears_of_every_bad_status_of_this_endpoint_alone(template: Template) -> None:
    assert rule(template, "EndsBadly")["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Endpoint State Change"],
        "detail": {
            "EndpointName": ["Sentiment"],
            "EndpointStatus": ["FAILED", "ROLLING_BACK", "UPDATE_ROLLBACK_FAILED"],
        },
    }


def test_another_hears_of_an_endpoint_in_service_with_a_configuration_that_was_not_deployed(
    template: Template,
) -> None:
    config, _ = only(template, "AWS::SageMaker::EndpointConfig")
    detail = rule(template, "ServesAnother")["EventPattern"]["detail"]
    assert detail["EndpointStatus"] == ["IN_SERVICE"]
    assert detail["EndpointConfigName"] == [
        {"anything-but": [{"Fn::GetAtt": [config, "EndpointConfigName"]}]}
    ]


def test_rules_are_in_place_before_the_endpoint_changes(template: Template) -> None:
    _, endpoint = only(template, "AWS::SageMaker::Endpoint")
    assert set(template.find_resources("AWS::Events::Rule")) <= set(endpoint["DependsOn"])


def test_messages_go_to_the_topic_as_text_and_are_kept_when_they_cannot(template: Template) -> None:
    topic, _ = only(template, "AWS::SNS::Topic")
    queue, _ = only(template, "AWS::SQS::Queue")
    for name in ("EndsBadly", "ServesAnother"):
        (target,) = rule(template, name)["Targets"]
        assert target["Arn"] == {"Ref": topic}
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [queue, "Arn"]}}
        # AND what EventBridge puts in the place of each variable leaves a JSON text
        transformer = target["InputTransformer"]
        text = transformer["InputTemplate"]
        for variable in transformer["InputPathsMap"]:
            text = text.replace(f"<{variable}>", "x")
        assert isinstance(json.loads(text), str)
        assert "<" not in text


def test_eventbridge_may_publish_and_use_the_key(template: Template) -> None:
    policy = only(template, "AWS::SNS::TopicPolicy")[1]["Properties"]["PolicyDocument"]["Statement"]
    (publish,) = (item for item in policy if item.get("Principal") == {"Service": "events.amazonaws.com"})
    assert publish["Action"] == "sns:Publish"
    # EventBridge publishes to no topic whose policy has a condition for it
    assert "Condition" not in publish
    key = only(template, "AWS::KMS::Key")[1]["Properties"]["KeyPolicy"]["Statement"]
    (use,) = (item for item in key if item.get("Principal") == {"Service": "events.amazonaws.com"})
    assert use["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]


def test_the_dead_letter_queue_is_encrypted_for_these_rules_and_raises_an_alarm(template: Template) -> None:
    key, _ = only(template, "AWS::KMS::Key")
    _, queue = only(template, "AWS::SQS::Queue")
    assert queue["Properties"] == {
        "KmsMasterKeyId": {"Fn::GetAtt": [key, "Arn"]},
        "MessageRetentionPeriod": 14 * 24 * 3600,
    }
    statements = only(template, "AWS::SQS::QueuePolicy")[1]["Properties"]["PolicyDocument"]["Statement"]
    denied, allowed = sorted(statements, key=lambda item: str(item["Effect"]), reverse=True)
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert allowed["Action"] == "sqs:SendMessage"
    rules = template.find_resources("AWS::Events::Rule")
    assert allowed["Condition"] == {
        "ArnEquals": {"aws:SourceArn": [{"Fn::GetAtt": [name, "Arn"]} for name in rules]}
    }
    alarms = template.find_resources(
        "AWS::CloudWatch::Alarm", {"Properties": {"MetricName": "ApproximateNumberOfMessagesVisible"}}
    )
    (alarm,) = alarms.values()
    assert alarm["Properties"]["AlarmActions"] == [{"Ref": only(template, "AWS::SNS::Topic")[0]}]


def test_a_topic_is_opened_to_events_once(
    topic: AlarmTopic, endpoint: ServingEndpoint, synthesised: Synthesised
) -> None:
    topic.allow_events()
    topic.allow_events()
    key = only(synthesised(), "AWS::KMS::Key")[1]["Properties"]["KeyPolicy"]["Statement"]
    assert [item.get("Sid") for item in key].count("EventsOfRules") == 1
