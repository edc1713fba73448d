"""What an endpoint is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from aws_cdk import aws_cloudwatch as cloudwatch

from .async_inference import AsyncInference
from .data_capture import DataCapture
from .deployment import DeploymentPolicy
from .errors import Findings
from .model import ServingModel
from .rollback import RollbackAlarm
from .scaling import VariantScaling
from .variants import InstanceFleet, ProductionVariant, ShadowVariant


@dataclass(frozen=True, kw_only=True)
class ServedVariant:
    """A variant together with the model that it serves.

    Args:
        model: The model.
        variant: How much of the traffic it gets, and on what machines, or that it is serverless.
    """

    model: ServingModel
    variant: ProductionVariant


@dataclass(frozen=True, kw_only=True)
class ServedShadow:
    """A shadow variant together with the model that it tries.

    Args:
        model: The model; one container.
        variant: How much of the traffic is copied to it, and on what machines.
    """

    model: ServingModel
    variant: ShadowVariant


@dataclass(frozen=True, kw_only=True)
class EndpointParts:
    """What an endpoint was given, and what was added since.

    Args:
        endpoint_name: See `ServingEndpoint`, as for all others.
        production: The variants.
        shadow: The shadow variant.
        deployment: The policy.
        rollback_alarms: As given.
        data_capture: As given.
        async_inference: As given.
        scalings: Those of variants that scale.
    """

    endpoint_name: str
    production: list[ServedVariant]
    shadow: ServedShadow | None
    deployment: DeploymentPolicy | None
    rollback_alarms: list[RollbackAlarm | cloudwatch.IAlarm]
    data_capture: DataCapture | None
    async_inference: AsyncInference | None
    scalings: list[VariantScaling] = field(default_factory=list)

    @property
    def variants(self) -> list[ProductionVariant]:
        """The production variants."""
        return [item.variant for item in self.production]

    @property
    def fleets(self) -> list[InstanceFleet]:
        """The variants that run on instances, the shadow variant last."""
        return [item.variant for item in self.served if isinstance(item.variant, InstanceFleet)]

    @property
    def served(self) -> list[ServedVariant | ServedShadow]:
        """All variants, the shadow variant last."""
        return [*self.production, *([self.shadow] if self.shadow else [])]

    def check_shadow_models(self, findings: Findings) -> None:
        """Note a finding for every model that a shadow variant cannot be used with.

        Args:
            findings: Where to note them.
        """
        for item in self.served:
            findings.require(
                item.model.container_count == 1,
                f"variant {item.variant.name!r}.model",
                f"{item.model.container_count} containers",
                "an endpoint with a shadow variant serves models of one container (developer guide, "
                "shadow tests exclusions)",
                "remove the shadow variant, or serve models with one container",
            )
