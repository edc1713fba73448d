from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import Result

from tests.client.fakes import ScriptedAws, container_stack, endpoint, stack

Run = Callable[..., Result]


@pytest.fixture
def deployed(aws: ScriptedAws) -> ScriptedAws:
    """A healthy real-time pattern."""
    aws.deploy(stack())
    aws.answers["DescribeEndpoint"] = endpoint()
    return aws


def only_pattern(result: Result) -> dict[str, Any]:
    [pattern] = json.loads(result.stdout)["patterns"]
    assert isinstance(pattern, dict)
    return pattern


def test_a_healthy_endpoint(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN scaling, figures and alarms
    deployed.answers["DescribeScalableTargets"] = {
        "ScalableTargets": [
            {"ResourceId": "endpoint/realtime-dev/variant/primary", "MinCapacity": 1, "MaxCapacity": 4}
        ]
    }
    deployed.answers["GetMetricData"] = {
        "MetricDataResults": [
            # the last hour spans two clock hours
            {"Id": "m0_invocations", "Values": [1200.0, 34.0]},
            {"Id": "m0_errors_5xx", "Values": [2.0]},
            {"Id": "m0_model_latency_p99_ms", "Values": [9_500.0, 7_000.0]},
        ]
    }
    deployed.answers["ListStackResources"] = {
        "StackResourceSummaries": [
            {"ResourceType": "AWS::CloudWatch::Alarm", "PhysicalResourceId": "RealtimeInference-Idle"},
            {"ResourceType": "AWS::KMS::Key", "PhysicalResourceId": "key"},
        ]
    }
    deployed.answers["DescribeAlarms"] = {
        "MetricAlarms": [
            {"AlarmName": "RealtimeInference-Idle", "StateValue": "ALARM", "StateReason": "no calls"}
        ]
    }

    # WHEN its status is asked for, for a program and for a person
    result, shown = run("status", "--json"), run("status")

    # THEN all of that is there, and nothing is wrong
    assert (result.exit_code, shown.exit_code) == (0, 0)
    pattern = only_pattern(result)
    assert pattern["healthy"] is True
    assert pattern["endpoint"]["serving_config"] == pattern["endpoint"]["expected_config"] == "config-2"
    [variant] = pattern["endpoint"]["variants"]
    assert (variant["instances"], variant["desired_instances"], variant["scaling"]) == (1, 2, [1, 4])
    assert variant["last_hour"]["invocations"] == 1234
    assert variant["last_hour"]["errors_4xx"] is None
    assert variant["last_hour"]["model_latency_p99_ms"] == 9.5
    assert pattern["alarms"] == [
        {"name": "RealtimeInference-Idle", "state": "ALARM", "reason": "no calls", "metric": ""}
    ]
    asked = [params["body"] for name, params in deployed.calls if name == "DescribeAlarms"]
    assert asked
    assert all(b"RealtimeInference-Idle" in body for body in asked)
    for words in (
        "InService",
        "as the stack expects",
        "1 -> 2",
        "1-4",
        "1,234",
        "9.5",
        "1 ALARM",
        "Idle: no calls",
    ):
        assert words in shown.stdout


def test_a_silent_rollback_does_not_look_like_success(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN an endpoint that is InService, but on its old configuration
    deployed.answers["DescribeEndpoint"] = endpoint(
        EndpointConfigName="config-1", FailureReason="alarm 5xx fired"
    )

    # WHEN
    result, shown = run("status", "--json"), run("status")

    # THEN it says so, with the reason, and exits with 2
    assert (result.exit_code, shown.exit_code) == (2, 2)
    pattern = only_pattern(result)
    assert pattern["healthy"] is False
    [problem] = pattern["problems"]
    assert "serves config-1, but the stack expects config-2" in problem
    assert "alarm 5xx fired" in problem
    assert problem in shown.stdout


def test_an_expected_configuration_that_is_an_arn_is_compared_by_name(
    deployed: ScriptedAws, run: Run
) -> None:
    arn = "arn:aws:sagemaker:ap-northeast-2:123456789012:endpoint-config/config-2"
    deployed.deploy(stack(outputs={"EndpointName": "realtime-dev", "EndpointConfigName": arn}))
    assert run("status").exit_code == 0


def test_an_update_under_way_is_shown_and_is_no_problem(deployed: ScriptedAws, run: Run) -> None:
    # GIVEN an update that CloudFormation has begun: the outputs are still the old ones
    deployed.deploy(stack(StackStatus="UPDATE_IN_PROGRESS"))
    deployed.answers["DescribeEndpoint"] = endpoint(
        EndpointStatus="Updating",
        PendingDeploymentSummary={
            "EndpointConfigName": "config-3",
            "StartTime": datetime(2026, 11, 24, tzinfo=UTC),
            "ProductionVariants": [
                {
                    "VariantName": "primary",
                    "CurrentInstanceCount": 1,
                    "DesiredInstanceCount": 2,
                    "VariantStatus": [{"Status": "Baking"}],
                }
            ],
        },
    )
    result, shown = run("status", "--json"), run("status")
    assert (result.exit_code, shown.exit_code) == (0, 0)
    update = only_pattern(result)["endpoint"]["update"]
    assert update["config"] == "config-3"
    assert update["variants"][0]["stages"] == ["Baking"]
    assert "updating  to config-3: primary Baking 1/2 instances" in shown.stdout


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed", "RollingBack"])
def test_an_endpoint_in_trouble(deployed: ScriptedAws, run: Run, status: str) -> None:
    deployed.answers["DescribeEndpoint"] = endpoint(EndpointStatus=status, FailureReason="ping health check")
    result = run("status")
    assert result.exit_code == 2
    assert "ping health check" in result.stdout


def test_an_endpoint_that_was_deleted_past_the_stack(deployed: ScriptedAws, run: Run) -> None:
    deployed.fail("DescribeEndpoint", "ValidationException", 'Could not find endpoint "arn:...".')
    result = run("status")
    assert result.exit_code == 2
    assert "does not exist any more" in result.stdout


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "ROLLBACK_COMPLETE"])
def test_a_failed_deployment_of_the_stack(deployed: ScriptedAws, run: Run, status: str) -> None:
    deployed.deploy(stack(StackStatus=status, StackStatusReason="endpoint failed"))
    result = run("status")
    assert result.exit_code == 2
    assert f"failed ({status}): endpoint failed" in result.stdout


