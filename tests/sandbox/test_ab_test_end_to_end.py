"""The A/B-test pattern by the real CDK CLI: two models, shares that follow the weights, and a stack that
remembers them."""

from __future__ import annotations

import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.sandbox.laptop import REVIEWS, Laptop, wait_for

pytestmark = pytest.mark.sandbox

PATTERN = "ab-test"
REQUESTS = 2000


def answered_by(laptop: Laptop, count: int, **arguments: str) -> Counter[str]:
    """Which variant answered each of so many requests."""
    runtime, endpoint = laptop.boto("sagemaker-runtime"), laptop.outputs(PATTERN)["EndpointName"]
    body = json.dumps({"inputs": REVIEWS})

    def ask(_: int) -> str:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=body, **arguments
        )
        assert [one["label"] for one in json.loads(answer["Body"].read())] == ["positive", "negative"]
        return str(answer["InvokedProductionVariant"])

    with ThreadPoolExecutor(8) as callers:
        return Counter(callers.map(ask, range(count)))


def weights(laptop: Laptop) -> dict[str, float]:
    """The variants' weights, once the endpoint is in service."""

    def described() -> Any:
        seen = laptop.boto("sagemaker").describe_endpoint(
            EndpointName=laptop.outputs(PATTERN)["EndpointName"]
        )
        return seen["ProductionVariants"] if seen["EndpointStatus"] == "InService" else None

    return {one["VariantName"]: one["CurrentWeight"] for one in wait_for("in service", described)}


def shift(laptop: Laptop, champion: float, challenger: float) -> None:
    laptop.boto("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=laptop.outputs(PATTERN)["EndpointName"],
        DesiredWeightsAndCapacities=[
            {"VariantName": "champion", "DesiredWeight": champion},
            {"VariantName": "challenger", "DesiredWeight": challenger},
        ],
    )


def assert_share(counts: Counter[str], variant: str, share: float) -> None:
    """The share is within three standard errors of the weight."""
    error = math.sqrt(share * (1 - share) / counts.total())
    assert counts[variant] / counts.total() == pytest.approx(share, abs=max(3 * error, 1e-12))


def test_shares_follow_the_weights_and_a_named_variant_overrides_them(ab_test: Laptop) -> None:
    # GIVEN the deployed pattern, half and half
    shift(ab_test, 50, 50)
    assert weights(ab_test) == {"champion": 50, "challenger": 50}

    # WHEN two thousand requests are sent at each step of the weights
    half = answered_by(ab_test, REQUESTS)
    shift(ab_test, 80, 20)
    weights(ab_test)
    most = answered_by(ab_test, REQUESTS)
    shift(ab_test, 100, 0)
    weights(ab_test)
    everything = answered_by(ab_test, 200)
    named = answered_by(ab_test, 50, TargetVariant="challenger")

    # THEN the shares are the weights', and the variant without weight answers only by its name
    assert_share(half, "champion", 0.5)
    assert_share(most, "champion", 0.8)
    assert everything == {"champion": 200}
    assert named == {"challenger": 50}


@pytest.mark.parametrize(("retained", "expected"), [("true", 80.0), ("false", 50.0)])
def test_a_later_deployment_keeps_shifted_weights_unless_told_otherwise(
    ab_test: Laptop, retained: str, expected: float
) -> None:
    # GIVEN weights that were shifted at run time
    (ab_test.project / "changed").touch()
    weights(ab_test)
    shift(ab_test, 80, 20)
    assert weights(ab_test)["champion"] == 80

    # WHEN something else of the endpoint changes by a deployment
    ab_test.sandbox(
        "deploy",
        PATTERN,
        "-c",
        f"patterns.ab-test.retain_weights={retained}",
        "-c",
        f"patterns.ab-test.variants.challenger.model.environment.ROUND=retained-{retained}",
    )

    # THEN the weights are kept, or those of the settings again
    assert weights(ab_test)["champion"] == expected


def test_a_shadow_sees_the_traffic_and_no_caller_sees_the_shadow(ab_test: Laptop) -> None:
    # GIVEN one variant, and as its shadow a model that fails on every call
    (ab_test.project / "changed").touch()
    shadow = (
        "{name: shadow, weight: 50, instance_type: ml.m5.large, instance_count: 1, model: {directory: "
        "model_code/sentiment_faulty, shared_directories: [model_code/shared], framework: scikit-learn, "
        "framework_version: 1.4-2-py312}}"
    )
    ab_test.sandbox(
        "deploy",
        PATTERN,
        "-c",
        "patterns.ab-test.variants.challenger=null",
        "-c",
        f"patterns.ab-test.shadow={shadow}",
    )

    # WHEN requests are sent
    counts = answered_by(ab_test, 100)

    # THEN the production variant answered all, and the shadow's failures are in its metrics
    assert counts == {"champion": 100}
    endpoint = ab_test.outputs(PATTERN)["EndpointName"]

    def failures() -> float:
        found = ab_test.boto("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": "shadow"},
            ],
            StartTime=0,
            EndTime=4102444800,
            Period=86400,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in found)

    def told() -> bool:
        # a copy that the shadow has no room for is dropped, as nobody waits for it
        answered_by(ab_test, 10)
        return failures() >= 100

    assert wait_for("the shadow's metrics", told)


def test_the_demo_shifts_compares_and_drops_the_loser(ab_test: Laptop) -> None:
    # GIVEN the deployed pattern
    (ab_test.project / "changed").touch()

    # WHEN the demo speaks
    said = ab_test.client("demo", PATTERN)

    # THEN it names the test that it used, and one variant is left
    assert "McNemar" in said.stdout
    assert len(weights(ab_test)) == 1
