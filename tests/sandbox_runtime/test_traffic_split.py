"""Weights: shares within three standard errors, TargetVariant, and the split of an update."""

from __future__ import annotations

import http.client
import math
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ServiceError
from sandbox.store import Variant
from sandbox.traffic import Routes, Side
from tests.sandbox_runtime.fakes import SCOPE, Plane, says, variant

SAMPLES = 20_000


def side(name: str, **weights: float) -> Side:
    fleet: Any = SimpleNamespace()
    return Side(name, {key: Variant(key, weight, weight, 1, fleet, {}) for key, weight in weights.items()})


def counted(routes: Routes, target_variant: str | None = None) -> Counter[tuple[str, str]]:
    chance = random.Random(7).random
    chosen = (routes.choose(chance, target_variant) for _ in range(SAMPLES))
    return Counter(
        (dict(target.config_dimensions)["EndpointConfigName"], target.variant.name) for target in chosen
    )


def assert_share(count: int, share: float) -> None:
    error = math.sqrt(share * (1 - share) / SAMPLES)
    assert abs(count / SAMPLES - share) <= 3 * error


def test_share_is_weight_over_sum() -> None:
    counts = counted(Routes("ep", side("c", A=0.9, B=2.1, C=0.0)))
    assert_share(counts["c", "A"], 0.3)
    assert_share(counts["c", "B"], 0.7)
    assert counts["c", "C"] == 0


def test_target_variant_reaches_weight_zero() -> None:
    assert counted(Routes("ep", side("c", A=1.0, B=0.0)), "B") == {("c", "B"): SAMPLES}


def test_all_weights_zero_share_alike() -> None:
    assert_share(counted(Routes("ep", side("c", A=0.0, B=0.0)))["c", "A"], 0.5)


def test_unknown_target_variant() -> None:
    with pytest.raises(
        ServiceError, match=r"Target variant X not found for endpoint ep. Its variants are: A, B\."
    ):
        Routes("ep", side("c", A=1.0, B=1.0)).choose(random.random, "X")


@pytest.mark.parametrize("target", [None, "A"])
def test_green_takes_its_share(target: str | None) -> None:
    routes = Routes("ep", side("old", A=1.0), side("new", A=1.0), {"A": 0.2})
    counts = counted(routes, target)
    assert_share(counts["new", "A"], 0.2)
    assert_share(counts["old", "A"], 0.8)


def test_a_shadow_gets_a_share_of_copies_by_its_weight() -> None:
    weights = {0.0: 0.0, 0.5: 0.25, 2.0: 1.0, 5.0: 1.0}
    for weight, share in weights.items():
        production, shadow = side("c", A=2.0), side("c", S=weight)
        routes = Routes("ep", Side("c", production.variants, None, shadow.variants))
        target = routes.choose(random.random)
        assert target.variant.name == "A"
        assert [each.share for each in target.shadows] == ([share] if share else [])
        # a shadow is never chosen, by weight or by name
        assert counted(routes) == {("c", "A"): SAMPLES}
        with pytest.raises(ServiceError, match="S not found"):
            routes.choose(random.random, "S")


def test_copies_go_to_the_shadow_of_the_side_that_answers() -> None:
    blue = Side("old", side("old", A=1.0).variants, None, side("old", S=1.0).variants)
    green = Side("new", side("new", A=1.0).variants, None, side("new", S=1.0).variants)
    routes = Routes("ep", blue, green, {"A": 0.2})
    for chance, name in ((0.1, "old"), (0.9, "new")):
        (shadow,) = routes.choose(lambda: chance).shadows  # noqa: B023  (called at once)
        assert dict(shadow.target.config_dimensions)["EndpointConfigName"] == name


def test_green_without_share_is_never_chosen() -> None:
    routes = Routes("ep", side("old", A=1.0), side("new", A=1.0, B=1.0), {"A": 0.0, "B": 0.0})
    assert counted(routes) == {("old", "A"): SAMPLES}
    with pytest.raises(ServiceError, match="B not found"):
        routes.choose(random.random, "B")


@given(
    weights=st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=10),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_chance_finds_a_variant_with_weight(weights: list[float], chance: float) -> None:
    routes = Routes("ep", side("c", **{f"V{at}": weight for at, weight in enumerate(weights)}))
    chosen = routes.choose(lambda: chance).variant
    assert chosen.weight > 0 or sum(weights) == 0


@pytest.mark.parametrize("weights", [(50, 50), (80, 20), (1, 3)])
def test_weights_of_a_real_endpoint(make_plane: Any, weights: tuple[int, int]) -> None:
    # GIVEN two variants, each with a model that tells its name
    plane: Plane = make_plane(chance=random.Random(3).random)
    plane.model("a", answerer=says("A"))
    plane.model("b", answerer=says("B"))
    a, b = weights
    plane.create(plane.config("c", variant("A", "a", weight=a), variant("B", "b", weight=b)))
    with Caller(plane) as caller:
        # WHEN 2,000 requests come to the listener
        answers = [caller.invoke() for _ in range(2000)]
        named = [caller.invoke(TargetVariant="B") for _ in range(20)]
    # THEN the shares are within three standard errors of the weights, and each tells who answered
    share, count = a / (a + b), [body for _, body in answers].count("A")
    assert abs(count / 2000 - share) <= 3 * math.sqrt(share * (1 - share) / 2000)
    assert all(header == body for header, body in answers)
    # AND TargetVariant overrides the weights
    assert named == [("B", "B")] * 20
    # AND CloudWatch gets the same counts
    dimensions = {"EndpointName": "ep", "VariantName": "A"}
    assert len(plane.metrics.values("Invocations", **dimensions)) == count


class Caller:
    """Invokes ``ep`` on one kept connection, quicker than an SDK that signs each request."""

    def __init__(self, plane: Plane) -> None:
        self._connection = http.client.HTTPConnection(plane.url.removeprefix("http://"), timeout=20)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def invoke(self, **targets: str) -> tuple[str | None, str]:
        """InvokedProductionVariant and the body."""
        names = {"TargetVariant": "x-amzn-sagemaker-target-variant"}
        credential = f"Credential=test/20260101/{SCOPE.region}/sagemaker/aws4_request"
        headers = {"authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}
        headers |= {names[name]: value for name, value in targets.items()}
        self._connection.request("POST", "/endpoints/ep/invocations", b"x", headers)
        answer = self._connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, body
        return answer.getheader("x-amzn-invoked-production-variant"), body
