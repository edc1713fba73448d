"""A/B tests: variants that leave, come back and keep what was shifted, under traffic."""

from __future__ import annotations

from collections import Counter

import pytest

from sandbox.store import Endpoint, Params
from tests.sandbox_runtime.fakes import SCOPE, Load, Plane, says, variant

BOTH, ONE, LATER = "both", "one", "later"


@pytest.fixture
def endpoint(plane: Plane) -> Endpoint:
    """Champion and challenger, 50:50; more configurations: without the challenger, both in later versions."""
    for name in ("champion", "challenger"):
        plane.model(name, answerer=says(name))
        plane.model(f"{name}-2", answerer=says(f"{name}-2"))
    plane.config(ONE, variant("champion", "champion", weight=50.0))
    plane.config(
        LATER,
        variant("champion", "champion-2", weight=50.0),
        variant("challenger", "challenger-2", weight=50.0),
    )
    return plane.create(
        plane.config(
            BOTH,
            variant("champion", "champion", weight=50.0),
            variant("challenger", "challenger", weight=50.0),
        )
    )


def update(plane: Plane, endpoint: Endpoint, config: str, **how: object) -> None:
    plane.update(endpoint, plane.stores.of(SCOPE).endpoint_configs[config], None, **how)  # type: ignore[arg-type]


def shift(plane: Plane, endpoint: Endpoint, **weights: float) -> None:
    desired: list[Params] = [
        {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
    ]
    plane.call(lambda: plane.deployments.update_weights_and_capacities(endpoint, desired))
    plane.settle(endpoint)


def weights(endpoint: Endpoint) -> dict[str, float]:
    return {name: each.weight for name, each in endpoint.variants.items()}


def test_dropping_the_loser_fails_no_request(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN both variants under load WHEN the loser is dropped
    with Load(plane) as load:
        plane.until(lambda: {b"champion", b"challenger"} <= set(load.answers))
        update(plane, endpoint, ONE)
        answered = len(load.answers)
        plane.until(lambda: len(load.answers) > answered + 50)
    # THEN not one request failed, and all go to the one that is left
    assert load.errors == []
    assert set(load.answers[-30:]) == {b"champion"}
    assert list(endpoint.variants) == ["champion"]
    assert [fleet.stopped for fleet in plane.fleets.made] == [True, True, False]
    # AND its name is not known any more
    with pytest.raises(plane.client.exceptions.ValidationError, match="Target variant challenger not found"):
        plane.invoke(TargetVariant="challenger")


def test_shifting_weights_under_load_fails_no_request(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN both variants under load WHEN the traffic is shifted to 80:20 and then to 100:0
    with Load(plane) as load:
        for champion, challenger in ((80.0, 20.0), (100.0, 0.0)):
            answered = len(load.answers)
            plane.until(lambda answered=answered: len(load.answers) > answered + 50)
            shift(plane, endpoint, champion=champion, challenger=challenger)
    assert load.errors == []
    # THEN the challenger gets what is meant for it only
    assert Counter(plane.invoke()["Body"].read() for _ in range(50)) == {b"champion": 50}
    assert plane.invoke(TargetVariant="challenger")["Body"].read() == b"challenger"


def test_a_later_deploy_keeps_shifted_weights_unless_told_otherwise(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN weights that were shifted since the configuration was written
    shift(plane, endpoint, champion=80.0, challenger=20.0)
    # WHEN later versions are deployed, retaining THEN the weights stay, by name
    update(plane, endpoint, LATER, retain_all=True)
    assert weights(endpoint) == {"champion": 80.0, "challenger": 20.0}
    assert plane.invoke(TargetVariant="challenger")["Body"].read() == b"challenger-2"
    # and excluded, or without retention, they are the configuration's again
    for how in ({"retain_all": True, "exclude": frozenset({"DesiredWeight"})}, {"retain_all": False}):
        shift(plane, endpoint, champion=80.0, challenger=20.0)
        update(plane, endpoint, BOTH, **how)
        assert weights(endpoint) == {"champion": 50.0, "challenger": 50.0}


def test_a_variant_that_comes_back_starts_as_configured(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN a challenger that was shifted to a fifth, and then dropped
    shift(plane, endpoint, champion=80.0, challenger=20.0)
    update(plane, endpoint, ONE, retain_all=True)
    assert weights(endpoint) == {"champion": 80.0}
    # WHEN it comes back THEN it has its configured weight, and the champion what it had
    update(plane, endpoint, LATER, retain_all=True)
    assert weights(endpoint) == {"champion": 80.0, "challenger": 50.0}


def test_a_rolled_back_update_leaves_shifted_weights(plane: Plane, endpoint: Endpoint) -> None:
    # GIVEN shifted weights, and a configuration that does not start
    shift(plane, endpoint, champion=80.0, challenger=20.0)
    plane.model("broken", fails="It does not load.")
    plane.config("bad", variant("champion", "broken", weight=1.0))
    # WHEN it is deployed
    update(plane, endpoint, "bad")
    # THEN both variants serve as they did
    assert (endpoint.config_name, endpoint.failure_reason) == (BOTH, "It does not load.")
    assert weights(endpoint) == {"champion": 80.0, "challenger": 20.0}
