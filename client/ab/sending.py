"""Who answers: counted traffic beside what the weights promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from client.ab.weights import shares, tolerance
from client.status import EndpointStatus


@dataclass(frozen=True)
class Share:
    """A variant's part of some requests.

    Args:
        variant: Its name.
        answered: Requests that it answered.
        share: Its part of all that were answered, 0 to 1.
        promised: What its weight, or TargetVariant, promises, 0 to 1.
        tolerance: How far the share may be from that by chance.
    """

    variant: str
    answered: int
    share: float
    promised: float
    tolerance: float

    @property
    def as_promised(self) -> bool:
        """Whether chance alone may have made the share."""
        # a share of 0 or 1 leaves no room for chance, only for rounding
        return abs(self.share - self.promised) <= self.tolerance + 1e-12

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "variant": self.variant,
            "answered": self.answered,
            "share": self.share,
            "promised": self.promised,
            "as_promised": self.as_promised,
        }


def count_shares(
    endpoint: EndpointStatus, answered: Mapping[str, int], target_variant: str | None = None
) -> list[Share]:
    """Compare who answered with what was promised.

    Args:
        endpoint: The endpoint, with its weights.
        answered: Answers by variant.
        target_variant: The variant that the requests named, past the weights.
    """
    promised = shares(endpoint)
    if target_variant is not None:
        promised = {name: float(name == target_variant) for name in promised}
    total = sum(answered.values())
    # a variant that the endpoint does not have any more may have answered
    names = list(dict.fromkeys([*promised, *answered]))
    return [
        Share(
            name,
            answered.get(name, 0),
            answered.get(name, 0) / total if total else 0.0,
            promised.get(name, 0.0),
            tolerance(promised.get(name, 0.0), total),
        )
        for name in names
    ]
