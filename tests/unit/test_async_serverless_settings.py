"""The stacks of async and serverless: their settings, what these refuse, and what clients read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagemaker_serving.errors import InvalidConfiguration
from stacks.configuration import load
from tests.snapshots.synthesis import ENVIRONMENTS, synthesise

CONFIG = Path(__file__).resolve().parents[2] / "config"
COMMON = {
    "EndpointName",
    "EndpointConfigName",
    "VariantNames",
    "AlarmTopicArn",
    "DashboardName",
    "ModelArtifactUri",
}
OF_ASYNC = {
    "RollbackAlarmNames",
    "InputUri",
    "OutputUri",
    "FailureUri",
    "SuccessTopicArn",
    "ErrorTopicArn",
    "SuccessQueueUrl",
    "ErrorQueueUrl",
}
ASYNC, SERVERLESS = "AsyncInference", "ServerlessInference"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"


def refused(pattern: str, environment: str = "dev", **settings: str) -> str:
    """What is said of the committed configuration with settings given on the command line."""
    given = {f"patterns.{pattern}.{key.replace('__', '.')}": value for key, value in settings.items()}
    with pytest.raises(InvalidConfiguration) as caught:
        load(environment, CONFIG, given)
    return str(caught.value)


def only(stack: str, environment: str, kind: str) -> dict[str, Any]:
    (resource,) = synthesise(environment).resources(stack, kind).values()
    return dict(resource["Properties"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("stack", "keys"), [(ASYNC, COMMON | OF_ASYNC), (SERVERLESS, COMMON)])
def test_outputs_are_those_that_clients_read(environment: str, stack: str, keys: set[str]) -> None:
    outputs = synthesise(environment).template(stack)["Outputs"]
    assert set(outputs) == keys
    pattern = {ASYNC: "async", SERVERLESS: "serverless"}[stack]
    assert outputs["EndpointName"]["Value"] == f"{pattern}-{environment}"


def test_locations_are_folders_of_one_bucket() -> None:
    template = synthesise("dev").template(ASYNC)
    (bucket,) = (name for name, one in template["Resources"].items() if one["Type"] == "AWS::S3::Bucket")
    for key, folder in (("InputUri", "input"), ("OutputUri", "output"), ("FailureUri", "failure")):
        uri = template["Outputs"][key]["Value"]
        assert uri == {"Fn::Join": ["", ["s3://", {"Ref": bucket}, f"/{folder}/"]]}


def test_dev_sleeps_and_wakes_and_prod_is_always_there() -> None:
    assert only(ASYNC, "dev", TARGET)["MinCapacity"] == 0
    assert only(ASYNC, "prod", TARGET)["MinCapacity"] == 1
    kinds = {
        environment: {
            one["Properties"]["PolicyType"]
            for one in synthesise(environment)
            .resources(ASYNC, "AWS::ApplicationAutoScaling::ScalingPolicy")
            .values()
        }
        for environment in ENVIRONMENTS
    }
    assert kinds == {"dev": {"TargetTrackingScaling", "StepScaling"}, "prod": {"TargetTrackingScaling"}}


def test_dev_pays_for_requests_only_and_prod_keeps_containers_warm() -> None:
    variants = {
        environment: only(SERVERLESS, environment, "AWS::SageMaker::EndpointConfig")["ProductionVariants"][0]
        for environment in ENVIRONMENTS
    }
    assert "ProvisionedConcurrency" not in variants["dev"]["ServerlessConfig"]
    assert variants["prod"]["ServerlessConfig"]["ProvisionedConcurrency"] == 2
    assert not synthesise("dev").resources(SERVERLESS, TARGET)
    assert (
        only(SERVERLESS, "prod", TARGET)["MaxCapacity"]
        <= variants["prod"]["ServerlessConfig"]["MaxConcurrency"]
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("stack", [ASYNC, SERVERLESS])
def test_no_right_is_wider_than_it_must_be_and_dev_leaves_nothing(environment: str, stack: str) -> None:
    assembly = synthesise(environment)
    for policy in assembly.resources(stack, "AWS::IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert "*" not in str(statement["Action"])
    for name, role in assembly.resources(stack, "AWS::IAM::Role").items():
        if not name.startswith("CustomS3AutoDelete"):  # aws-cdk-lib's own
            assert "ManagedPolicyArns" not in role["Properties"]
    kept = {one.get("DeletionPolicy", "Delete") for one in assembly.template(stack)["Resources"].values()}
    assert (kept == {"Delete"}) is (environment == "dev")


def test_the_model_server_takes_what_the_service_takes() -> None:
    model = only(ASYNC, "prod", "AWS::SageMaker::Model")["PrimaryContainer"]
    assert int(model["Environment"]["TS_MAX_REQUEST_SIZE"]) >= 10**9
    assert int(model["Environment"]["TS_DEFAULT_RESPONSE_TIMEOUT"]) == 3600
    assert "pytorch-inference" in str(model["Image"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"max_concurrent_invocations_per_instance": "1001"},
            ["patterns.async.max_concurrent_invocations_per_instance = 1001", "1 to 1000"],
        ),
        ({"scaling__max_instances": "0"}, ["patterns.async.scaling.max_instances = 0"]),
        ({"scaling__min_instances": "-1"}, ["patterns.async.scaling.min_instances = -1"]),
        (
            {"scaling__min_instances": "3"},
            ["patterns.async.scaling.max_instances = 2", "at least min_capacity, 3"],
        ),
        (
            {"scaling__invocations_per_instance_per_minute": "10"},
            ["patterns.async.scaling.invocations_per_instance_per_minute", "backlog_per_instance"],
        ),
        ({"scaling__backlog_per_instance": "0"}, ["patterns.async.scaling.backlog_per_instance = 0"]),
        ({"endpoint__instance_type": "ml.t2.medium"}, ["patterns.async.scaling", "burstable"]),
        (
            {"endpoint__instance_count": "3"},
            ["patterns.async.scaling = '0 to 2'", "starts with 3, outside the range"],
        ),
        (
            {"include_response_in": "[always]"},
            ["patterns.async.include_response_in[0]", "'success' or 'error'"],
        ),
        ({"notification_emails": "[nobody]"}, ["patterns.async.notification_emails[0]", "nobody"]),
        ({"alarms__backlog_age_seconds": "0"}, ["patterns.async.alarms.backlog_age_seconds"]),
        ({"model__framework_version": "9.9.0"}, ["patterns.async.model.framework_version = '9.9.0'"]),
        ({"shadow": "{instance_type: ml.m5.large}"}, ["patterns.async.shadow", "there is no such key here"]),
    ],
)
def test_asynchronous_settings_that_cannot_work_are_refused(
    settings: dict[str, str], words: list[str]
) -> None:
    message = refused("async", **settings)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"serverless__memory_mb": "1500"},
            ["patterns.serverless.serverless.memory_mb = 1500", "give 2048"],
        ),
        (
            {"serverless__provisioned_concurrency": "6"},
            ["patterns.serverless.serverless.provisioned_concurrency = 6", "from 1 to 5"],
        ),
        (
            {"serverless__max_concurrency": "201"},
            ["patterns.serverless.serverless.max_concurrency = 201", "from 1 to 200"],
        ),
        (
            {"model__vpc": "{subnet_ids: [subnet-1, subnet-2], security_group_ids: [sg-1]}"},
            [
                "patterns.serverless.model.vpc",
                "serverless endpoints have neither a VPC nor network isolation",
            ],
        ),
        ({"model__network_isolation": "true"}, ["patterns.serverless.model.network_isolation = True"]),
        (
            {"scaling": "{min_provisioned_concurrency: 1, max_provisioned_concurrency: 2}"},
            ["patterns.serverless.scaling", "no provisioned concurrency that could be scaled"],
        ),
        (
            {"data_capture": "{sampling_percentage: 10}"},
            ["patterns.serverless.data_capture", "serverless endpoints record no requests"],
        ),
        (
            {"variants": "{a: {}, b: {}}"},
            ["patterns.serverless.variants", "a serverless endpoint has one production variant"],
        ),
        (
            {"deployment": "{strategy: rolling}"},
            ["patterns.serverless.deployment", "without deployment guardrails"],
        ),
        ({"model__framework_version": "9.9-9"}, ["patterns.serverless.model.framework_version"]),
    ],
)
def test_serverless_settings_that_cannot_work_are_refused(settings: dict[str, str], words: list[str]) -> None:
    message = refused("serverless", **settings)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"scaling__max_provisioned_concurrency": "51"},
            ["patterns.serverless.scaling.max_provisioned_concurrency = 51", "max_concurrency 50"],
        ),
        ({"scaling__utilization": "70"}, ["patterns.serverless.scaling.utilization = 70", "a share"]),
        ({"serverless__provisioned_concurrency": "11"}, ["patterns.serverless.scaling", "outside the range"]),
    ],
)
def test_scaling_of_provisioned_concurrency_that_cannot_work_is_refused(
    settings: dict[str, str], words: list[str]
) -> None:
    message = refused("serverless", "prod", **settings)
    for word in words:
        assert word in message, message
