"""How much a variant is to have of weight, instances and concurrency: before a change, and kept over one."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.deployments.fleets import Kept
from sandbox.serverless import ServerlessSize
from sandbox.store import Endpoint, Variant


@dataclass(frozen=True)
class Capacity:
    """What UpdateEndpointWeightsAndCapacities changes of a variant.

    Args:
        weight: Its weight.
        count: DesiredInstanceCount; of a serverless variant the provisioned concurrency.
        serverless: The size of a serverless variant.
    """

    weight: float
    count: int
    serverless: ServerlessSize | None

    @staticmethod
    def of(variant: Variant) -> Capacity:
        """What a variant is to have now, with the weight that it has."""
        return Capacity(variant.weight, variant.desired_instance_count, variant.desired_serverless)

    @property
    def amount(self) -> tuple[int, ServerlessSize | None]:
        """All but the weight."""
        return self.count, self.serverless

    def change_from(self, before: Capacity) -> str:
        """The StatusMessage of a change to this one."""
        if self.serverless is not None:
            return f"Changing the serverless configuration to {self.serverless.config}."
        return (
            f"Scaling {'out' if self.count > before.count else 'in'} desired instance count to {self.count}."
        )


def kept_of(endpoint: Endpoint, exclude: frozenset[str]) -> dict[str, Kept]:
    """What RetainAllVariantProperties keeps of an endpoint's variants, by name.

    A number of instances means nothing to a serverless variant, nor its concurrency to one with instances.

    Args:
        endpoint: The endpoint.
        exclude: ExcludeRetainedVariantProperties.
    """
    kept: dict[str, Kept] = {}
    for name, variant in endpoint.all_variants.items():
        weight = None if "DesiredWeight" in exclude else variant.desired_weight
        count = None if "DesiredInstanceCount" in exclude else variant.desired_instance_count
        is_serverless = variant.desired_serverless is not None
        kept[name] = Kept(weight, provisioned=count) if is_serverless else Kept(weight, count)
    return kept
