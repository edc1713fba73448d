"""An ML pipeline with its group of model versions, and one role for each duty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .acknowledgements import acknowledge_wildcards
from .errors import Findings
from .images import PULL_ACTIONS, BoundImage, ContainerImage
from .instances import Architecture
from .job_code import CODE, JobCode
from .model import acknowledge_inline
from .naming import MAX_NAME_LENGTH
from .pipeline_definition import PipelineDefinition
from .registry_permissions import sagemaker_arn, versions_arn

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

    from .registry_endpoint import RegistryEndpoint

__all__ = ["MlPipeline"]

RAW, RESULTS, MODELS = "raw", "results", "models"
"""Folders of the bucket: reviews, what processing jobs write, and what training jobs write."""

MAX_PIPELINE_NAME = 256
"""Characters of a pipeline's name (API shape PipelineName)."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_JOBS = "SageMaker names a step's jobs, all of them beginning with pipelines-."


class MlPipeline(Construct):
    """A pipeline from a template, the model package group that it registers to, and its roles.

    The pipeline's role may pass the two roles of the jobs and no other; a job's role reads and writes its own
    folders of the bucket.

    Args:
        name: Name of the pipeline, 1 to 256 characters; it is replaced when this changes.
        template: The definition's template with the placeholders ``BUCKET``, ``CODE_VERSION``, ``IMAGE``,
            ``MODEL_PACKAGE_GROUP``, ``TRAINING_ROLE_ARN``, ``PROCESSING_ROLE_ARN``, ``DEPLOY_FUNCTION_ARN``
            and ``REGION``; see `PipelineDefinition.from_template`.
        bucket: Holds the data, the code and the results.
        key: Encrypts the bucket.
        image: What the jobs run in.
        code_version: Names the job scripts: those below ``code/<code_version>/`` and the archive
            ``code/<code_version>.tar.gz`` of the bucket.
        deploy_function: Deploys a registered version; called by the pipeline.
        model_package_group_name: Group of the registered versions, 1 to 63 characters.
        removal_policy: What becomes of the group when the stack is removed. A group that has versions
            cannot be removed.

    Attributes:
        name: As given.
        group_name: As given.
        pipeline: The underlying resource.
        group: The model package group.

    Raises:
        InvalidConfiguration: A name is not legal, or anything is wrong with the definition.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        template: Path,
        bucket: s3.IBucket,
        key: kms.IKey,
        image: ContainerImage,
        code_version: str,
        deploy_function: lambda_.IFunction,
        model_package_group_name: str,
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id_)
        _check_names(self.node.path, name, model_package_group_name)
        self.name, self.group_name = name, model_package_group_name
        self._bucket, self._key = bucket, key
        self._image = image.bind(self, architecture=Architecture.X86_64)
        self.group = sagemaker.CfnModelPackageGroup(
            self, "Group", model_package_group_name=model_package_group_name
        )
        self.group.apply_removal_policy(removal_policy)
        # each reads what comes before it: the evaluation reads the model
        self.processing_role, processing = self._job_role(
            "Processing", reads=[RAW, CODE, RESULTS, MODELS], writes=[RESULTS]
        )
        self.training_role, training = self._job_role("Training", reads=[CODE, RESULTS], writes=[MODELS])
        self.role, own = self._pipeline_role(deploy_function, model_package_group_name)
        self.definition = PipelineDefinition.from_template(
            template,
            {
                "BUCKET": bucket.bucket_name,
                "CODE_VERSION": code_version,
                "IMAGE": self._image.uri,
                "MODEL_PACKAGE_GROUP": self.group.ref,
                "TRAINING_ROLE_ARN": self.training_role.role_arn,
                "PROCESSING_ROLE_ARN": self.processing_role.role_arn,
                "DEPLOY_FUNCTION_ARN": deploy_function.function_arn,
                "REGION": cdk.Aws.REGION,
            },
        )
        self.pipeline = sagemaker.CfnPipeline(
            self,
            "Resource",
            pipeline_name=name,
            pipeline_definition={"PipelineDefinitionBody": self.definition.body(self)},
            role_arn=self.role.role_arn,
        )
        for number, text in enumerate(image.warnings):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:pipeline-{number}", text)
        # an execution may start as soon as there is a pipeline
        for policy in (processing, training, own):
            self.pipeline.node.add_dependency(policy)

    def run_after(self, code: JobCode, *, serves: RegistryEndpoint) -> None:
        """Order what belongs together: first the scripts, then the pipeline; the group as long as either.

        Args:
            code: The job scripts.
            serves: The endpoint that follows the group.
        """
        code.resource.node.add_dependency(self.group)
        serves.resource.node.add_dependency(self.group)
        # removed before the endpoint is: no execution deploys any more
        self.pipeline.node.add_dependency(code.resource, serves.resource)

    @property
    def pipeline_arn(self) -> str:
        """The pipeline's ARN, known at deployment."""
        return sagemaker_arn(f"pipeline/{self.name}")

    @property
    def executions_arn(self) -> str:
        """All executions of the pipeline, with a wildcard."""
        return f"{self.pipeline_arn}/execution/*"

    def _job_role(
        self, duty: str, *, reads: Sequence[str], writes: Sequence[str]
    ) -> tuple[iam.Role, iam.Policy]:
        role = self._role(f"{duty}Role", f"Jobs of type {duty} of {self.node.path}")
        group = _arn("logs", f"log-group:/aws/sagemaker/{duty}Jobs")
        metrics = {"StringEquals": {"cloudwatch:namespace": f"/aws/sagemaker/{duty}Jobs"}}
        statements = [
            *self._folders(reads=reads, writes=writes),
            *_pull(self._image),
            _allow(
                "WriteLogs",
                [
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:PutLogEvents",
                    "logs:DescribeLogStreams",
                ],
                [group, f"{group}:log-stream:*"],
            ),
            _allow("WriteMetrics", ["cloudwatch:PutMetricData"], ["*"], metrics),
        ]
        wildcards = {
            "*": "ecr:GetAuthorizationToken and cloudwatch:PutMetricData know no resource to narrow them to "
            "(Service Authorization Reference); the namespace narrows the second.",
            f"{group}:log-stream:*": "SageMaker names the streams; they are of this one group.",
        }
        return role, self._policy(f"{duty}Policy", role, statements, {*reads, *writes}, wildcards)

    def _pipeline_role(
        self, deploy_function: lambda_.IFunction, group_name: str
    ) -> tuple[iam.Role, iam.Policy]:
        role = self._role("Role", f"Executions of {self.node.path}")
        jobs = {duty: sagemaker_arn(f"{duty}-job/pipelines-*") for duty in ("Processing", "Training")}
        versions = versions_arn(group_name)
        statements = [
            *(
                _allow(
                    f"Run{duty}Jobs",
                    [*(f"sagemaker:{verb}{duty}Job" for verb in ("Create", "Describe", "Stop")),
                     "sagemaker:AddTags"],
                    [arn],
                )
                for duty, arn in jobs.items()
            ),
            _allow(
                "RegisterModel",
                ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:AddTags"],
                [self.group.attr_model_package_group_arn, versions],
            ),
            _allow(
                "PassRolesOfJobs",
                ["iam:PassRole"],
                [self.processing_role.role_arn, self.training_role.role_arn],
                {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
            _allow("Deploy", ["lambda:InvokeFunction"], [deploy_function.function_arn]),
            # property files for the conditions, and the model that is registered
            *self._folders(reads=[RESULTS, MODELS], writes=[]),
        ]  # fmt: skip
        wildcards = dict.fromkeys(jobs.values(), _JOBS)
        wildcards[versions] = "SageMaker numbers the versions of this one group."
        return role, self._policy("Policy", role, statements, {RESULTS, MODELS}, wildcards)

    def _role(self, id_: str, description: str) -> iam.Role:
        trusted = iam.ServicePrincipal("sagemaker.amazonaws.com")
        return iam.Role(self, id_, assumed_by=trusted, description=description)

    def _folders(self, *, reads: Sequence[str], writes: Sequence[str]) -> list[iam.PolicyStatement]:
        prefixes = [f"{folder}/*" for folder in sorted({*reads, *writes})]
        statements = [
            _allow("Read", ["s3:GetObject"], [self._bucket.arn_for_objects(f"{name}/*") for name in reads]),
            _allow(
                "List",
                ["s3:ListBucket"],
                [self._bucket.bucket_arn],
                {"StringLike": {"s3:prefix": prefixes}},
            ),
            _allow(
                "UseKey", ["kms:Decrypt", *(["kms:GenerateDataKey"] if writes else [])], [self._key.key_arn]
            ),
        ]
        if writes:
            objects = [self._bucket.arn_for_objects(f"{name}/*") for name in writes]
            statements.append(_allow("Write", ["s3:PutObject", "s3:AbortMultipartUpload"], objects))
        return statements

    def _policy(
        self,
        id_: str,
        role: iam.Role,
        statements: Sequence[iam.PolicyStatement],
        folders: set[str],
        wildcards: Mapping[str, str],
    ) -> iam.Policy:
        policy = iam.Policy(self, id_, roles=[role], statements=list(statements))
        acknowledge_inline(policy)
        objects = {
            self._bucket.arn_for_objects(f"{folder}/*"): f"The objects of the folder {folder} come and go."
            for folder in sorted(folders)
        }
        acknowledge_wildcards(policy, {**wildcards, **objects})
        return policy


def _check_names(where: str, pipeline: str, group: str) -> None:
    findings = Findings(where)
    for field, value, longest, shape in (
        ("name", pipeline, MAX_PIPELINE_NAME, "PipelineName"),
        ("model_package_group_name", group, MAX_NAME_LENGTH, "EntityName"),
    ):
        findings.require(
            isinstance(value, str) and len(value) <= longest and bool(_NAME.fullmatch(value)),
            field,
            value,
            f"must have 1 to {longest} letters a-z A-Z, digits and hyphens, with no hyphen at either end "
            f"(API shape {shape})",
            "use for example 'sentiment'",
        )
    findings.raise_if_any()


def _pull(image: BoundImage) -> list[iam.PolicyStatement]:
    log_in = _allow("LogInToEcr", ["ecr:GetAuthorizationToken"], ["*"])
    return [_allow("PullImage", PULL_ACTIONS, [image.repository_arn]), log_in] if image.repository_arn else []


def _allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, object] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid, actions=list(actions), resources=list(resources), conditions=conditions
    )


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
