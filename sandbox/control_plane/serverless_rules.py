"""Rules of updates that serverless variants take part in (sagemaker-rules 4.3)."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.control_plane.config_rules import is_serverless
from sandbox.store import Endpoint, Params, Record


def becomes_serverless(endpoint: Endpoint, config: Record) -> Iterator[str]:
    """Instances cannot become serverless; the other way is allowed (developer guide, serverless endpoints,
    "Feature exclusions").
    """
    with_instances = [
        name for name, variant in endpoint.variants.items() if variant.desired_serverless is None
    ]
    if with_instances and is_serverless(config.request):
        yield (
            "an instance-based endpoint cannot be updated to serverless: its production variant(s) "
            f"{', '.join(with_instances)} have instances. Create another endpoint"
        )


def serverless_update(endpoint: Endpoint, item: Params) -> Iterator[str]:
    """What is wrong with one of DesiredWeightsAndCapacities, as to the kind of its variant.

    Args:
        endpoint: The endpoint, which has the variant.
        item: The DesiredWeightAndCapacity.
    """
    name, update = item["VariantName"], item.get("ServerlessUpdateConfig")
    size = endpoint.all_variants[name].desired_serverless
    if size is None:
        if update is not None:
            yield f'ServerlessUpdateConfig is for serverless variants; "{name}" has instances'
        return
    if "DesiredInstanceCount" in item:
        yield f'DesiredInstanceCount is for variants with instances; "{name}" is serverless'
    wanted = size.updated(update or {})
    if wanted.provisioned > wanted.max_concurrency:
        yield (
            f"ProvisionedConcurrency {wanted.provisioned} is greater than MaxConcurrency "
            f"{wanted.max_concurrency}"
        )
