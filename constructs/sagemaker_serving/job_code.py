"""The job scripts of a pipeline, in its bucket before the pipeline is there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from constructs import Construct

from .build_context import digest_of, keep
from .errors import Findings
from .naming import stable_name
from .registry_permissions import NO_RESOURCE, list_versions, versions_arn
from .sources import SourceFile, gather, reporting
from .storage import EncryptionKey, Retention
from .zip_function import ZipFunction

CODE = "code"
"""Folder of the bucket."""

_VERSION_LENGTH = 16
_IN_FUNCTION = "job_code"  # install.py looks for them there


class JobCode(Construct):
    """Python files for processing and training jobs, side by side, under a version made of their contents.

    They become ``code/<version>/<file>`` and ``code/<version>.tar.gz``: a processing job reads the folder, a
    training job gets the archive. Older versions stay, as executions that run need them. The function that
    puts them there also removes the group's model versions with a stack whose data are not kept: a group that
    has versions cannot be removed.

    Args:
        name: The function is named after it.
        directories: Their ``*.py``; no file may come twice.
        leave_out: Names of files that no job needs.
        functions: The folder with ``install.py``.
        bucket: Where the scripts go.
        key: Encrypts the bucket, logs and environment.
        model_package_group_name: The group.
        retention: Whether versions outlive the stack, and how long logs are kept.

    Attributes:
        version: 16 hexadecimal digits.
        resource: The custom resource; what starts jobs depends on it.
        function: The function behind it.

    Raises:
        InvalidConfiguration: A directory is missing, there is no script, or one comes twice.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        directories: Sequence[Path],
        leave_out: Collection[str] = (),
        functions: Path,
        bucket: s3.IBucket,
        key: EncryptionKey,
        model_package_group_name: str,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        scripts = _scripts(self.node.path, directories, leave_out)
        with reporting(functions):
            self.version = digest_of(scripts)[:_VERSION_LENGTH]
            own = gather(Findings(self.node.path), functions)
            code = keep([*own, *(replace(file, name=f"{_IN_FUNCTION}/{file.name}") for file in scripts)])
        objects = bucket.arn_for_objects(f"{CODE}/*")
        versions = versions_arn(model_package_group_name)
        statements = [iam.PolicyStatement(sid="WriteCode", actions=["s3:PutObject"], resources=[objects])]
        if not retention.keep_data:
            statements += [
                list_versions(),
                iam.PolicyStatement(
                    sid="RemoveVersions", actions=["sagemaker:DeleteModelPackage"], resources=[versions]
                ),
            ]
        self.function = ZipFunction(
            self,
            "Function",
            function_name=stable_name(name, "install"),
            code=code,
            handler="install.handler",
            environment={},
            statements=statements,
            wildcards={
                objects: "Each version of the scripts has a folder of its own below this one.",
                versions: "SageMaker numbers the versions of this one group.",
                "*": NO_RESOURCE,
            },
            memory_mb=256,
            timeout=cdk.Duration.minutes(5),
            key=key,
            retention=retention,
        )
        self.resource = cdk.CustomResource(
            self,
            "Resource",
            resource_type="Custom::JobCode",
            service_token=self.function.function.function_arn,
            properties={
                "Bucket": bucket.bucket_name,
                "CodePrefix": f"{CODE}/",
                "CodeVersion": self.version,
                "ModelPackageGroup": model_package_group_name,
                "DeleteVersions": "false" if retention.keep_data else "true",
            },
        )


def _scripts(where: str, directories: Sequence[Path], leave_out: Collection[str]) -> list[SourceFile]:
    findings = Findings(where)
    findings.require(
        bool(directories), "directories", list(directories), "jobs need scripts", "give at least one folder"
    )
    findings.raise_if_any()
    first, *others = directories

    def script(path: tuple[str, ...]) -> str | None:
        (*folders, name) = path
        return name if name.endswith(".py") and not folders and name not in leave_out else None

    with reporting(first):
        scripts = gather(findings, first, others, place=script)
    findings.require(
        bool(scripts),
        "directories",
        [str(directory) for directory in directories],
        "have no *.py files at the top",
        "give the folders with the job scripts",
    )
    findings.raise_if_any()
    return scripts
