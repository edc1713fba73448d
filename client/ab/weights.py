"""Traffic weights of an endpoint's variants: read, shift, and what shares they promise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from botocore.exceptions import ClientError

from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern
from client.status import EndpointStatus
from client.waiting import wait_until_settled

# chance alone leaves this many standard errors once in 16,000 times
STANDARD_ERRORS = 4


def parse_weights(words: Sequence[str], variants: Sequence[str]) -> dict[str, float]:
    """Weights as people type them: ``champion=80 challenger=20``.

    Args:
        words: At least one.
        variants: The endpoint's production variants.

    Raises:
        UserError: Words that are no weights, unknown or repeated variants; all findings at once.
    """
    findings: list[str] = []
    weights: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not equals or not name:
            findings.append(f"{word!r}: write it as VARIANT=WEIGHT")
        elif name not in variants:
            near = get_close_matches(name, variants, n=1)
            findings.append(
                f"there is no variant {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        elif name in weights:
            findings.append(f"{name} is given twice")
        elif not math.isfinite(weight) or weight < 0:
            findings.append(f"{word!r}: a weight is a number of 0 or more")
        else:
            weights[name] = weight
    if findings:
        raise UserError(
            "These weights cannot be set: " + "; ".join(findings),
            f"The variants: {', '.join(variants)}. For example: {variants[0]}=80",
        )
    return weights


def shift(connection: Connection, deployed: DeployedPattern, weights: Mapping[str, float]) -> EndpointStatus:
    """Set weights of the serving endpoint, and wait until they hold. No instance starts or stops.

    Args:
        connection: Where.
        deployed: Whose endpoint.
        weights: By variant; variants that are not named keep theirs.

    Raises:
        UserError: No variant would get traffic, another update is under way, or the weights did not come
            about.
    """
    endpoint = wait_until_settled(connection, deployed)
    after = {one.name: weights.get(one.name, one.weight or 0.0) for one in endpoint.production_variants}
    if not sum(after.values()):
        raise UserError(
            "All weights would be 0: no variant would get traffic", "Give one of them a weight above 0."
        )
    try:
        connection.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=endpoint.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
            ],
        )
    except ClientError as error:
        if "in-progress" not in error.response["Error"].get("Message", ""):
            raise
        raise UserError(
            f"Endpoint {endpoint.name} is being updated by somebody else",
            "Wait until that is over; try again.",
        ) from error
    endpoint = wait_until_settled(connection, deployed)
    now = {one.name: one.weight or 0.0 for one in endpoint.production_variants}
    # weights are single-precision numbers
    reached = all(math.isclose(now.get(name, -1), weight, rel_tol=1e-6) for name, weight in weights.items())
    if endpoint.status != "InService" or not reached:
        reason = f": {endpoint.failure_reason}" if endpoint.failure_reason else ""
        raise UserError(
            f"The weights did not come about; endpoint {endpoint.name} is {endpoint.status}{reason}",
            f"They are {', '.join(f'{name}={weight:g}' for name, weight in now.items())}.",
        )
    return endpoint


def shares(endpoint: EndpointStatus) -> dict[str, float]:
    """What share of the traffic the weights give each variant, 0 to 1."""
    weights = {one.name: one.weight or 0.0 for one in endpoint.production_variants}
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def tolerance(share: float, requests: int) -> float:
    """How far a counted share may be from the promised one by chance: four standard errors."""
    return STANDARD_ERRORS * math.sqrt(share * (1 - share) / requests) if requests else 1.0
