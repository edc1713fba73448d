"""Which variant answers a request, and which one gets a copy: weights, TargetVariant, shadows, updates."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from sandbox.errors import ServiceError
from sandbox.metrics import Dimensions
from sandbox.store import Variant

if TYPE_CHECKING:
    from sandbox.capture import Capture


@dataclass(frozen=True, eq=False)
class Side:
    """The variants of one configuration: what serves (blue), or what an update brings (green).

    Args:
        config_name: The endpoint configuration they come from.
        variants: By name.
        capture: Where their invocations are captured to, or None.
        shadows: The shadow variants, by name; SageMaker allows one, beside one production variant.
    """

    config_name: str
    variants: Mapping[str, Variant]
    capture: Capture | None = None
    shadows: Mapping[str, Variant] = field(default_factory=dict)

    @property
    def all_variants(self) -> dict[str, Variant]:
        """Production and shadow variants, by name."""
        return {**self.variants, **self.shadows}


@dataclass(frozen=True, eq=False)
class Target:
    """A variant of one side, with all that an invocation needs of it, made once and not per request.

    Args:
        variant: The variant.
        capture: See `Side`.
        dimensions: Metric dimensions EndpointName and VariantName.
        config_dimensions: The same and EndpointConfigName, which tells the fleets of an update apart.
        shadows: Who gets a copy of its requests.
    """

    variant: Variant
    capture: Capture | None
    dimensions: Dimensions
    config_dimensions: Dimensions
    shadows: tuple[Shadow, ...] = ()


@dataclass(frozen=True, eq=False)
class Shadow:
    """A shadow variant that gets copies of a production variant's requests.

    Args:
        target: The shadow variant.
        share: Share of the requests that is copied, 0 to 1.
    """

    target: Target
    share: float


class Routes:
    """Where the requests of an endpoint go at this moment; made anew at every change.

    A variant's share is its weight over the sum of the weights of its side, times its side's share
    (API_ProductionVariant, InitialVariantWeight). If all weights of a side are 0, which SageMaker does
    not define, its variants share alike. A shadow variant gets copies of so many of a production variant's
    requests as its weight is of the production variant's, at most all of them.

    Args:
        endpoint_name: EndpointName, for the metric dimensions and messages.
        blue: What serves.
        green: What the running update brings, or None.
        green_shares: Share of each variant's traffic that goes to its green twin, 0 to 1, by name.
    """

    def __init__(
        self,
        endpoint_name: str,
        blue: Side,
        green: Side | None = None,
        green_shares: Mapping[str, float] | None = None,
    ) -> None:
        self.blue = blue
        self.green = green
        self._endpoint_name = endpoint_name
        self._by_name: dict[str, list[tuple[float, Target]]] = {}
        shares = green_shares or {}
        overall = sum(shares.values()) / len(shares) if shares else 0.0
        weighted: list[tuple[float, Target]] = []
        for side, is_green in ((blue, False), (green, True)):
            if side is None:
                continue
            total = sum(variant.weight for variant in side.variants.values())
            for name, variant in side.variants.items():
                green_share = shares.get(name, overall)
                side_share = green_share if is_green else 1.0 - green_share
                if side_share <= 0.0:
                    continue
                weight = variant.weight / total if total > 0 else 1.0 / len(side.variants)
                target = self._target(side, variant)
                weighted.append((weight * side_share, target))
                self._by_name.setdefault(name, []).append((side_share, target))
        self._targets = [target for weight, target in weighted if weight > 0.0]
        self._cumulative = list(accumulate(weight for weight, _ in weighted if weight > 0.0))
        self._only = self._targets[0] if len(self._targets) == 1 else None

    def choose(self, random: Callable[[], float], target_variant: str | None = None) -> Target:
        """The variant for one request.

        Args:
            random: Gives a number in [0, 1).
            target_variant: The request's TargetVariant, which overrides the weights; a variant of
                weight 0 is reached in this way only.

        Raises:
            ServiceError: ValidationError, if the endpoint has no such variant.
        """
        if target_variant is not None:
            return self._choose_named(random, target_variant)
        if self._only is not None:
            return self._only
        if not self._targets:
            raise ServiceError("ServiceUnavailable", f"Endpoint {self._endpoint_name} has no variants.", 503)
        point = random() * self._cumulative[-1]
        # `hi`: the product may round up to the sum itself
        return self._targets[bisect_right(self._cumulative, point, hi=len(self._targets) - 1)]

    def targets(self) -> list[Target]:
        """Every variant that can receive requests now."""
        return [target for pairs in self._by_name.values() for _, target in pairs]

    def with_weight(self) -> list[Target]:
        """Every variant that receives requests by its weight now."""
        return list(self._targets)

    def _choose_named(self, random: Callable[[], float], name: str) -> Target:
        pairs = self._by_name.get(name)
        if pairs is None:
            names = ", ".join(sorted(self._by_name))
            raise ServiceError(
                "ValidationError",
                f"Target variant {name} not found for endpoint {self._endpoint_name}. "
                f"Its variants are: {names}.",
            )
        if len(pairs) == 1:
            return pairs[0][1]
        point = random() * sum(share for share, _ in pairs)
        return pairs[0][1] if point < pairs[0][0] else pairs[1][1]

    def _target(self, side: Side, variant: Variant) -> Target:
        shadows = tuple(
            Shadow(self._bare_target(side, shadow), share)
            for shadow in side.shadows.values()
            if (share := _shadow_share(shadow.weight, variant.weight)) > 0.0
        )
        return replace(self._bare_target(side, variant), shadows=shadows)

    def _bare_target(self, side: Side, variant: Variant) -> Target:
        dimensions: Dimensions = (("EndpointName", self._endpoint_name), ("VariantName", variant.name))
        return Target(
            variant, side.capture, dimensions, (*dimensions, ("EndpointConfigName", side.config_name))
        )


def _shadow_share(shadow_weight: float, production_weight: float) -> float:
    """Share of requests to copy; a production variant of weight 0 is reached by name only: all are copied."""
    if shadow_weight >= production_weight:
        return 1.0 if shadow_weight > 0.0 else 0.0
    return shadow_weight / production_weight
