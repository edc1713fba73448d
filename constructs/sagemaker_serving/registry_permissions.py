"""Statements about the versions of a model package group."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

NO_RESOURCE = (
    "The List* calls of SageMaker and the metric calls of CloudWatch know no resource to narrow them to "
    "(Service Authorization Reference)."
)
"""Why a statement about lists names all resources."""


def sagemaker_arn(resource: str) -> str:
    """ARN of a SageMaker resource of this account and Region.

    Args:
        resource: Kind and name, for example ``endpoint/reviews``; SageMaker writes them in lower case.
    """
    return f"arn:{cdk.Aws.PARTITION}:sagemaker:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource.lower()}"


def versions_arn(group_name: str) -> str:
    """All versions of a group, with a wildcard.

    Args:
        group_name: The group's name as a plain text.
    """
    return sagemaker_arn(f"model-package/{group_name}/*")


def list_versions() -> iam.PolicyStatement:
    """Versions may be listed."""
    return iam.PolicyStatement(sid="ListVersions", actions=["sagemaker:ListModelPackages"], resources=["*"])
