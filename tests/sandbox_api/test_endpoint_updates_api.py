"""UpdateEndpoint: what is handed on, shown, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.errors import ServiceError
from sandbox.store import Params
from tests.sandbox_api.endpoint_requests import CANARY
from tests.sandbox_api.world import World

Refused = Callable[..., tuple[str, str]]


@pytest.mark.parametrize("status", ["InService", "OutOfService", "UpdateRollbackFailed"])
def test_other_states_can_be_updated(
    sagemaker: Any, make_endpoint: Any, make_config: Any, world: World, status: str
) -> None:
    # GIVEN an endpoint in a state at rest, with the reason of an earlier rollback
    make_endpoint("e")
    make_config("next")
    endpoint = world.endpoint("e")
    endpoint.status, endpoint.failure_reason = status, "rolled back"

    # WHEN it is updated
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next")

    # THEN it serves the new configuration, and the old reason is gone
    shown = sagemaker.describe_endpoint(EndpointName="e")
    assert (shown["EndpointConfigName"], shown["EndpointStatus"]) == ("next", "InService")
    assert "FailureReason" not in shown


def test_an_update_hands_on_what_it_was_given(
    sagemaker: Any, make_endpoint: Any, make_config: Any, world: World
) -> None:
    # GIVEN an endpoint and a new configuration
    make_endpoint("e")
    make_config("next")

    # WHEN it is updated with a deployment policy, keeping weights but not counts
    sagemaker.update_endpoint(
        EndpointName="e",
        EndpointConfigName="next",
        DeploymentConfig=CANARY,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredInstanceCount"}],
    )

    # THEN the deployment knows it all; a later update reuses the policy only when it says so
    assert world.deployments.calls[-1] == ("update", ("next", CANARY, True, {"DesiredInstanceCount"}))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e-config")
    assert world.deployments.calls[-1] == ("update", ("e-config", None, False, frozenset()))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next", RetainDeploymentConfig=True)
    assert world.deployments.calls[-1] == ("update", ("next", CANARY, False, frozenset()))


def test_a_running_update_shows_what_is_pending(
    sagemaker: Any, make_endpoint: Any, make_config: Any, world: World
) -> None:
    # GIVEN an endpoint whose update takes its time
    make_endpoint("e")
    make_config("next")
    world.deployments.hold = True
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next")

    # WHEN it is described meanwhile and after
    during = sagemaker.describe_endpoint(EndpointName="e")
    world.deployments.finish()
    after = sagemaker.describe_endpoint(EndpointName="e")

    # THEN the new fleet shows with its stage, then only the new configuration
    assert (during["EndpointStatus"], during["EndpointConfigName"]) == ("Updating", "e-config")
    pending = during["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "next"
    assert pending["ProductionVariants"][0]["InstanceType"] == "ml.m5.large"
    assert pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Baking"
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "next")
    assert "PendingDeploymentSummary" not in after


def test_a_refused_update_changes_nothing(
    sagemaker: Any, make_endpoint: Any, world: World, refused: Refused
) -> None:
    # GIVEN an endpoint, and no room for another fleet
    make_endpoint("e")
    endpoint = world.endpoint("e")
    endpoint.failure_reason = "before"
    modified = endpoint.modified_at
    world.deployments.refusal = ServiceError("ResourceLimitExceeded", "full")

    # WHEN it is updated
    error = refused(
        sagemaker.update_endpoint,
        EndpointName="e",
        EndpointConfigName="e-config",
        DeploymentConfig=CANARY,
    )

    # THEN the endpoint is as it was
    assert error == ("ResourceLimitExceeded", "full")
    assert (endpoint.failure_reason, endpoint.modified_at) == ("before", modified)
    assert endpoint.deployment_config is None


@pytest.mark.parametrize(
    ("params", "finding"),
    [
        (
            {"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]},
            "ExcludeRetainedVariantProperties needs RetainAllVariantProperties true",
        ),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DataCaptureConfig"}],
            },
            "ExcludeRetainedVariantProperties does not support DataCaptureConfig",
        ),
        (
            {"EndpointConfigName": "renamed", "DeploymentConfig": CANARY},
            "must keep the names of the variants: the endpoint has blue, the new configuration green",
        ),
    ],
)
def test_an_update_that_contradicts_itself_is_refused(
    sagemaker: Any,
    make_endpoint: Any,
    make_config: Any,
    variant: Any,
    refused: Refused,
    params: Params,
    finding: str,
) -> None:
    # GIVEN an endpoint, and a configuration with another variant name
    make_endpoint("e")
    make_config("renamed", variant("green"))

    # WHEN an update is asked for that cannot be
    code, message = refused(
        sagemaker.update_endpoint, **{"EndpointName": "e", "EndpointConfigName": "e-config"} | params
    )

    # THEN the rule is told
    assert code == "ValidationException"
    assert finding in message


def test_variants_may_be_renamed_without_a_deployment_policy(
    sagemaker: Any, make_endpoint: Any, make_config: Any, variant: Any
) -> None:
    # GIVEN an endpoint, and a configuration with another variant name
    make_endpoint("e")
    make_config("renamed", variant("green"))

    # WHEN it is updated without guardrails
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="renamed")

    # THEN the update goes through
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "renamed"


def policy(**routing: Any) -> Params:
    """CANARY with other routing."""
    blue_green = CANARY["BlueGreenUpdatePolicy"]
    return CANARY | {
        "BlueGreenUpdatePolicy": blue_green
        | {"TrafficRoutingConfiguration": blue_green["TrafficRoutingConfiguration"] | routing}
    }


@pytest.mark.parametrize(
    ("deployment", "findings"),
    [
        (policy(Type="GRADUAL"), ["satisfy enum value set: [ALL_AT_ONCE, CANARY, LINEAR]"]),
        (policy(CanarySize={"Type": "CAPACITY_PERCENTAGE", "Value": 0}), ["CAPACITY_PERCENT]", "equal to 1"]),
        (policy(WaitIntervalInSeconds=3601), ["less than or equal to 3600"]),
        (
            policy(CanarySize={"Type": "CAPACITY_PERCENT", "Value": 51}),
            ["CanarySize must be between 1 and 50 percent, not 51"],
        ),
        (
            policy(CanarySize={"Type": "INSTANCE_COUNT", "Value": 2}),
            ["CanarySize must be between 1 and 1 instances"],
        ),
        ({"AutoRollbackConfiguration": {"Alarms": []}}, ["length greater than or equal to 1"]),
        (
            CANARY | {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}}},
            ["waitIntervalInSeconds"],
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused_in_the_services_words(
    sagemaker: Any,
    make_endpoint: Any,
    world: World,
    refused: Refused,
    deployment: Params,
    findings: list[str],
) -> None:
    # GIVEN an endpoint of two instances
    make_endpoint("e")

    # WHEN an update asks for a policy that cannot be
    code, message = refused(
        sagemaker.update_endpoint,
        EndpointName="e",
        EndpointConfigName="e-config",
        DeploymentConfig=deployment,
    )

    # THEN it is told, and nothing was started
    assert code == "ValidationException"
    assert message.startswith(f"{len(findings)} validation error")
    assert all(finding in message for finding in findings), message
    assert [what for what, _ in world.deployments.calls] == ["create"]


def test_everything_that_is_wrong_with_an_update_is_told_at_once(
    sagemaker: Any, make_endpoint: Any, make_config: Any, variant: Any, refused: Refused
) -> None:
    # GIVEN an endpoint, and a configuration of two variants with other names
    make_endpoint("e")
    make_config("renamed", variant("green"), variant("red"))

    # WHEN an update has four mistakes
    _, message = refused(
        sagemaker.update_endpoint,
        EndpointName="e",
        EndpointConfigName="renamed",
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
        DeploymentConfig={
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 51},
                "WaitIntervalInSeconds": 0,
            }
        },
    )

    # THEN all four are told
    assert message.startswith("4 validation errors detected: ")
    for finding in (
        "ExcludeRetainedVariantProperties needs RetainAllVariantProperties true",
        "RollingUpdatePolicy is not supported for endpoints with several production variants",
        "MaximumBatchSize must be between 5 and 50 percent, not 51",
        "the endpoint has blue, the new configuration green, red",
    ):
        assert finding in message


def test_a_policy_is_held_against_the_instances_that_are_kept(
    sagemaker: Any, make_endpoint: Any, make_config: Any, variant: Any, refused: Refused
) -> None:
    # GIVEN an endpoint that was scaled from four instances to one
    make_endpoint("e", variant(count=4))
    make_config("next", variant(count=4))
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredInstanceCount": 1}]
    )
    asked = {
        "EndpointName": "e",
        "EndpointConfigName": "next",
        "DeploymentConfig": policy(CanarySize={"Type": "INSTANCE_COUNT", "Value": 2}),
    }

    # WHEN a canary of two is asked for that keeps the one THEN it is refused, as two are more than half
    code, message = refused(sagemaker.update_endpoint, **asked, RetainAllVariantProperties=True)
    assert code == "ValidationException"
    assert "needs at least 2 instances; variant blue has 1" in message

    # AND with the configuration's four it goes through
    sagemaker.update_endpoint(**asked)
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "next"
