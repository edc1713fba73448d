"""Which patterns are deployed: CloudFormation stacks by their tags, and what their outputs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from client.commands import deploy_command
from client.connection import Connection
from client.errors import UserError

PATTERN_TAG = "sagemaker-serving:pattern"
ENVIRONMENT_TAG = "sagemaker-serving:environment"


@dataclass(frozen=True)
class DeployedPattern:
    """A stack that carries the pattern tag.

    Args:
        pattern: Value of the tag ``sagemaker-serving:pattern``, for example ``realtime``.
        environment: Value of the tag ``sagemaker-serving:environment``, for example ``dev``; may be empty.
        stack_name: Name of the CloudFormation stack.
        stack_status: Status of the stack, for example ``UPDATE_COMPLETE``.
        stack_reason: What CloudFormation says about that status; often empty.
        outputs: The stack's outputs by key.
    """

    pattern: str
    environment: str
    stack_name: str
    stack_status: str
    stack_reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_endpoint(self) -> bool:
        """Whether the stack says that it made an endpoint."""
        return "EndpointName" in self.outputs

    @property
    def has_function(self) -> bool:
        """Whether the stack says that it made a Lambda function."""
        return "FunctionName" in self.outputs

    @property
    def has_workflow(self) -> bool:
        """Whether the stack says that it made a batch workflow."""
        return "StateMachineArn" in self.outputs

    @property
    def has_registry(self) -> bool:
        """Whether the stack says that its endpoint follows a model package group."""
        return {"ModelPackageGroupName", "PipelineName", "EndpointName"} <= self.outputs.keys()

    @property
    def endpoint_name(self) -> str:
        """Name of the endpoint.

        Raises:
            UserError: The stack has no endpoint, or is not there yet.
        """
        name = self.outputs.get("EndpointName")
        if name:
            return name
        reason = f" ({self.stack_reason})" if self.stack_reason else ""
        message = (
            f"Stack {self.stack_name} names no endpoint in its outputs; it is {self.stack_status}{reason}"
        )
        if self.stack_status.endswith("_IN_PROGRESS"):
            raise UserError(message, "Wait until the deployment has ended.")
        raise UserError(
            message, "If its deployment failed, look at the stack's events, correct the cause, deploy again."
        )

    @property
    def expected_config(self) -> str | None:
        """Name of the endpoint configuration that the stack wants to be served."""
        name = self.outputs.get("EndpointConfigName")
        # CloudFormation's Ref of an endpoint configuration is its ARN
        return name.rsplit("/", 1)[-1] if name else None

    @property
    def variant_names(self) -> list[str]:
        """Names of the production variants that the stack made."""
        return self._names("VariantNames")

    @property
    def container_hostnames(self) -> list[str]:
        """Hostnames of the model's containers, in order; empty for a model of one container."""
        return self._names("ContainerHostnames")

    @property
    def is_direct(self) -> bool:
        """Whether each request has to name its container (InferenceExecutionConfig, mode Direct)."""
        return self.outputs.get("InferenceMode") == "Direct"

    @property
    def model_version(self) -> str:
        """The version of the model that the stack wants to be served; empty where versions have no names."""
        return self.outputs.get("ModelVersion", "")

    @property
    def rollback_alarms(self) -> list[str]:
        """Names of the alarms that roll an update back."""
        return self._names("RollbackAlarmNames")

    def _names(self, output: str) -> list[str]:
        return [name.strip() for name in self.outputs.get(output, "").split(",") if name.strip()]

    def __str__(self) -> str:
        environment = f", {self.environment}" if self.environment else ""
        return f"{self.pattern} (stack {self.stack_name}{environment})"


def deployed_patterns(connection: Connection) -> list[DeployedPattern]:
    """All deployed patterns, by pattern and stack name.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: CloudFormation could not be asked.
    """
    pages = connection.client("cloudformation").get_paginator("describe_stacks").paginate()
    found = [_from_stack(stack) for page in pages for stack in page["Stacks"]]
    return sorted((one for one in found if one), key=lambda one: (one.pattern, one.stack_name))


def find_pattern(connection: Connection, pattern: str, stack_name: str | None = None) -> DeployedPattern:
    """The one deployed stack of a pattern.

    Args:
        connection: Where to look.
        pattern: Value of the pattern tag.
        stack_name: Which stack, where several are of this pattern.

    Raises:
        UserError: None is deployed, or several are and none was chosen.
    """
    everything = deployed_patterns(connection)
    if not everything:
        raise nothing_deployed(connection, pattern)
    fitting = [one for one in everything if one.pattern == pattern and stack_name in (None, one.stack_name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        stacks = ", ".join(one.stack_name for one in fitting)
        raise UserError(
            f"Several stacks are of pattern {pattern!r}: {stacks}", "Choose one with --stack NAME."
        )
    raise _not_deployed(connection, pattern, stack_name, everything)


def nothing_deployed(connection: Connection, pattern: str) -> UserError:
    """The error for an account and Region without any pattern."""
    return UserError(
        f"No pattern is deployed in {connection}",
        f"Deploy one: {deploy_command(pattern, in_sandbox=connection.is_sandbox)}",
    )


def _not_deployed(
    connection: Connection, pattern: str, stack_name: str | None, everything: list[DeployedPattern]
) -> UserError:
    known = sorted({one.pattern for one in everything})
    near = get_close_matches(pattern, known, n=1)
    wanted = f"Stack {stack_name!r} of pattern {pattern!r}" if stack_name else f"Pattern {pattern!r}"
    hints = [f"Deployed: {', '.join(str(one) for one in everything)}"]
    if near and near != [pattern]:
        hints.append(f"Did you mean {near[0]!r}?")
    hints.append(f"To deploy another: {deploy_command('PATTERN', in_sandbox=connection.is_sandbox)}")
    return UserError(f"{wanted} is not deployed in {connection}", "\n".join(hints))


def _from_stack(stack: dict[str, Any]) -> DeployedPattern | None:
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
    # nested stacks inherit the tags of the stack that they belong to
    if PATTERN_TAG not in tags or stack.get("ParentId"):
        return None
    return DeployedPattern(
        pattern=tags[PATTERN_TAG],
        environment=tags.get(ENVIRONMENT_TAG, ""),
        stack_name=stack["StackName"],
        stack_status=stack["StackStatus"],
        stack_reason=stack.get("StackStatusReason") or "",
        outputs={one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])},
    )
