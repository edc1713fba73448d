"""Alarms that take an update back: what they see, when they exist, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk.assertions import Template

from sagemaker_serving.deployment import AllAtOnce, Canary, CapacitySize, Rolling
from sagemaker_serving.endpoint import ServingEndpoint
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.variants import InstanceVariant

Synthesised = Callable[[], Template]
MakeEndpoint = Callable[..., ServingEndpoint]
MakeAlarms = Callable[..., EndpointMonitoring]
FIVE_MINUTES = AllAtOnce(wait=cdk.Duration.minutes(5))


def only(template: Template, kind: str) -> tuple[str, dict[str, Any]]:
    ((name, resource),) = template.find_resources(kind).items()
    return name, dict(resource)


def named_by_deployment(template: Template) -> list[str]:
    """Logical ids of the alarms that the endpoint's deployment watches."""
    deployment = only(template, "AWS::SageMaker::Endpoint")[1]["Properties"]["DeploymentConfig"]
    return [item["AlarmName"]["Ref"] for item in deployment["AutoRollbackConfiguration"]["Alarms"]]


def variants(*names: str) -> list[InstanceVariant]:
    return [
        InstanceVariant(instance_type="ml.m5.large", initial_instance_count=2, name=name) for name in names
    ]


def test_they_see_the_fleet_of_the_new_configuration_alone(
    make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    make(deployment=FIVE_MINUTES, rollback_alarms=alarms().rollback_alarms)
    template = synthesised()
    config, _ = only(template, "AWS::SageMaker::EndpointConfig")
    made = template.find_resources("AWS::CloudWatch::Alarm")
    seen = {}
    for name in named_by_deployment(template):
        properties = made[name]["Properties"]
        seen[properties["MetricName"]] = {item["Name"]: item["Value"] for item in properties["Dimensions"]}
    fleet = {
        "EndpointName": "sentiment",
        "VariantName": "primary",
        "EndpointConfigName": {"Fn::GetAtt": [config, "EndpointConfigName"]},
    }
    assert seen == {"Invocation5XXErrors": fleet, "ModelLatency": fleet}


def test_they_have_the_thresholds_and_the_topic_of_the_monitoring_and_silence_is_fine(
    make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    watched = alarms(periods=3)
    make(deployment=FIVE_MINUTES, rollback_alarms=watched.rollback_alarms)
    template = synthesised()
    made = template.find_resources("AWS::CloudWatch::Alarm")
    topic, _ = only(template, "AWS::SNS::Topic")
    found = {}
    for name in named_by_deployment(template):
        properties = made[name]["Properties"]
        found[properties["MetricName"]] = properties["Threshold"]
        assert properties["EvaluationPeriods"] == 3
        assert properties["TreatMissingData"] == "notBreaching"
        assert properties["AlarmActions"] == [{"Ref": topic}]
    assert found == {"Invocation5XXErrors": 0.05, "ModelLatency": 1_000_000}


def test_alarms_for_people_stay_on_the_whole_endpoint(
    make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    # GIVEN an update that was taken back, which leaves the new configuration without a fleet: alarms on that
    # configuration see nothing any more
    watched = alarms()
    make(deployment=FIVE_MINUTES, rollback_alarms=watched.rollback_alarms)
    template = synthesised()
    for name, alarm in template.find_resources("AWS::CloudWatch::Alarm").items():
        bound = "EndpointConfigName" in json.dumps(alarm["Properties"]["Dimensions"])
        assert bound is (name in named_by_deployment(template))
    assert len(template.find_resources("AWS::CloudWatch::Alarm")) == len(watched.alarms) + 2


def test_the_role_may_look_at_them_and_at_no_other_alarm(
    make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    make(deployment=FIVE_MINUTES, rollback_alarms=alarms().rollback_alarms)
    template = synthesised()
    statements = [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    (allowed,) = (item for item in statements if item["Sid"] == "WatchRollbackAlarms")
    assert allowed["Action"] == "cloudwatch:DescribeAlarms"
    assert allowed["Resource"] == [{"Fn::GetAtt": [name, "Arn"]} for name in named_by_deployment(template)]


def test_the_endpoint_tells_the_alarms_it_made(
    stack: cdk.Stack, make: MakeEndpoint, alarms: MakeAlarms
) -> None:
    endpoint = make(deployment=FIVE_MINUTES, rollback_alarms=alarms().rollback_alarms)
    ids = [alarm.node.path for alarm in endpoint.rollback_alarms]
    assert ids == [
        "Test/Endpoint/Rollback-primary-5xx-Rate-Critical",
        "Test/Endpoint/Rollback-primary-Model-Latency-P99-Critical",
    ]


def test_alarms_of_your_own_take_an_update_back_too(
    stack: cdk.Stack, make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    own = cloudwatch.Alarm.from_alarm_arn(
        stack, "Own", "arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:orders"
    )
    make(deployment=FIVE_MINUTES, rollback_alarms=[*alarms().rollback_alarms, own])
    text = json.dumps(only(synthesised(), "AWS::SageMaker::Endpoint")[1]["Properties"]["DeploymentConfig"])
    assert text.count("AlarmName") == 3
    assert '"orders"' in text


def test_five_variants_fill_what_a_deployment_can_watch(
    make: MakeEndpoint, alarms: MakeAlarms, synthesised: Synthesised
) -> None:
    five = variants(*"abcde")
    make(*five, deployment=FIVE_MINUTES, rollback_alarms=alarms("sentiment", *five).rollback_alarms)
    assert len(named_by_deployment(synthesised())) == 10


def test_more_than_ten_are_refused(make: MakeEndpoint, alarms: MakeAlarms) -> None:
    six = variants(*"abcdef")
    with pytest.raises(InvalidConfiguration) as caught:
        make(*six, deployment=FIVE_MINUTES, rollback_alarms=alarms("sentiment", *six).rollback_alarms)
    message = str(caught.value)
    assert "Test/Endpoint: 1 problem" in message
    assert "rollback_alarms = '12 alarms': at most 10 alarms can turn an update back" in message


def test_alarms_without_a_deployment_policy_are_refused(
    make: MakeEndpoint, alarms: MakeAlarms, refusal: Callable[[], str]
) -> None:
    make(rollback_alarms=alarms().rollback_alarms)
    assert "rollback_alarms = '2 alarms': without a deployment policy nothing bakes" in refusal()


def test_alarms_with_a_bake_of_no_length_are_refused(
    make: MakeEndpoint, alarms: MakeAlarms, refusal: Callable[[], str]
) -> None:
    make(deployment=AllAtOnce(), rollback_alarms=alarms().rollback_alarms)
    assert "the alarm needs this long to be raised, and the deployment bakes for 0 s" in refusal()


def test_a_canary_without_alarms_is_refused(make: MakeEndpoint) -> None:
    with pytest.raises(InvalidConfiguration, match="nothing turns a bad update back"):
        make(deployment=Canary(size=CapacitySize.instances(1), wait=cdk.Duration.minutes(5)))


def test_rolling_with_two_variants_is_refused(
    make: MakeEndpoint, alarms: MakeAlarms, refusal: Callable[[], str]
) -> None:
    two = variants("a", "b")
    make(
        *two,
        deployment=Rolling(batch=CapacitySize.percent(50), wait=cdk.Duration.minutes(5)),
        rollback_alarms=alarms("sentiment", *two).rollback_alarms,
    )
    assert "several variants cannot be updated by rolling" in refusal()


def test_two_variants_without_a_deployment_policy_are_fine(
    make: MakeEndpoint, synthesised: Synthesised
) -> None:
    make(*variants("a", "b"), retain_weights=True)
    properties = only(synthesised(), "AWS::SageMaker::Endpoint")[1]["Properties"]
    assert "DeploymentConfig" not in properties
    assert properties["RetainAllVariantProperties"] is True
