"""Whether what an endpoint is made of fits together."""

from __future__ import annotations

import jsii

from constructs import IValidation

from .deployment import DeploymentPolicy
from .endpoint_kinds import check_asynchronous, check_serverless
from .endpoint_parts import EndpointParts
from .errors import Findings
from .rollback import RollbackAlarm
from .variants import InstanceFleet


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
        if self._parts.async_inference is not None:
            check_asynchronous(findings, self._parts)
        check_serverless(findings, self._parts)
        self._check_architectures(findings)
        if self._parts.deployment is not None:
            self._parts.deployment.check_against(findings, self._parts.variants)
        self._check_rollback(findings)
        self._check_scaling(findings)
        return [str(finding) for finding in findings.found]

    def _check_architectures(self, findings: Findings) -> None:
        for item in self._parts.served:
            if not isinstance(item.variant, InstanceFleet):
                continue
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
            made.scaling.check_against(
                findings,
                fleets[made.variant_name],
                asynchronous=self._parts.async_inference is not None,
            )


def _bake_seconds(deployment: DeploymentPolicy | None) -> int | None:
    """How long alarms can turn an update back; None when there is no bake or it is not known yet."""
    if deployment is None or deployment.wait.is_unresolved():
        return None
    return int(deployment.wait.to_seconds())