def test_what_may_not_be_seen_is_left_out_with_a_note(deployed: ScriptedAws, run: Run) -> None:
    for operation in ("GetMetricData", "DescribeScalableTargets", "ListStackResources"):
        deployed.fail(operation, "AccessDenied", "you may not")
    result, shown = run("status", "--json"), run("status")
    assert result.exit_code == 0
    notes = only_pattern(result)["notes"]
    assert [note.partition(":")[0] for note in notes] == ["scaling", "the last hour", "alarms"]
    assert "not shown: alarms: AccessDenied: you may not" in shown.stdout


def test_a_pattern_without_an_endpoint(aws: ScriptedAws, run: Run) -> None:
    aws.deploy(stack("batch", "BatchInference", outputs={}))
    result = run("status", "--json")
    assert result.exit_code == 0
    assert only_pattern(result)["endpoint"] is None


def test_one_of_two_patterns_with_a_problem_decides(deployed: ScriptedAws, run: Run) -> None:
    deployed.deploy(stack(), stack("batch", "BatchInference", outputs={}, StackStatus="CREATE_FAILED"))
    assert run("status").exit_code == 2
    assert run("status", "realtime").exit_code == 0
    assert run("status", "--stack", "Nothing").exit_code == 1


def test_containers_of_an_endpoint(aws: ScriptedAws, run: Run) -> None:
    # GIVEN a pipeline of two, one of which fails
    aws.deploy(container_stack("inference-pipeline", "Serial", "normalize", "classify"))
    aws.answers["DescribeEndpoint"] = endpoint()

    def figures(params: dict[str, Any]) -> dict[str, Any]:
        if b"ContainerName" not in params["body"]:
            return {"MetricDataResults": []}
        values = {"m0_latency_p50_ms": 1_500.0, "m1_invocations": 20.0, "m1_errors_5xx": 3.0}
        return {"MetricDataResults": [{"Id": key, "Values": [value]} for key, value in values.items()]}

    aws.answers["GetMetricData"] = figures

    # WHEN
    result, shown = run("status", "--json"), run("status")

    # THEN
    found = only_pattern(result)["endpoint"]
    assert found["inference_mode"] == "Serial"
    normalize, classify = found["containers"]
    assert (normalize["hostname"], normalize["last_hour"]["latency_p50_ms"]) == ("normalize", 1.5)
    assert (classify["last_hour"]["invocations"], classify["last_hour"]["errors_5xx"]) == (20, 3)
    assert "passes through all, in this order" in shown.stdout
    assert "normalize" in shown.stdout


def test_a_shadow_variant_and_a_version_are_shown(aws: ScriptedAws, run: Run) -> None:
    outputs = {"EndpointName": "blue-green-dev", "EndpointConfigName": "config-2", "ModelVersion": "v3"}
    aws.deploy(stack("blue-green", "BlueGreenDeployment", outputs=outputs))
    shadow = {
        "VariantName": "shadow",
        "CurrentWeight": 0.5,
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 1,
    }
    aws.answers["DescribeEndpoint"] = endpoint(ShadowProductionVariants=[shadow])
    result, shown = run("status", "--json"), run("status")
    found = only_pattern(result)["endpoint"]
    assert found["version"] == "v3"
    assert [(one["name"], one["shadow"]) for one in found["variants"]] == [
        ("primary", False),
        ("shadow", True),
    ]
    assert "shadow (shadow)" in shown.stdout
    assert "(version v3)" in shown.stdout
