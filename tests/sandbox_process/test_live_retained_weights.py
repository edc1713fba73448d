"""Shifted weights and a template that knows nothing of them: what a later deploy keeps, by variant name."""

from __future__ import annotations

import json
from typing import Any

from tests.sandbox_process.live import IMAGE, ROLE, SAYS, Live, Load

STACK, ENDPOINT = "Weighted", "weighted"
KEEP = {"RetainAllVariantProperties": True}
KEEP_COUNTS_ONLY = KEEP | {"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}


def test_a_later_deploy_keeps_shifted_weights_unless_told_otherwise(live: Live) -> None:
    # GIVEN a stack with two variants, 50:50, under load, of which one was shifted to a fifth
    cloudformation = live.aws("cloudformation")
    deploy(live, cloudformation.create_stack, "1", KEEP, ("champion", "challenger"))
    try:
        with Load(live, ENDPOINT, rate=20) as load:
            shift(live, champion=80.0, challenger=20.0)

            # WHEN new models are deployed, THEN the weights stay
            deploy(live, cloudformation.update_stack, "2", KEEP, ("champion", "challenger"))
            kept = weights(live)

            # AND WHEN the challenger is dropped and comes back, THEN it starts as the template says
            deploy(live, cloudformation.update_stack, "3", KEEP, ("champion",))
            dropped = weights(live)
            deploy(live, cloudformation.update_stack, "4", KEEP, ("champion", "challenger"))
            back = weights(live)

            # AND WHEN the template excludes weights, THEN they are the template's
            deploy(live, cloudformation.update_stack, "5", KEEP_COUNTS_ONLY, ("champion", "challenger"))
            reset = weights(live)
    finally:
        cloudformation.delete_stack(StackName=STACK)
        live.until("the end of the endpoint", lambda: live.described(ENDPOINT) is None)
    assert kept == {"champion": 80.0, "challenger": 20.0}
    assert dropped == {"champion": 80.0}
    assert back == {"champion": 80.0, "challenger": 50.0}
    assert reset == {"champion": 50.0, "challenger": 50.0}

    # AND no request failed in all of it
    assert load.failures == []
    assert {answer.text[-1] for answer in load.answers if answer.text} == {"1", "2", "3", "4", "5"}


def deploy(live: Live, change: Any, version: str, retention: dict[str, Any], names: tuple[str, ...]) -> None:
    """Create or update the stack with a version of each variant's model, and wait for it."""
    resources: dict[str, Any] = {
        f"Model{name}": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {
                    "Image": IMAGE,
                    "ModelDataUrl": live.artifact(
                        f"weighted-{name}-{version}", SAYS.format(answer=f"{name}-{version}")
                    ),
                },
            },
        }
        for name in names
    }
    resources["Config"] = {
        "Type": "AWS::SageMaker::EndpointConfig",
        "Properties": {
            "ProductionVariants": [
                {
                    "VariantName": name,
                    "ModelName": {"Fn::GetAtt": [f"Model{name}", "ModelName"]},
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                    "InitialVariantWeight": 50,
                }
                for name in names
            ]
        },
    }
    resources["Endpoint"] = {
        "Type": "AWS::SageMaker::Endpoint",
        "Properties": {
            "EndpointName": ENDPOINT,
            "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
            **retention,
        },
    }
    change(StackName=STACK, TemplateBody=json.dumps({"Resources": resources}))

    def status() -> str:
        return str(live.aws("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])

    live.until("the stack at rest", lambda: not status().endswith("IN_PROGRESS"))
    assert status() in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def shift(live: Live, **desired: float) -> None:
    live.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT,
        DesiredWeightsAndCapacities=[
            {"VariantName": name, "DesiredWeight": weight} for name, weight in desired.items()
        ],
    )
    assert weights(live) == desired


def weights(live: Live) -> dict[str, float]:
    """CurrentWeight of each variant, once the endpoint is at rest."""
    variants = live.settled(ENDPOINT)["ProductionVariants"]
    return {variant["VariantName"]: variant["CurrentWeight"] for variant in variants}
