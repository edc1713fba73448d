"""Keys, buckets and the alarm topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.storage import AlarmTopic, DataBucket, EncryptionKey, Retention

KEEP = Retention(keep_data=True)
THROW_AWAY = Retention(keep_data=False)
Synthesised = Callable[[], Template]


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    return dict(resource)


@pytest.mark.parametrize(
    ("retention", "deletion", "days"), [(KEEP, "RetainExceptOnCreate", 30), (THROW_AWAY, "Delete", 7)]
)
def test_key_rotates_and_shares_the_fate_of_its_data(
    stack: cdk.Stack, synthesised: Synthesised, retention: Retention, deletion: str, days: int
) -> None:
    EncryptionKey(stack, "Key", retention=retention)
    key = only(synthesised(), "AWS::KMS::Key")
    assert key["DeletionPolicy"] == deletion
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["Properties"]["PendingWindowInDays"] == days


def test_kept_bucket_is_versioned_logged_and_never_emptied_by_the_stack(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    DataBucket(stack, "Data", key=EncryptionKey(stack, "Key", retention=KEEP), retention=KEEP)
    template = synthesised()
    buckets = template.find_resources("AWS::S3::Bucket")
    (data,) = (bucket for name, bucket in buckets.items() if not name.startswith("DataAccessLogs"))
    assert data["DeletionPolicy"] == "RetainExceptOnCreate"
    assert data["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert data["Properties"]["LoggingConfiguration"]["DestinationBucketName"]
    assert data["Properties"]["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == 90
    template.resource_count_is("Custom::S3AutoDeleteObjects", 0)


def test_throw_away_bucket_empties_itself_and_leaves_nothing(
    stack: cdk.Stack, synthesised: Synthesised
) -> None:
    DataBucket(stack, "Data", key=EncryptionKey(stack, "Key", retention=THROW_AWAY), retention=THROW_AWAY)
    template = synthesised()
    template.resource_count_is("AWS::S3::Bucket", 1)
    template.resource_count_is("Custom::S3AutoDeleteObjects", 1)
    assert only(template, "AWS::S3::Bucket")["DeletionPolicy"] == "Delete"


@pytest.mark.parametrize("retention", [KEEP, THROW_AWAY])
def test_every_bucket_is_private_encrypted_and_tls_only(
    stack: cdk.Stack, synthesised: Synthesised, retention: Retention
) -> None:
    DataBucket(stack, "Data", key=EncryptionKey(stack, "Key", retention=retention), retention=retention)
    template = synthesised()
    buckets = template.find_resources("AWS::S3::Bucket").values()
    for bucket in buckets:
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
        assert bucket["Properties"]["BucketEncryption"]
    policies = template.find_resources("AWS::S3::BucketPolicy").values()
    assert len(policies) == len(buckets)
    for policy in policies:
        denied = [
            statement["Condition"]
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied


def test_data_is_encrypted_with_the_given_key(stack: cdk.Stack, synthesised: Synthesised) -> None:
    DataBucket(stack, "Data", key=EncryptionKey(stack, "Key", retention=THROW_AWAY), retention=THROW_AWAY)
    template = synthesised()
    (key,) = template.find_resources("AWS::KMS::Key")
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "BucketKeyEnabled": True,
                        "ServerSideEncryptionByDefault": {
                            "SSEAlgorithm": "aws:kms",
                            "KMSMasterKeyID": {"Fn::GetAtt": [key, "Arn"]},
                        },
                    }
                ]
            }
        },
    )


def test_alarms_may_publish_to_the_encrypted_topic(stack: cdk.Stack, synthesised: Synthesised) -> None:
    # GIVEN a topic with a policy of its own, which replaces the one that lets CloudWatch in
    AlarmTopic(stack, "Topic", key=EncryptionKey(stack, "Key", retention=KEEP), emails=["a@example.com"])
    template = synthesised()
    # THEN both the topic's policy and the key's let this account's alarms in, and nobody else
    alarms = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": Match.any_value()},
        },
    }
    template.has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with([Match.object_like({**alarms, "Action": "sns:Publish"})])
            }
        },
    )
    template.has_resource_properties(
        "AWS::KMS::Key",
        {
            "KeyPolicy": {
                "Statement": Match.array_with(
                    [Match.object_like({**alarms, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"]})]
                )
            }
        },
    )
    template.has_resource_properties("AWS::SNS::Topic", {"KmsMasterKeyId": Match.any_value()})
    template.has_resource_properties(
        "AWS::SNS::Subscription", {"Protocol": "email", "Endpoint": "a@example.com"}
    )


def test_topic_refuses_what_is_not_encrypted_on_its_way(stack: cdk.Stack, synthesised: Synthesised) -> None:
    AlarmTopic(stack, "Topic", key=EncryptionKey(stack, "Key", retention=KEEP))
    synthesised().has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
                        )
                    ]
                )
            }
        },
    )


def test_retention_refuses_days_that_the_services_do_not_know() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        Retention(keep_data=True, log_days=8, data_days=0)
    message = str(caught.value)
    assert "2 problems" in message
    assert "log_days = 8" in message
    assert "1, 3, 5, 7, 14, 30" in message
    assert "data_days = 0" in message
