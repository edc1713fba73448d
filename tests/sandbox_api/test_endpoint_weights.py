"""UpdateEndpointWeightsAndCapacities: what changes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.world import World

Refused = Callable[..., tuple[str, str]]


def test_weights_and_counts_change(sagemaker: Any, make_endpoint: Any, variant: Any) -> None:
    # GIVEN an endpoint with two variants
    make_endpoint("e", variant("a"), variant("b"))

    # WHEN one gets another weight and the other another count
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0.25},
            {"VariantName": "b", "DesiredInstanceCount": 5},
        ],
    )

    # THEN both show
    a, b = sagemaker.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert (a["CurrentWeight"], a["CurrentInstanceCount"]) == (0.25, 2)
    assert (b["CurrentWeight"], b["CurrentInstanceCount"]) == (1.0, 5)


@pytest.mark.parametrize(
    ("desired", "finding"),
    [
        ([{"VariantName": "c", "DesiredWeight": 1.0}], 'the endpoint has no variant "c"; it has a, b'),
        ([{"VariantName": "a"}], "DesiredWeight, DesiredInstanceCount or ServerlessUpdateConfig is missing"),
        ([{"VariantName": "a", "DesiredInstanceCount": 0}], "must be at least 1 for a real-time endpoint"),
        ([{"VariantName": "a", "DesiredInstanceCount": -1}], "greater than or equal to 0"),
        ([{"VariantName": "a", "DesiredWeight": -0.5}], "greater than or equal to 0"),
        ([{"VariantName": "a", "DesiredWeight": float("nan")}], "desiredWeight' failed"),
        ([{"VariantName": "a", "DesiredWeight": float("inf")}], "desiredWeight' failed"),
        ([{"VariantName": "a", "DesiredWeight": 1.0}] * 2, "every variant may come once"),
        (
            [{"VariantName": name, "DesiredInstanceCount": 1} for name in "ab"],
            "DesiredInstanceCount may be given for one variant per call (weights for any number of them); "
            "it is given for a, b",
        ),
        (
            [{"VariantName": "a", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}],
            'ServerlessUpdateConfig is for serverless variants; "a" has instances',
        ),
        (
            [{"VariantName": name, "DesiredWeight": 0.0} for name in "ab"],
            "the weight of at least one variant must be greater than 0",
        ),
        ([], "Member must have length greater than or equal to 1"),
    ],
)
def test_weights_and_counts_that_cannot_be_are_refused(
    sagemaker: Any,
    make_endpoint: Any,
    variant: Any,
    refused: Refused,
    world: World,
    desired: list[Params],
    finding: str,
) -> None:
    # GIVEN an endpoint with two variants
    make_endpoint("e", variant("a"), variant("b"))

    # WHEN a change is asked for that cannot be
    code, message = refused(
        sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=desired,
    )

    # THEN the rule is told, and nothing was started
    assert code == "ValidationException"
    assert finding in message
    assert [what for what, _ in world.deployments.calls] == ["create"]
