"""Shadow variants at the API: what a configuration may hold, what endpoints show and change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.store import Params
from tests.sandbox_api.world import IMAGE, SCOPE, World

Refused = Callable[..., tuple[str, str]]
SERVERLESS = {
    "InstanceType": None,
    "InitialInstanceCount": None,
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
}
ASYNC = {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}


@pytest.mark.parametrize(
    ("production", "shadow", "config", "finding"),
    [
        ([{}, {"VariantName": "other"}], [{}], {}, "exactly one production variant and one shadow variant"),
        ([{}], [{}], {"AsyncInferenceConfig": ASYNC}, "shadow variants do not support AsyncInferenceConfig"),
        ([{}], [SERVERLESS], {}, "shadow variants do not support ServerlessConfig"),
        ([{}], [{"ModelName": "chain"}], {}, "shadow variants do not support models with several containers"),
        ([{}], [{"ModelName": "many"}], {}, "shadow variants do not support multi-model containers"),
        ([{"ModelName": "many"}], [{}], {}, "shadow variants do not support multi-model containers"),
        ([{}], [{"InstanceType": "ml.inf1.xlarge"}], {}, "shadow variants do not support ml.inf1 instances"),
        ([{}], [{}, {"VariantName": "second"}], {}, "exactly one production variant and one shadow variant"),
        ([{"VariantName": "shadow"}], [{}], {}, "VariantName must be unique in the configuration"),
    ],
)
def test_a_shadow_test_beyond_its_limits_is_refused(
    sagemaker: Any,
    make_model: Any,
    variant: Any,
    refused: Refused,
    production: list[Params],
    shadow: list[Params],
    config: Params,
    finding: str,
) -> None:
    # GIVEN models and a shadow test with one mistake
    make_model("model")
    make_model("chain", PrimaryContainer=None, Containers=[{"Image": IMAGE}, {"Image": IMAGE}])
    many = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"}
    make_model("many", PrimaryContainer=many)
    shadows = [
        {k: v for k, v in {**variant("shadow"), **changes}.items() if v is not None} for changes in shadow
    ]

    # WHEN it is created
    _, message = refused(
        sagemaker.create_endpoint_config,
        EndpointConfigName="c",
        ProductionVariants=[{**variant(), **changes} for changes in production],
        ShadowProductionVariants=shadows,
        **config,
    )

    # THEN the limit is told
    assert finding in message


def make_shadowed(sagemaker: Any, make_config: Any, variant: Any, name: str = "e") -> None:
    shadow = variant("shadow", 1, InitialVariantWeight=0.5)
    make_config(f"{name}-config", variant("blue", 1), ShadowProductionVariants=[shadow])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")


def test_an_endpoint_shows_its_shadow_apart(sagemaker: Any, make_config: Any, variant: Any) -> None:
    # GIVEN an endpoint with a shadow variant
    make_shadowed(sagemaker, make_config, variant)

    # WHEN it is described
    shown = sagemaker.describe_endpoint(EndpointName="e")

    # THEN the shadow is in a list of its own
    assert [each["VariantName"] for each in shown["ProductionVariants"]] == ["blue"]
    (shadow,) = shown["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentWeight"], shadow["CurrentInstanceCount"]) == (
        "shadow",
        0.5,
        1,
    )
    assert (
        sagemaker.describe_endpoint_config(EndpointConfigName="e-config")["ShadowProductionVariants"][0][
            "VariantName"
        ]
        == "shadow"
    )


def test_an_update_shows_the_shadow_that_comes(
    sagemaker: Any, make_config: Any, variant: Any, world: World
) -> None:
    # GIVEN an endpoint WHEN it is being updated
    make_shadowed(sagemaker, make_config, variant)
    make_config("next", variant("blue", 1), ShadowProductionVariants=[variant("candidate", 1)])
    world.deployments.hold = True
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next")
    # THEN the coming shadow is in the summary, and another name of it is no other production variant
    pending = sagemaker.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]
    assert [each["VariantName"] for each in pending["ShadowProductionVariants"]] == ["candidate"]


def test_a_shadow_has_weight_and_capacity(
    sagemaker: Any, make_config: Any, variant: Any, refused: Refused, world: World
) -> None:
    # GIVEN an endpoint with a shadow variant
    make_shadowed(sagemaker, make_config, variant)

    # WHEN both are changed
    change = {"VariantName": "shadow", "DesiredWeight": 0.0, "DesiredInstanceCount": 3}
    sagemaker.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[change])

    # THEN the endpoint shows it, and a shadow's weight of 0 leaves production's alone
    (shadow,) = sagemaker.describe_endpoint(EndpointName="e")["ShadowProductionVariants"]
    assert (shadow["DesiredWeight"], shadow["DesiredInstanceCount"]) == (0.0, 3)
    _, message = refused(
        sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "blue", "DesiredWeight": 0.0}],
    )
    assert "the weight of at least one variant must be greater than 0" in message
    assert world.stores.of(SCOPE).endpoints["e"].variants["blue"].weight == 1.0


def test_an_unknown_variant_is_told_the_shadow_s_name_too(
    sagemaker: Any, make_config: Any, variant: Any, refused: Refused
) -> None:
    make_shadowed(sagemaker, make_config, variant)
    _, message = refused(
        sagemaker.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "green", "DesiredWeight": 1.0}],
    )
    assert message.endswith('the endpoint has no variant "green"; it has blue, shadow')
