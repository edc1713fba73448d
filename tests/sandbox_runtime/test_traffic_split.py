"""Weights: shares within three standard errors, TargetVariant, and the split of an update."""

from __future__ import annotations

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
from tests.sandbox_runtime.fakes import Plane, says, variant

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


def test_weights_of_a_real_endpoint(make_plane: Any) -> None:
    # GIVEN two variants, 1 to 3
    plane: Plane = make_plane(chance=random.Random(3).random)
    plane.model("a", answerer=says("a"))
    plane.model("b", answerer=says("b"))
    plane.create(plane.config("c", variant("A", "a", weight=1), variant("B", "b", weight=3)))
    # WHEN 400 requests come
    answers = [plane.invoke() for _ in range(400)]
    # THEN the split is as asked, and each tells who answered
    bodies = [answer["Body"].read().decode() for answer in answers]
    assert [answer["InvokedProductionVariant"].lower() for answer in answers] == bodies
    assert abs(bodies.count("a") / 400 - 0.25) <= 3 * math.sqrt(0.25 * 0.75 / 400)
    assert plane.invoke(TargetVariant="A")["Body"].read() == b"a"
