"""Findings of the compliance packs that are accepted on purpose, each with its reason beside the resource."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import aws_cdk as cdk

from constructs import IConstruct


class Pack(StrEnum):
    """The rule packs that this project runs, by the name that cdk-nag puts before its rules."""

    AWS_SOLUTIONS = "AwsSolutions"
    NIST = "NIST.800.53.R5"
    HIPAA = "HIPAA.Security"
    PCI = "PCI.DSS.321"


_ALL_BUT_AWS_SOLUTIONS = (Pack.NIST, Pack.HIPAA, Pack.PCI)


def acknowledge(construct: IConstruct, pack: Pack, findings: Mapping[str, str]) -> None:
    """Accept findings of one pack on a construct and all below it.

    Args:
        construct: What the pack complains about.
        pack: The pack.
        findings: Rule without the pack's name (``S1``, ``IAM5[Resource::*]``) to the reason why it is
        accepted.
    """
    cdk.Validations.of(construct).acknowledge(
        *(cdk.Acknowledgment(id=f"{pack}::{pack}-{rule}", reason=reason) for rule, reason in findings.items())
    )


def acknowledge_regulated(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Accept findings that NIST 800-53 R5, HIPAA and PCI DSS name alike.

    Args:
        construct: What the packs complain about.
        findings: Rule without the pack's name (``S3BucketReplicationEnabled``) to the reason.
    """
    for pack in _ALL_BUT_AWS_SOLUTIONS:
        acknowledge(construct, pack, findings)
