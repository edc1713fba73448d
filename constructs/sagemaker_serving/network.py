"""The part of a VPC that a model's containers are attached to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import aws_sagemaker as sagemaker

from .errors import Findings, is_token

MAX_SUBNETS = 16
MAX_SECURITY_GROUPS = 5


@dataclass(frozen=True, kw_only=True)
class VpcAttachment:
    """Subnets and security groups for a model's containers (API shape VpcConfig).

    Args:
        subnet_ids: 1 to 16; two or more in different Availability Zones, even for one instance.
        security_group_ids: 1 to 5.

    Raises:
        InvalidConfiguration: Too few or too many, one named twice, or not an id.
    """

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]

    def __post_init__(self) -> None:
        findings = Findings("VpcAttachment")
        _check_ids(findings, "subnet_ids", self.subnet_ids, "subnet-", MAX_SUBNETS, "Subnets")
        _check_ids(
            findings,
            "security_group_ids",
            self.security_group_ids,
            "sg-",
            MAX_SECURITY_GROUPS,
            "VpcSecurityGroupIds",
        )
        findings.raise_if_any()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        if is_token(self.subnet_ids) or len(self.subnet_ids) > 1:
            return ()
        return (
            "The model is attached to one subnet: when its Availability Zone fails, so does the endpoint. "
            "Give subnets in at least two zones, even for one instance.",
        )

    def render(self) -> sagemaker.CfnModel.VpcConfigProperty:
        """The attachment as a model holds it."""
        return sagemaker.CfnModel.VpcConfigProperty(
            subnets=list(self.subnet_ids), security_group_ids=list(self.security_group_ids)
        )


def _check_ids(
    findings: Findings, field: str, ids: Sequence[str], prefix: str, most: int, shape: str
) -> None:
    if is_token(ids):
        return
    findings.require(
        1 <= len(ids) <= most,
        field,
        f"{len(ids)} ids",
        f"must hold 1 to {most} ids (API shape {shape})",
        "add one" if not ids else f"keep at most {most}",
    )
    findings.require(
        len(set(ids)) == len(ids), field, list(ids), "must not hold one id twice", "remove the repeated one"
    )
    for index, value in enumerate(ids):
        findings.require(
            value.startswith(prefix) and len(value) <= 32,
            f"{field}[{index}]",
            value,
            f"must be an id that starts with {prefix!r}, at most 32 characters long",
            f"copy the id from the VPC console, for example {prefix}0a1b2c3d4e5f67890",
        )
