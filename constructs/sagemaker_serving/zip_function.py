"""A Lambda function from a directory of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs

from constructs import Construct

from .acknowledgements import Pack, acknowledge, acknowledge_used_wildcards
from .model import acknowledge_inline
from .storage import DeadLetterQueue, EncryptionKey, Retention, ServiceLogGroup

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_


class ZipFunction(Construct):
    """A function that is traced, and has a role and an encrypted log group of its own.

    Args:
        function_name: Stable.
        code: The folder; functions that share one share its asset.
        handler: Module and function, for example ``claim.handler``.
        environment: Variables; encrypted with the key.
        statements: What its role may do beside writing logs and traces.
        wildcards: Resources in these that end in a wildcard, and why.
        memory_mb: 128 to 10,240; processor power grows with it, up to one core at 1,769.
        timeout: At most 900 s.
        key: Encrypts logs and environment.
        retention: How long logs are kept, and whether they outlive the stack.
        dead_letters: Gets events that the function failed on three times; for one that is called
            asynchronously. Default: it is called by somebody who waits for its answer.

    Attributes:
        name: As given.
        function: The function.
        role: Its role.
        timeout: As given.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        function_name: str,
        code: Path,
        handler: str,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        wildcards: Mapping[str, str],
        memory_mb: int,
        timeout: cdk.Duration,
        key: EncryptionKey,
        retention: Retention,
        dead_letters: DeadLetterQueue | None = None,
    ) -> None:
        from aws_cdk import aws_lambda as lambda_  # a fifth of a second: only who has a function pays it

        super().__init__(scope, id_)
        self.name, self.timeout = function_name, timeout
        group_name = f"/aws/lambda/{function_name}"
        group = ServiceLogGroup(self, "Logs", name=group_name, key=key, retention=retention)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Execution role of {function_name}",
        )
        policy = iam.Policy(
            self,
            "Policy",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    sid="WriteLogs",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[group.arn, f"{group.arn}:log-stream:*"],
                ),
                iam.PolicyStatement(
                    sid="WriteTraces",
                    actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
                    resources=["*"],
                ),
                iam.PolicyStatement(
                    sid="UseKey", actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]
                ),
                *([_keep_dead_letters(dead_letters)] if dead_letters else []),
                *statements,
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(
            policy,
            {
                "*": "X-Ray's and CloudWatch's calls know no resource to narrow them to "
                "(Service Authorization Reference).",
                f"{group.arn}:log-stream:*": "Lambda names the streams; they are of this one group.",
                **wildcards,
            },
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            runtime=lambda_.Runtime.PYTHON_3_14,  # the newest that Lambda has
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(code), exclude=["**/__pycache__", "**/*.pyc", "tests"]),
            handler=handler,
            memory_size=memory_mb,
            timeout=timeout,
            environment=dict(environment),
            environment_encryption=key,
            role=self.role.without_policy_updates(),
            log_group=logs.LogGroup.from_log_group_name(self, "LogGroup", group_name),
            tracing=lambda_.Tracing.ACTIVE,
            dead_letter_queue=dead_letters,
        )
        stack = cdk.Stack.of(self)
        needed = [
            stack.get_logical_id(cast(cdk.CfnElement, item)) for item in (group, policy.node.default_child)
        ]
        cast("lambda_.CfnFunction", self.function.node.default_child).add_override(
            "DependsOn", sorted(needed)
        )
        _acknowledge(self.function, waited_for=dead_letters is None)

    @property
    def invoke_statement(self) -> iam.PolicyStatement:
        """Lets somebody call the function."""
        return iam.PolicyStatement(
            sid="Invoke", actions=["lambda:InvokeFunction"], resources=[self.function.function_arn]
        )


def _keep_dead_letters(queue: DeadLetterQueue) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="KeepDeadLetters", actions=["sqs:SendMessage"], resources=[queue.queue_arn]
    )


def _acknowledge(function: lambda_.Function, *, waited_for: bool) -> None:
    acknowledge(
        function,
        {"LambdaInsideVPC": "It calls AWS's own services only; in a VPC it would need a way out to them."},
    )
    findings = {
        "LambdaConcurrency": "Its callers limit their calls themselves; a reserve would be taken from the "
        "account's other functions while nobody calls it.",
    }
    if waited_for:
        findings["LambdaDLQ"] = "It is called synchronously: a failure goes back to the one that called it."
    acknowledge(function, findings, Pack.NIST, Pack.HIPAA)
