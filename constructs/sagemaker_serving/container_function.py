"""A model in a container image on AWS Lambda, behind an alias, with an HTTP front by choice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aws_cdk as cdk
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from constructs import Construct

from .acknowledgements import Pack, acknowledge, acknowledge_wildcards
from .build_context import stage
from .errors import Findings
from .function_http import HttpFront, make_front
from .instances import Architecture
from .limits import check_integer, check_number, check_seconds
from .model import acknowledge_inline
from .storage import EncryptionKey, Retention, ServiceLogGroup

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240
"""Memory of an ordinary function. API shape MemorySize allows 32,768, which is for managed instances only
(Lambda quotas)."""

MAX_TIMEOUT_SECONDS = 900
"""Timeout of an ordinary function. API shape Timeout allows 5,400, for managed instances (Lambda quotas)."""

MAX_ENVIRONMENT_BYTES = 4096
"""All environment variables of a function together (Lambda quotas)."""

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    }
)  # fmt: skip
"""Variables that Lambda sets itself (developer guide, environment variables)."""

HTTP_API_TIMEOUT_SECONDS = 30
"""An HTTP API gives up on an integration after this long (API Gateway quotas)."""

ALIAS = "live"
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_VARIABLE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")


@dataclass(frozen=True, kw_only=True)
class ProvisionedConcurrency:
    """Execution environments that are started ahead, and how their number follows the load.

    Args:
        minimum: At least so many, 1 or more; each is billed while it exists.
        maximum: At most so many. Default: always the minimum.
        target_utilization: Share of them in use that scaling keeps, above 0 and below 1. Default 0.7.

    Raises:
        InvalidConfiguration: Outside these limits.
    """

    minimum: int
    maximum: int | None = None
    target_utilization: float = 0.7

    def __post_init__(self) -> None:
        findings = Findings("ProvisionedConcurrency")
        source = "Lambda API PutProvisionedConcurrencyConfig"
        if (
            check_integer(findings, "minimum", self.minimum, low=1, source=source)
            and self.maximum is not None
        ):
            check_integer(findings, "maximum", self.maximum, low=self.minimum, source="not below the minimum")
        in_range = check_number(
            findings,
            "target_utilization",
            self.target_utilization,
            above=0,
            source="a share of what is there",
        )
        findings.require(
            not in_range or self.target_utilization < 1,
            "target_utilization",
            self.target_utilization,
            "must be below 1: at 1 nothing is left for a burst while more are being started",
            "use for example 0.7",
        )
        findings.raise_if_any()


class ContainerFunction(Construct):
    """A Lambda function from a Dockerfile, always called through its alias ``live``.

    Every change publishes a version and moves the alias to it. Calls are traced by X-Ray. The function can
    write its log group and its traces, and nothing else: attach more to ``role``.

    Args:
        function_name: 1 to 64 letters, digits, hyphens and underscores, a plain text; stable.
        directory: The build context, with a ``Dockerfile`` on one of AWS's Lambda base images.
        shared: Folders laid over it, with files that several directories use. Default: none.
        architecture: What the image is built for and runs on. Default x86-64.
        memory_mb: 128 to 10,240; processor power grows with it. Default 1024.
        timeout: 1 to 900 s; behind an HTTP API at most 30 s are of use. Default 15 s.
        environment: Variables, at most 4 KB, none that Lambda sets itself. Default: none.
        reserved_concurrency: Calls at the same time at most; others are throttled. Default: what the account
            has left.
        provisioned_concurrency: Environments started ahead. Default: none.
        http_front: Default: none, calls go to the Lambda API only.
        key: Encrypts the logs and the environment.
        retention: How long logs are kept, and whether they outlive the stack.

    Attributes:
        function: The function.
        role: Its execution role.
        alias: What callers call.
        log_group: Where its output goes.
        http_url: Where the HTTP front is; None without one.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function_name: str,
        directory: str | Path,
        shared: Sequence[str | Path] = (),
        architecture: Architecture = Architecture.X86_64,
        memory_mb: int = 1024,
        timeout: cdk.Duration | None = None,
        environment: Mapping[str, str] | None = None,
        reserved_concurrency: int | None = None,
        provisioned_concurrency: ProvisionedConcurrency | None = None,
        http_front: HttpFront | None = None,
        key: EncryptionKey,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        self.function_name = function_name
        self.memory_mb = memory_mb
        self.timeout = timeout or cdk.Duration.seconds(15)
        self._check(environment or {}, reserved_concurrency, provisioned_concurrency)
        context = stage(Path(directory), [Path(folder) for folder in shared])
        if http_front is HttpFront.HTTP_API:
            self._warn_of_timeout()

        self.log_group = ServiceLogGroup(
            self, "Logs", name=f"/aws/lambda/{function_name}", key=key, retention=retention
        )
        self.role, policy = self._role(key)
        from aws_cdk import aws_lambda as lambda_  # a fifth of a second: only who has a function pays it

        arm = architecture is Architecture.ARM64
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            function_name=function_name,
            code=lambda_.DockerImageCode.from_image_asset(
                str(context),
                platform=assets.Platform.LINUX_ARM64 if arm else assets.Platform.LINUX_AMD64,
            ),
            architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
            memory_size=memory_mb,
            timeout=self.timeout,
            environment=dict(environment or {}),
            environment_encryption=key,
            reserved_concurrent_executions=reserved_concurrency,
            # what it may do is all in the policy; the CDK would add a second one
            role=self.role.without_policy_updates(),
            log_group=logs.LogGroup.from_log_group_name(self, "LogGroup", f"/aws/lambda/{function_name}"),
            tracing=lambda_.Tracing.ACTIVE,
            description=f"Model in a container image, called as {function_name}:{ALIAS}",
        )
        self._create_after(self.log_group, policy.node.default_child)
        _acknowledge(self.function, reserved=reserved_concurrency is not None)
        self.alias = self._alias(provisioned_concurrency)
        self.http_url = make_front(self, self.alias, http_front, key=key, retention=retention)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let someone call the function, by the Lambda API and by its function URL.

        Args:
            grantee: A role, user or whatever has one.
        """
        return self.alias.grant_invoke(grantee)

    def _check(
        self,
        environment: Mapping[str, str],
        reserved: int | None,
        provisioned: ProvisionedConcurrency | None,
    ) -> None:
        findings = Findings(self.node.path)
        findings.require(
            lambda: _FUNCTION_NAME.fullmatch(self.function_name) is not None,
            "function_name",
            self.function_name,
            "1 to 64 letters, digits, hyphens and underscores (Lambda API shape FunctionName)",
            "shorten it or leave out other characters",
        )
        check_integer(
            findings,
            "memory_mb",
            self.memory_mb,
            low=MIN_MEMORY_MB,
            high=MAX_MEMORY_MB,
            source="Lambda quotas; more is for managed instances",
        )
        check_seconds(
            findings,
            "timeout",
            self.timeout,
            low=1,
            high=MAX_TIMEOUT_SECONDS,
            source="Lambda quotas; more is for managed instances",
        )
        _check_environment(findings, environment)
        if reserved is not None:
            check_integer(
                findings, "reserved_concurrency", reserved, low=1, source="0 would refuse every call"
            )
        most = (provisioned.maximum or provisioned.minimum) if provisioned else 0
        findings.require(
            reserved is None or most <= reserved,
            "provisioned_concurrency",
            most,
            f"is above reserved_concurrency, {reserved} (Lambda API PutProvisionedConcurrencyConfig)",
            "raise reserved_concurrency, or provision fewer",
        )
        findings.raise_if_any()

    def _warn_of_timeout(self) -> None:
        if not self.timeout.is_unresolved() and self.timeout.to_seconds() > HTTP_API_TIMEOUT_SECONDS:
            cdk.Annotations.of(self).add_warning_v2(
                "sagemaker-serving:function-timeout",
                f"An HTTP API answers 504 after {HTTP_API_TIMEOUT_SECONDS} s, and the function may go on for "
                f"{self.timeout.to_seconds():g} s. Shorten its timeout, or use a function URL.",
            )

    def _role(self, key: EncryptionKey) -> tuple[iam.Role, iam.Policy]:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Execution role of {self.function_name}",
        )
        policy = iam.Policy(
            self,
            "Policy",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    sid="WriteLogs",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[self.log_group.arn, f"{self.log_group.arn}:log-stream:*"],
                ),
                iam.PolicyStatement(
                    sid="WriteTraces",
                    actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
                    resources=["*"],
                ),
                iam.PolicyStatement(
                    sid="DecryptEnvironment", actions=["kms:Decrypt"], resources=[key.key_arn]
                ),
            ],
        )
        acknowledge_inline(policy)
        acknowledge_wildcards(
            policy,
            {
                "*": "X-Ray's calls know no resource to narrow them to (Service Authorization Reference).",
                f"{self.log_group.arn}:log-stream:*": "Lambda names the streams; they are of this one group.",
            },
        )
        return role, policy

    def _create_after(self, *resources: object) -> None:
        """Have CloudFormation wait for these, and not also for the role, which the function refers to."""
        stack = cdk.Stack.of(self)
        names = [stack.get_logical_id(cast(cdk.CfnElement, resource)) for resource in resources]
        cast("lambda_.CfnFunction", self.function.node.default_child).add_override("DependsOn", sorted(names))

    def _alias(self, provisioned: ProvisionedConcurrency | None) -> lambda_.Alias:
        from aws_cdk import aws_lambda as lambda_  # a fifth of a second: only who has a function pays it

        alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=ALIAS,
            version=self.function.current_version,
            provisioned_concurrent_executions=provisioned.minimum if provisioned else None,
        )
        if provisioned and (provisioned.maximum or provisioned.minimum) > provisioned.minimum:
            scaling = alias.add_auto_scaling(
                min_capacity=provisioned.minimum, max_capacity=provisioned.maximum or provisioned.minimum
            )
            scaling.scale_on_utilization(utilization_target=provisioned.target_utilization)
        return alias


def _check_environment(findings: Findings, environment: Mapping[str, str]) -> None:
    for name in environment:
        findings.require(
            name not in RESERVED_VARIABLES,
            "environment",
            name,
            "Lambda sets this variable itself and refuses it (developer guide, environment variables)",
            "choose another name",
        )
        findings.require(
            name in RESERVED_VARIABLES or _VARIABLE_NAME.fullmatch(name) is not None,
            "environment",
            name,
            "a variable's name is a letter and one or more letters, digits and underscores (Lambda API shape "
            "EnvironmentVariableName)",
            "choose another name",
        )
    size = sum(len(f"{name}{value}".encode()) for name, value in environment.items())
    findings.require(
        size <= MAX_ENVIRONMENT_BYTES,
        "environment",
        f"{size} bytes",
        f"all variables together hold at most {MAX_ENVIRONMENT_BYTES} bytes (Lambda quotas)",
        "put what is large into the image",
    )


def _acknowledge(function: lambda_.Function, *, reserved: bool) -> None:
    acknowledge(
        function,
        {"LambdaInsideVPC": "It reads nothing but its own image; in a VPC it would reach more, not less."},
    )
    findings = {
        "LambdaDLQ": "It is called synchronously: a failure goes back to the caller, and nothing is queued."
    }
    if not reserved:
        findings["LambdaConcurrency"] = (
            "It shares the account's concurrency by choice of the setting reserved_concurrency, and an alarm "
            "on throttles tells when that is not enough."
        )
    acknowledge(function, findings, Pack.NIST, Pack.HIPAA)  # PCI DSS has neither rule


__all__ = ["ContainerFunction", "HttpFront", "ProvisionedConcurrency"]
