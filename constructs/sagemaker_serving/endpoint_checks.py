"""What an endpoint is made of, and whether it fits together."""

from __future__ import annotations

from dataclasses import dataclass, field

import jsii
from aws_cdk import aws_cloudwatch as cloudwatch

from constructs import IValidation

from .deployment import DeploymentPolicy
from .errors import Findings
from .model import ServingModel
from .rollback import RollbackAlarm
from .scaling import VariantScaling
from .variants import InstanceVariant, ShadowVariant


@dataclass(frozen=True, kw_only=True)
class ServedVariant:
    """A variant together with the model that it serves.

    Args:
        model: The model.
        variant: How much of the traffic it gets, and on what machines.
    """

    model: ServingModel
    variant: InstanceVariant


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
        scalings: Those of variants that scale.
    """

    endpoint_name: str
    production: list[ServedVariant]
    shadow: ServedShadow | None
    deployment: DeploymentPolicy | None
    rollback_alarms: list[RollbackAlarm | cloudwatch.IAlarm]
    scalings: list[VariantScaling] = field(default_factory=list)

    @property
    def variants(self) -> list[InstanceVariant]:
        """The production variants."""
        return [item.variant for item in self.production]

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


@jsii.implements(IValidation)
class FitsTogether:
    """What can only be told when everything is there; all findings come in one error at synth.

    Args:
        path: The endpoint's construct path.
        parts: What it is made of.
    """

    def __init__(self, path: str, parts: EndpointParts) -> None:
        self._path = path
        self._parts = parts

    def validate(self) -> list[str]:
        """All that does not fit (see `constructs.IValidation`)."""
        findings = Findings(self._path)
        self._check_architectures(findings)
        if self._parts.deployment is not None:
            self._parts.deployment.check_against(findings, self._parts.variants)
        self._check_rollback(findings)
        self._check_scaling(findings)
        return [str(finding) for finding in findings.found]

    def _check_architectures(self, findings: Findings) -> None:
        for item in self._parts.served:
            architecture = item.variant.instance.architecture
            findings.require(
                architecture in {None, item.model.architecture},
                f"variant {item.variant.name!r}.instance_type",
                item.variant.instance.name,
                f"is {architecture}, and the model's images are for {item.model.architecture}",
                f"choose an instance type that is {item.model.architecture}, "
                f"or make the model with the architecture {architecture}",
            )

    def _check_rollback(self, findings: Findings) -> None:
        parts = self._parts
        names = [variant.name for variant in parts.variants]
        bake = _bake_seconds(parts.deployment)
        for index, item in enumerate(parts.rollback_alarms):
            where = f"rollback_alarms[{index}]"
            if not isinstance(item, RollbackAlarm):
                continue  # an alarm of the app's own: what it watches is not ours to know
            findings.require(
                item.endpoint_name == parts.endpoint_name,
                f"{where}.endpoint_name",
                item.endpoint_name,
                f"the alarm does not watch {parts.endpoint_name}, so it never sees this deployment",
                "give the alarms of this endpoint's EndpointMonitoring",
            )
            findings.require(
                item.variant_name in names,
                f"{where}.variant_name",
                item.variant_name,
                f"SageMaker publishes metrics for the variants {', '.join(sorted(names))} only, "
                "so the alarm never sees data",
                "give the alarms of this endpoint's EndpointMonitoring",
            )
            window = item.window.seconds
            findings.require(
                bake is None or window <= bake,
                f"{where}.window",
                f"{window} s",
                f"the alarm needs this long to be raised, and the deployment bakes for {bake} s",
                f"let the deployment wait {window} s or longer, or shorten the alarm's window",
            )
        findings.require(
            parts.deployment is not None or not parts.rollback_alarms,
            "rollback_alarms",
            f"{len(parts.rollback_alarms)} alarms",
            "without a deployment policy nothing bakes, so they take nothing back",
            "give a deployment, for example AllAtOnce with a wait, or no rollback alarms",
        )

    def _check_scaling(self, findings: Findings) -> None:
        fleets = {item.variant.name: item.variant for item in self._parts.served}
        for made in self._parts.scalings:
            made.scaling.check_against(findings, fleets[made.variant_name])


def _bake_seconds(deployment: DeploymentPolicy | None) -> int | None:
    """How long alarms can turn an update back; None when there is no bake or it is not known yet."""
    if deployment is None or deployment.wait.is_unresolved():
        return None
    return int(deployment.wait.to_seconds())
