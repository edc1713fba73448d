"""AWS::SageMaker::Endpoint: it takes its time, and can fail after it was accepted."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloudformation import Api, ResourceFailed
from tests.sandbox_process.resource_engine import (
    ENDPOINT,
    SCOPE,
    Engine,
    endpoint,
    gone,
    resource,
)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_an_endpoint_is_made_when_it_is_in_service() -> None:
    # GIVEN an endpoint that takes its time
    creating = endpoint("Creating")
    engine = Engine(
        CreateEndpoint={"EndpointArn": ENDPOINT},
        DescribeEndpoint=[creating, creating, endpoint("InService")],
    )
    policy = {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": "60"}}

    # WHEN it is created
    made = resource("AWS::SageMaker::Endpoint").create(
        "E",
        {"EndpointName": "shop", "EndpointConfigName": "old", "DeploymentConfig": policy},
        "S",
        Api(engine, SCOPE),
    )

    # THEN it was waited for, and everything that templates read is there
    assert engine.operations == ["CreateEndpoint", *["DescribeEndpoint"] * 3]
    assert engine.of("CreateEndpoint") == [
        {
            "EndpointName": "shop",
            "EndpointConfigName": "old",
            "DeploymentConfig": {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 60}},
        }
    ]
    assert made.physical_id == ENDPOINT
    assert made.attributes["EndpointName"] == "shop"


def test_an_endpoint_that_fails_says_why_and_is_deleted() -> None:
    # GIVEN an endpoint whose model does not load
    failed = endpoint("Failed", reason="The model did not load.")
    engine = Engine(
        CreateEndpoint={"EndpointArn": ENDPOINT},
        DescribeEndpoint=[failed, failed, endpoint("Deleting"), gone()],
    )

    # WHEN it is created
    with pytest.raises(ResourceFailed, match=r"Endpoint shop failed: The model did not load\."):
        resource("AWS::SageMaker::Endpoint").create(
            "E", {"EndpointName": "shop", "EndpointConfigName": "old"}, "S", Api(engine, SCOPE)
        )

    # THEN nothing of it is left, for the stack knows no resource to delete
    assert engine.of("DeleteEndpoint") == [{"EndpointName": "shop"}]


def test_an_update_passes_on_how_to_deploy_and_waits() -> None:
    # GIVEN an endpoint that is being scaled at the moment
    engine = Engine(
        DescribeEndpoint=[
            endpoint("Updating"),
            endpoint("InService"),
            endpoint("Updating"),
            endpoint("InService", "new"),
        ]
    )
    properties = {
        "EndpointName": "shop",
        "EndpointConfigName": "new",
        "RetainAllVariantProperties": "true",
        "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        "RetainDeploymentConfig": False,
    }

    # WHEN it is updated
    made = resource("AWS::SageMaker::Endpoint").update(
        ENDPOINT, {"EndpointName": "shop", "EndpointConfigName": "old"}, properties, Api(engine, SCOPE)
    )

    # THEN the update came after the scaling, with all that the template says
    assert (
        engine.operations
        == ["DescribeEndpoint", "DescribeEndpoint", "UpdateEndpoint"] + ["DescribeEndpoint"] * 2
    )
    assert engine.of("UpdateEndpoint") == [properties | {"RetainAllVariantProperties": True}]
    assert made.physical_id == ENDPOINT


def test_an_update_that_sagemaker_rolled_back_fails_with_its_reason() -> None:
    # GIVEN a new configuration whose fleet sets off an alarm
    rolled_back = endpoint("InService", "old", "Alarm errors went off.")
    engine = Engine(DescribeEndpoint=[endpoint("InService"), endpoint("Updating"), rolled_back])
    old = {"EndpointName": "shop", "EndpointConfigName": "old"}
    type_ = resource("AWS::SageMaker::Endpoint")

    # WHEN it is updated
    with pytest.raises(ResourceFailed, match=r"rolled back.* old as before: Alarm errors"):
        type_.update(ENDPOINT, old, old | {"EndpointConfigName": "new"}, Api(engine, SCOPE))

    # AND the stack's rollback asks for what serves already
    again = Engine(DescribeEndpoint=rolled_back)
    type_.update(ENDPOINT, old | {"EndpointConfigName": "new"}, old, Api(again, SCOPE))

    # THEN there is no second deployment
    assert again.operations == ["DescribeEndpoint"]


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            [endpoint("InService"), endpoint("Failed", reason="Broken.")],
            "update of endpoint shop failed: Broken.",
        ),
        ([endpoint("InService"), gone()], "deleted while it was being updated"),
        ([gone()], "does not exist any more"),
        ([endpoint("InService"), endpoint("InService", "old")], "SageMaker gave no reason"),
    ],
)
def test_an_update_that_comes_to_nothing_says_so(states: list[Any], message: str) -> None:
    # GIVEN an endpoint that does not get where it should
    engine = Engine(DescribeEndpoint=states)
    old = {"EndpointName": "shop", "EndpointConfigName": "old"}

    # WHEN it is updated
    # THEN the resource fails and says what happened
    with pytest.raises(ResourceFailed, match=message):
        resource("AWS::SageMaker::Endpoint").update(
            ENDPOINT, old, old | {"EndpointConfigName": "new"}, Api(engine, SCOPE)
        )


def test_an_endpoint_that_does_not_settle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an endpoint that stays in Creating
    engine = Engine(CreateEndpoint={"EndpointArn": ENDPOINT}, DescribeEndpoint=endpoint("Creating"))
    monkeypatch.setattr("sandbox.cloudformation.endpoint.CREATE_LIMIT", 0.0)

    # WHEN it is created
    # THEN there is an end to waiting
    with pytest.raises(ResourceFailed, match="did not stabilize"):
        resource("AWS::SageMaker::Endpoint").create(
            "E", {"EndpointName": "shop", "EndpointConfigName": "old"}, "S", Api(engine, SCOPE)
        )


def test_a_delete_waits_for_what_is_under_way_and_until_it_is_gone() -> None:
    # GIVEN an endpoint that is being updated
    engine = Engine(
        DescribeEndpoint=[endpoint("Updating"), endpoint("InService"), endpoint("Deleting"), gone()]
    )

    # WHEN it is deleted
    resource("AWS::SageMaker::Endpoint").delete(ENDPOINT, {"EndpointName": "shop"}, Api(engine, SCOPE))

    # THEN SageMaker was asked between the two waits
    assert engine.operations == ["DescribeEndpoint"] * 2 + ["DeleteEndpoint"] + ["DescribeEndpoint"] * 2
