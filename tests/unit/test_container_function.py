"""A model in a Lambda container image: what is refused, and what is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from sagemaker_serving.alarms import Severity
from sagemaker_serving.container_function import ContainerFunction, HttpFront, ProvisionedConcurrency
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.function_monitoring import FunctionMonitoring, FunctionThresholds
from sagemaker_serving.instances import Architecture
from sagemaker_serving.storage import AlarmTopic, EncryptionKey, Retention

Synthesised = Callable[[], Template]


@pytest.fixture
def made(stack: cdk.Stack, tmp_path: Path) -> Callable[..., ContainerFunction]:
    """Makes a function with a small Dockerfile; arguments where a test is about them."""
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text("FROM scratch\n")

    def make(**arguments: Any) -> ContainerFunction:
        key = EncryptionKey(stack, "Key", retention=Retention(keep_data=False))
        given: dict[str, Any] = {"function_name": "reviews-dev", "directory": tmp_path / "image"}
        return ContainerFunction(
            stack, "Function", key=key, retention=Retention(keep_data=False), **{**given, **arguments}
        )

    return make


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"function_name": "re views"}, ["function_name", "re views"]),
        ({"function_name": "r" * 65}, ["function_name", "1 to 64"]),
        ({"memory_mb": 127}, ["memory_mb = 127", "from 128 to 10240"]),
        ({"memory_mb": 10_241}, ["memory_mb = 10241", "from 128 to 10240", "managed instances"]),
        ({"timeout": cdk.Duration.seconds(901)}, ["timeout", "900", "managed instances"]),
        ({"environment": {"AA": "x" * 4095}}, ["environment = '4097 bytes'", "4096"]),
        ({"environment": {"AWS_REGION": "eu-west-1"}}, ["'AWS_REGION'", "Lambda sets this variable itself"]),
        ({"environment": {"1st-model": "a"}}, ["'1st-model'", "a letter and one or more letters, digits"]),
        ({"reserved_concurrency": 0}, ["reserved_concurrency"]),
        (
            {
                "reserved_concurrency": 2,
                "provisioned_concurrency": ProvisionedConcurrency(minimum=1, maximum=3),
            },
            ["provisioned_concurrency", "above reserved_concurrency"],
        ),
    ],
)
def test_what_lambda_would_refuse_is_refused(
    made: Callable[..., ContainerFunction], arguments: dict[str, Any], words: list[str]
) -> None:
    # GIVEN arguments outside the service's limits WHEN the function is made THEN the rule is told
    with pytest.raises(InvalidConfiguration) as refused:
        made(**arguments)
    for word in ["Test/Function", "Fix: ", *words]:
        assert word in str(refused.value)


def test_the_most_and_the_least_that_lambda_takes_is_taken(
    made: Callable[..., ContainerFunction], synthesised: Synthesised
) -> None:
    # GIVEN the largest and longest ordinary function WHEN it is made THEN nothing is cut off
    made(
        memory_mb=10_240,
        timeout=cdk.Duration.seconds(900),
        environment={"AA": "x" * 4094},
        reserved_concurrency=2,
        provisioned_concurrency=ProvisionedConcurrency(minimum=2),
    )
    synthesised().has_resource_properties(
        "AWS::Lambda::Function",
        {"MemorySize": 10_240, "Timeout": 900, "ReservedConcurrentExecutions": 2},
    )


def test_all_findings_come_at_once(made: Callable[..., ContainerFunction]) -> None:
    # GIVEN three mistakes WHEN the function is made THEN one message has them
    with pytest.raises(InvalidConfiguration, match="3 problems"):
        made(function_name="", memory_mb=1, timeout=cdk.Duration.seconds(0))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"minimum": 0}, "minimum"),
        ({"minimum": 3, "maximum": 2}, "maximum"),
        ({"minimum": 1, "target_utilization": 1.0}, "target_utilization"),
        ({"minimum": 1, "target_utilization": 0}, "target_utilization"),
    ],
)
def test_provisioned_concurrency_checks_itself(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidConfiguration, match=word):
        ProvisionedConcurrency(**arguments)


def test_folder_without_a_dockerfile_is_refused(
    made: Callable[..., ContainerFunction], tmp_path: Path
) -> None:
    # GIVEN a folder that is no build context WHEN the function is made THEN it is told
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidConfiguration, match="has no Dockerfile"):
        made(directory=tmp_path / "empty")


@pytest.mark.parametrize("architecture", list(Architecture))
def test_the_function_runs_on_what_its_image_is_built_for(
    made: Callable[..., ContainerFunction], synthesised: Synthesised, architecture: Architecture
) -> None:
    # GIVEN an architecture WHEN the function is made
    made(architecture=architecture)
    # THEN the function has it, is traced, and its environment is encrypted with the stack's key
    synthesised().has_resource_properties(
        "AWS::Lambda::Function",
        {
            "PackageType": "Image",
            "Architectures": [architecture.value],
            "TracingConfig": {"Mode": "Active"},
            "KmsKeyArn": Match.any_value(),
            "LoggingConfig": {"LogGroup": "/aws/lambda/reviews-dev"},
        },
    )


def test_the_role_may_write_its_logs_and_traces_and_nothing_else(
    made: Callable[..., ContainerFunction], synthesised: Synthesised
) -> None:
    # GIVEN a function WHEN its role is looked at
    made(environment={"MODEL": "1"})
    template = synthesised()
    # THEN there is one policy, with no managed policy beside it
    (policy,) = template.find_resources("AWS::IAM::Policy").values()
    actions = {
        action
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert actions == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
        "kms:Decrypt",
    }
    (role,) = template.find_resources("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role["Properties"]


def test_provisioned_concurrency_is_on_the_alias_and_scales(
    made: Callable[..., ContainerFunction], synthesised: Synthesised
) -> None:
    # GIVEN environments started ahead WHEN the function is made
    made(provisioned_concurrency=ProvisionedConcurrency(minimum=1, maximum=4))
    template = synthesised()
    # THEN they belong to the alias and not to $LATEST, and follow its utilization
    template.has_resource_properties(
        "AWS::Lambda::Alias",
        {"Name": "live", "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1}},
    )
    template.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        {
            "MinCapacity": 1,
            "MaxCapacity": 4,
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
        },
    )


@pytest.mark.parametrize(
    ("front", "kinds"),
    [
        (None, set()),
        (HttpFront.FUNCTION_URL, {"AWS::Lambda::Url"}),
        (HttpFront.HTTP_API, {"AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Route"}),
    ],
)
def test_http_wants_signed_requests(
    made: Callable[..., ContainerFunction],
    synthesised: Synthesised,
    front: HttpFront | None,
    kinds: set[str],
) -> None:
    # GIVEN a front WHEN the function is made
    function = made(http_front=front)
    resources = synthesised().to_json()["Resources"].values()
    # THEN there is that front and no other, and nobody gets in without IAM credentials
    fronts = {"AWS::Lambda::Url", "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Route"}
    assert {resource["Type"] for resource in resources} & fronts == kinds
    assert (function.http_url is None) == (front is None)
    for resource in resources:
        if resource["Type"] == "AWS::Lambda::Url":
            assert resource["Properties"]["AuthType"] == "AWS_IAM"
        if resource["Type"] == "AWS::ApiGatewayV2::Route":
            assert resource["Properties"]["AuthorizationType"] == "AWS_IAM"


def test_a_timeout_that_an_http_api_would_cut_warns(
    made: Callable[..., ContainerFunction], stack: cdk.Stack, synthesised: Synthesised
) -> None:
    # GIVEN a function that may take a minute behind an HTTP API WHEN it is synthesised
    made(http_front=HttpFront.HTTP_API, timeout=cdk.Duration.seconds(60))
    synthesised()
    # THEN a person is told that callers get 504 after 30 s
    found = cdk.assertions.Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("504"))
    assert len(found) == 1


def test_the_alias_is_what_others_are_let_to_call(
    made: Callable[..., ContainerFunction], stack: cdk.Stack, synthesised: Synthesised
) -> None:
    # GIVEN a role WHEN it is granted calls
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    made().grant_invoke(caller)
    # THEN its policy names the function's alias alone
    policies = synthesised().find_resources("AWS::IAM::Policy")
    (policy,) = [one for name, one in policies.items() if name.startswith("Caller")]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert "Alias" in str(statement["Resource"])


def test_errors_throttles_and_slow_calls_raise_alarms_on_the_alias(
    made: Callable[..., ContainerFunction], stack: cdk.Stack, synthesised: Synthesised
) -> None:
    # GIVEN a function with a timeout of 10 s WHEN it is watched
    function = made(timeout=cdk.Duration.seconds(10))
    topic = AlarmTopic(
        stack, "Topic", key=EncryptionKey(stack, "TopicKey", retention=Retention(keep_data=False))
    )
    FunctionMonitoring(
        stack,
        "Monitoring",
        function=function,
        topic=topic,
        thresholds=FunctionThresholds(error_rate={Severity.CRITICAL: 0.02}),
    )
    alarms = [
        alarm["Properties"] for alarm in synthesised().find_resources("AWS::CloudWatch::Alarm").values()
    ]
    # THEN each alarm is on the alias that callers call, in the metric's own unit
    by_metric = {alarm["MetricName"]: alarm for alarm in alarms}
    assert by_metric.keys() == {"Errors", "Throttles", "Duration"}
    assert by_metric["Errors"]["Threshold"] == 0.02
    assert by_metric["Duration"]["Threshold"] == 8000
    for alarm in alarms:
        dimensions = {item["Name"]: item["Value"] for item in alarm["Dimensions"]}
        assert dimensions == {"FunctionName": "reviews-dev", "Resource": "reviews-dev:live"}
        assert alarm["AlarmActions"]


@pytest.mark.parametrize(
    "thresholds", [{"error_rate": {Severity.CRITICAL: 5}}, {"throttles": {Severity.WARNING: 0}}]
)
def test_thresholds_check_themselves(thresholds: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        FunctionThresholds(**thresholds)
