"""Findings of the compliance packs that are accepted on purpose, each with its reason beside the resource."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from constructs import IConstruct


class Pack(StrEnum):
    """The rule packs that this project runs, by the name that cdk-nag puts before its rules."""

    AWS_SOLUTIONS = "AwsSolutions"
    NIST = "NIST.800.53.R5"
    HIPAA = "HIPAA.Security"
    PCI = "PCI.DSS.321"


def acknowledge(construct: IConstruct, findings: Mapping[str, str], *packs: Pack) -> None:
    """Accept findings on a construct and all below it.

    Args:
        construct: What the packs complain about.
        findings: Rule without a pack's name (``S3BucketReplicationEnabled``) to the reason why it is
            accepted.
        packs: Those that have the rule. Default: NIST 800-53 R5, HIPAA and PCI DSS, which name their rules
            alike.
    """
    cdk.Validations.of(construct).acknowledge(
        *(
            cdk.Acknowledgment(id=f"{pack}::{pack}-{rule}", reason=reason)
            for pack in packs or (Pack.NIST, Pack.HIPAA, Pack.PCI)
            for rule, reason in findings.items()
        )
    )


def acknowledge_wildcards(construct: IConstruct, resources: Mapping[str, str]) -> None:
    """Accept that a policy's statements end in a wildcard.

    Args:
        construct: The policy.
        resources: Resource as it stands in the statement to the reason why nothing narrower is possible.
    """
    stack = cdk.Stack.of(construct)
    acknowledge(
        construct,
        {f"IAM5[Resource::{_plain(stack.resolve(name))}]": reason for name, reason in resources.items()},
        Pack.AWS_SOLUTIONS,
    )


def acknowledge_used_wildcards(policy: iam.Policy, resources: Mapping[str, str]) -> None:
    """The same for those resources that the policy's statements do name.

    Args:
        policy: The policy.
        resources: See `acknowledge_wildcards`; what the policy does not name is left out.
    """
    stack = cdk.Stack.of(policy)
    document = stack.resolve(policy.document)
    used = [_plain(name) for item in document["Statement"] for name in _as_list(item["Resource"])]
    named = {name: why for name, why in resources.items() if _plain(stack.resolve(name)) in used}
    acknowledge_wildcards(policy, named)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(value: Any) -> str:
    """A resolved text as cdk-nag writes it: references in angle brackets."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    match function:
        case "Ref":
            return f"<{argument}>"
        case "Fn::GetAtt":
            return f"<{'.'.join(argument)}>"
        case "Fn::Join":
            return str(argument[0]).join(_plain(part) for part in argument[1])
    raise ValueError(f"no text for {function}")
