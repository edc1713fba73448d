"""The endpoint that follows the registry: what its function is told, may do, and what calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from sagemaker_serving.deployment import AllAtOnce, Canary, CapacitySize
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.registry_endpoint import RegistryEndpoint
from sagemaker_serving.storage import AlarmTopic, DataBucket, EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant
from stacks.compliance import attach_packs

CODE = Path(__file__).resolve().parents[2] / "model_code" / "ml_pipeline_functions"
RETENTION = Retention(keep_data=False)
CANARY = Canary(
    size=CapacitySize.instances(1),
    wait=cdk.Duration.minutes(5),
    termination_wait=cdk.Duration.minutes(2),
)


def endpoint(stack: cdk.Stack, **changes: Any) -> RegistryEndpoint:
    key = EncryptionKey(stack, "Key", retention=RETENTION)
    variant = changes.pop("variant", InstanceVariant(instance_type="ml.m5.large", initial_instance_count=2))
    name = changes.pop("endpoint_name", "reviews")
    monitoring = EndpointMonitoring(
        stack,
        "Monitoring",
        endpoint_name="reviews",
        variants=[variant],
        topic=AlarmTopic(stack, "Topic", key=key),
    )
    arguments: dict[str, Any] = {
        "endpoint_name": name,
        "model_package_group_name": "Reviews-Models",
        "variant": variant,
        "deployment": CANARY,
        "rollback_alarms": monitoring.rollback_alarms,
        "image": FrameworkImage.sklearn("1.4-2"),
        "bucket": DataBucket(stack, "Bucket", key=key, retention=RETENTION, expires=False),
        "folder": "models",
        "network_isolation": True,
        "code": CODE,
        "key": key,
        "retention": RETENTION,
        "tags": {"team": "reviews"},
    }
    return RegistryEndpoint(stack, "Endpoint", **arguments | changes)


def resources(stack: cdk.Stack, kind: str) -> dict[str, dict[str, Any]]:
    found = Template.from_stack(stack).to_json()["Resources"]
    return {
        name: one
        for name, one in found.items()
        if one["Type"] == kind and not name.startswith("CustomS3AutoDelete")  # aws-cdk-lib's own
    }


def text(value: Any) -> Any:
    """A joined text, references as their names, read as JSON."""
    if isinstance(value, dict):
        parts = value["Fn::Join"][1]
        value = "".join(part if isinstance(part, str) else str(next(iter(part.values()))) for part in parts)
    return json.loads(value)


def test_the_function_is_told_all_that_the_registry_does_not_know(app: cdk.App, stack: cdk.Stack) -> None:
    # GIVEN an endpoint in an app under the compliance packs WHEN it is synthesised THEN they find nothing
    endpoint(stack)
    attach_packs(app)
    ((_, function),) = resources(stack, "AWS::Lambda::Function").items()
    told = function["Properties"]["Environment"]["Variables"]

    # AND the function has requests of the API that lack only the version's part
    (variant,) = text(told["ENDPOINT_CONFIG"])["ProductionVariants"]
    assert variant == {
        "VariantName": "primary",
        "InitialInstanceCount": 2,
        "InitialVariantWeight": 1,
        "InstanceType": "ml.m5.large",
    }
    assert text(told["MODEL"])["EnableNetworkIsolation"] is True
    policy = text(told["DEPLOYMENT_CONFIG"])
    routing = policy["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}
    alarms = [alarm["AlarmName"] for alarm in policy["AutoRollbackConfiguration"]["Alarms"]]
    assert set(alarms) <= set(resources(stack, "AWS::CloudWatch::Alarm"))
    assert len(alarms) == 2
    assert text(told["TAGS"]) == [{"Key": "team", "Value": "reviews"}]

    # AND CloudFormation calls it whenever any of that changes
    ((_, custom),) = resources(stack, "Custom::RegistryEndpoint").items()
    assert {key: value for key, value in custom["Properties"].items() if key != "ServiceToken"} == told


def test_what_is_needed_comes_before_the_endpoint_and_what_calls_goes_before_it(stack: cdk.Stack) -> None:
    # GIVEN an endpoint
    endpoint(stack)
    ((resource, custom),) = resources(stack, "Custom::RegistryEndpoint").items()

    # THEN log group and permissions are there as long as it may be (alarms are: it names them)
    kinds = Template.from_stack(stack).to_json()["Resources"]
    needed = {kinds[name]["Type"] for name in custom["DependsOn"]}
    assert needed == {"AWS::Logs::LogGroup", "AWS::IAM::Policy"}

    # AND events stop calling the function before it is told to remove the endpoint
    rules = resources(stack, "AWS::Events::Rule")
    assert len(rules) == 2
    assert all(resource in rule["DependsOn"] for rule in rules.values())


def test_events_of_this_group_and_endpoint_call_the_function_and_are_not_lost(stack: cdk.Stack) -> None:
    # GIVEN an endpoint WHEN its rules are read
    endpoint(stack)
    rules = resources(stack, "AWS::Events::Rule")
    details = [rule["Properties"]["EventPattern"]["detail"] for rule in rules.values()]

    # THEN they are about this group and this endpoint alone
    assert {"ModelPackageGroupName": ["Reviews-Models"]} in details
    (own,) = (detail for detail in details if "EndpointName" in detail)
    assert own["EndpointName"] == ["reviews"]
    assert {"IN_SERVICE", "FAILED"} <= set(own["EndpointStatus"])

    # AND each may call the function, and what fails is kept
    permissions = resources(stack, "AWS::Lambda::Permission").values()
    sources = {one["Properties"]["SourceArn"]["Fn::GetAtt"][0] for one in permissions}
    assert sources == set(rules)
    ((queue, _),) = resources(stack, "AWS::SQS::Queue").items()
    ((_, function),) = resources(stack, "AWS::Lambda::Function").items()
    assert function["Properties"]["DeadLetterConfig"]["TargetArn"]["Fn::GetAtt"][0] == queue
    for rule in rules.values():
        (target,) = rule["Properties"]["Targets"]
        assert target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0] == queue


def test_the_function_may_change_this_endpoint_only(stack: cdk.Stack) -> None:
    # GIVEN an endpoint WHEN the permissions of its function are read
    endpoint(stack)
    statements = {
        statement["Sid"]: statement
        for policy in resources(stack, "AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }

    # THEN all that makes, changes or removes something names this endpoint's resources
    for statement in statements.values():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            service, verb = action.split(":")
            if service != "sagemaker" or verb.startswith("List"):
                continue
            named = json.dumps(statement["Resource"])
            assert "reviews" in named, (action, named)
            assert statement["Resource"] != "*"

    # AND it passes the models' role to SageMaker, and no other
    passing = statements["PassRoleOfModels"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}

    # AND ARNs are in lower case, as SageMaker writes them
    assert ":model-package/reviews-models/*" in json.dumps(statements["LookAtVersions"]["Resource"])

    # AND the models load artifacts of their folder only
    assert json.dumps(statements["LoadModel"]["Resource"]).endswith('"/models/*"]]}')


def test_a_name_without_room_for_a_digest_is_refused(stack: cdk.Stack) -> None:
    # two such names could not tell their models apart
    with pytest.raises(InvalidConfiguration, match="use at most 50"):
        endpoint(stack, endpoint_name="e" * 51)


def test_a_deployment_that_does_not_fit_is_refused_together_with_a_bad_name(stack: cdk.Stack) -> None:
    # GIVEN one instance, of which a canary of one is all, and a name with an underscore
    one = InstanceVariant(instance_type="ml.m5.large", initial_instance_count=1)

    # WHEN the endpoint is made THEN both are told
    with pytest.raises(InvalidConfiguration) as refused:
        endpoint(stack, variant=one, endpoint_name="my_endpoint")
    assert "endpoint_name = 'my_endpoint'" in str(refused.value)
    assert "deployment.size" in str(refused.value)


def test_a_canary_without_alarms_is_refused(stack: cdk.Stack) -> None:
    with pytest.raises(InvalidConfiguration, match="rollback_alarms"):
        endpoint(stack, rollback_alarms=[])


def test_all_at_once_needs_no_alarms(stack: cdk.Stack) -> None:
    endpoint(stack, rollback_alarms=[], deployment=AllAtOnce())
    ((_, function),) = resources(stack, "AWS::Lambda::Function").items()
    policy = text(function["Properties"]["Environment"]["Variables"]["DEPLOYMENT_CONFIG"])
    assert "AutoRollbackConfiguration" not in policy
