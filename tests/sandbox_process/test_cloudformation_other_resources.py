"""Pipelines, model package groups and scaling as resources of a template."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.cloudformation import Api, ResourceFailed
from sandbox.errors import ServiceError
from tests.sandbox_process.resource_engine import (
    SCOPE,
    TARGET,
    Engine,
    resource,
)


def test_a_pipelines_definition_comes_as_text_structure_or_place() -> None:
    # GIVEN a definition as text, as a structure, and in S3
    engine = Engine(CreatePipeline={"PipelineArn": SCOPE.arn("pipeline/p")})
    type_ = resource("AWS::SageMaker::Pipeline")
    place = {"Bucket": "b", "Key": "k", "Version": "v", "ETag": "e"}

    # WHEN pipelines are created
    for definition in (
        {"PipelineDefinitionBody": "{}"},
        {"PipelineDefinitionBody": {"Version": "2020-12-01"}},
        {"PipelineDefinitionS3Location": place},
    ):
        made = type_.create(
            "P", {"PipelineName": "p", "PipelineDefinition": definition}, "S", Api(engine, SCOPE)
        )

    # THEN the API gets its own parameters, and Ref is the name
    text, structure, in_s3 = engine.of("CreatePipeline")
    assert text["PipelineDefinition"] == "{}"
    assert structure["PipelineDefinition"] == '{"Version": "2020-12-01"}'
    assert in_s3["PipelineDefinitionS3Location"] == {"Bucket": "b", "ObjectKey": "k", "VersionId": "v"}
    assert made.physical_id == "p"


def test_a_pipeline_is_updated_in_place_with_its_tags() -> None:
    # GIVEN a pipeline
    engine = Engine(UpdatePipeline={"PipelineArn": SCOPE.arn("pipeline/p")})
    old = {"PipelineName": "p", "RoleArn": "r", "Tags": [{"Key": "a", "Value": "1"}]}

    # WHEN role and tags change
    new = {"PipelineName": "p", "RoleArn": "s", "Tags": [{"Key": "a", "Value": "2"}]}
    resource("AWS::SageMaker::Pipeline").update("p", old, new, Api(engine, SCOPE))

    # THEN both reach the API
    assert engine.of("UpdatePipeline") == [{"PipelineName": "p", "RoleArn": "s"}]
    assert engine.of("AddTags") == [{"ResourceArn": SCOPE.arn("pipeline/p"), "Tags": new["Tags"]}]


def test_a_model_package_group_gives_all_its_attributes() -> None:
    # GIVEN a group, and a policy of it as a structure
    arn = SCOPE.arn("model-package-group/g")
    described = {
        "ModelPackageGroupArn": arn,
        "CreationTime": datetime(2026, 11, 24, tzinfo=UTC),
        "ModelPackageGroupStatus": "Completed",
    }
    engine = Engine(
        CreateModelPackageGroup={"ModelPackageGroupArn": arn}, DescribeModelPackageGroup=described
    )

    # WHEN it is created
    properties = {"ModelPackageGroupName": "g", "ModelPackageGroupPolicy": {"Statement": []}}
    made = resource("AWS::SageMaker::ModelPackageGroup").create("G", properties, "S", Api(engine, SCOPE))

    # THEN Ref is the ARN, every attribute of the schema is there, and the policy was put
    assert made.physical_id == arn
    assert made.attributes == {
        "ModelPackageGroupArn": arn,
        "CreationTime": "2026-11-24T00:00:00+00:00",
        "ModelPackageGroupStatus": "Completed",
    }
    assert engine.of("PutModelPackageGroupPolicy") == [
        {"ModelPackageGroupName": "g", "ResourcePolicy": '{"Statement": []}'}
    ]


def test_a_group_whose_policy_is_refused_is_taken_back() -> None:
    # GIVEN a policy that the API refuses
    engine = Engine(
        CreateModelPackageGroup={"ModelPackageGroupArn": SCOPE.arn("model-package-group/g")},
        PutModelPackageGroupPolicy=ServiceError("ValidationException", "Not a policy."),
    )

    # WHEN the group is created
    with pytest.raises(ServiceError, match="Not a policy"):
        resource("AWS::SageMaker::ModelPackageGroup").create(
            "G", {"ModelPackageGroupName": "g", "ModelPackageGroupPolicy": "x"}, "S", Api(engine, SCOPE)
        )

    # THEN the stack leaves no group behind
    assert engine.operations[-1] == "DeleteModelPackageGroup"


def test_a_model_package_is_approved_in_place() -> None:
    # GIVEN a version of a group
    arn = SCOPE.arn("model-package/g/1")
    described = {"CreationTime": datetime(2026, 11, 24, tzinfo=UTC), "ModelPackageStatus": "Completed"}
    engine = Engine(CreateModelPackage={"ModelPackageArn": arn}, DescribeModelPackage=described)
    type_, api = resource("AWS::SageMaker::ModelPackage"), Api(engine, SCOPE)
    old = {
        "ModelPackageGroupName": "g",
        "ModelApprovalStatus": "PendingManualApproval",
        "CustomerMetadataProperties": {"a": "1", "b": "2"},
    }
    made = type_.create("V", old, "S", api)

    # WHEN its approval and metadata change, and it is deleted
    new = old | {"ModelApprovalStatus": "Approved", "CustomerMetadataProperties": {"b": "3"}}
    type_.update(made.physical_id, old, new, api)
    type_.delete(made.physical_id, new, api)

    # THEN Ref is the ARN, and the API hears of what changed only
    assert made.physical_id == made.attributes["ModelPackageArn"] == arn
    assert engine.of("CreateModelPackage") == [old]
    assert engine.of("UpdateModelPackage") == [
        {
            "ModelPackageArn": arn,
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataProperties": {"b": "3"},
            "CustomerMetadataPropertiesToRemove": ["a"],
        }
    ]
    assert engine.of("DeleteModelPackage") == [{"ModelPackageName": arn}]


def test_a_policy_finds_its_target_by_what_ref_gives() -> None:
    # GIVEN a scalable target, and a policy that names it by Ref
    engine = Engine(
        PutScalingPolicy={"PolicyARN": "arn:policy"}, DescribeScalingPolicies={"ScalingPolicies": []}
    )
    api = Api(engine, SCOPE)
    limits = {"MinCapacity": "1", "MaxCapacity": "4"}
    target = resource("AWS::ApplicationAutoScaling::ScalableTarget").create("T", TARGET | limits, "S", api)

    # WHEN the policy is created and deleted
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling", "ScalingTargetId": target.physical_id}
    type_ = resource("AWS::ApplicationAutoScaling::ScalingPolicy")
    made = type_.create("P", policy, "S", api)
    type_.delete(made.physical_id, policy, api)

    # THEN Ref of the target is what it is on AWS, and the API gets its three parts
    assert target.physical_id == (
        "endpoint/shop/variant/main|sagemaker:variant:DesiredInstanceCount|sagemaker"
    )
    assert engine.of("RegisterScalableTarget") == [TARGET | {"MinCapacity": 1, "MaxCapacity": 4}]
    assert engine.of("PutScalingPolicy") == [
        TARGET | {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    ]
    assert engine.of("DeleteScalingPolicy") == [TARGET | {"PolicyName": "p"}]
    assert made.physical_id == made.attributes["Arn"] == "arn:policy"


def test_a_policy_neither_takes_over_another_nor_guesses_a_target() -> None:
    # GIVEN a policy of the same name that somebody else has made
    engine = Engine(DescribeScalingPolicies={"ScalingPolicies": [{"PolicyName": "p"}]})
    type_ = resource("AWS::ApplicationAutoScaling::ScalingPolicy")

    # WHEN a stack creates one, or one for a target that is none
    # THEN both are refused
    with pytest.raises(ResourceFailed, match="already exists"):
        type_.create("P", TARGET | {"PolicyName": "p"}, "S", Api(engine, SCOPE))
    with pytest.raises(ResourceFailed, match="is not what Ref gives"):
        type_.create("P", {"PolicyName": "p", "ScalingTargetId": "somewhere"}, "S", Api(engine, SCOPE))


def test_scheduled_actions_come_and_go_with_their_target() -> None:
    # GIVEN a target with two scheduled actions
    engine = Engine()
    action = {"Schedule": "cron(0 8 * * ? *)", "ScalableTargetAction": {"MinCapacity": 2}}
    day, night = ({"ScheduledActionName": name, **action} for name in ("day", "night"))
    old = TARGET | {"ScheduledActions": [day, night]}

    # WHEN one goes, one changes and one comes
    new = TARGET | {
        "ScheduledActions": [day | {"Schedule": "rate(1 hour)"}, night | {"ScheduledActionName": "noon"}]
    }
    resource("AWS::ApplicationAutoScaling::ScalableTarget").update("id", old, new, Api(engine, SCOPE))

    # THEN the API hears of each
    assert [params["ScheduledActionName"] for params in engine.of("DeleteScheduledAction")] == ["night"]
    assert [params["ScheduledActionName"] for params in engine.of("PutScheduledAction")] == ["day", "noon"]
