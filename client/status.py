"""Whether what is deployed is what was asked for, and how it fares.

A deployment that SageMaker rolled back leaves the endpoint InService, on its old configuration. So the status
alone proves nothing: the configuration that serves is compared with the one that the stack's outputs name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from client.batch.state import WorkflowStatus, workflow_problems, workflow_status
from client.connection import Connection
from client.functions.state import FunctionStatus, function_figures, function_problems, function_status
from client.metrics import HOUR, Figures, container_figures, variant_figures
from client.patterns import DeployedPattern
from client.pipeline.state import RegistryStatus, registry_problems, registry_status
from client.scaling import scaling_ranges

T = TypeVar("T")

_SERVING_OTHERWISE = {"Failed", "OutOfService", "UpdateRollbackFailed"}
_ALARM_TYPES = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
# API DescribeAlarms takes so many names at once
_ALARMS_PER_CALL = 100


@dataclass
class VariantStatus:
    """A production or shadow variant as it is now.

    Args:
        name: Its name.
        shadow: Whether it gets copies of requests only, and no caller sees its answers.
        weight: Its share of the traffic, relative to the other weights; of a shadow variant, relative to the
            production variant's.
        desired_weight: The weight that it is going to have.
        instances: Instances that serve.
        desired_instances: Instances that there should be.
        scaling: Least and most instances that scaling may set; None if it does not scale.
        last_hour: Figures of the last hour; see `client.metrics.VARIANT`.
    """

    name: str
    shadow: bool = False
    weight: float | None = None
    desired_weight: float | None = None
    instances: int | None = None
    desired_instances: int | None = None
    scaling: tuple[int, int] | None = None
    last_hour: Figures = field(default_factory=dict)


@dataclass
class ContainerStatus:
    """A container of several, in one variant.

    Args:
        variant: The variant.
        hostname: Its ContainerHostname.
        last_hour: Figures of the last hour; see `client.metrics.CONTAINER`.
    """

    variant: str
    hostname: str
    last_hour: Figures = field(default_factory=dict)


@dataclass
class EndpointStatus:
    """An endpoint as it is now.

    Args:
        name: Its name.
        status: API ``EndpointStatus``; ``NotFound`` if the stack names an endpoint that is not there.
        serving_config: The endpoint configuration that answers.
        expected_config: The one that the stack wants.
        failure_reason: What SageMaker says about its latest failure.
        update: The update that is under way; None if none is.
        variants: Its variants, a shadow variant last.
        containers: The containers of each variant, in order; empty where the model is one container.
        inference_mode: ``Direct`` (requests name their container) or ``Serial``; None for one container.
        version: The version of the model that the stack wants; None where versions have no names.
        follows: The model package group whose approved versions it serves; None where the stack says what is
            served.
    """

    name: str
    status: str
    serving_config: str | None
    expected_config: str | None
    failure_reason: str | None = None
    update: dict[str, Any] | None = None
    variants: list[VariantStatus] = field(default_factory=list)
    containers: list[ContainerStatus] = field(default_factory=list)
    inference_mode: str | None = None
    version: str | None = None
    follows: str | None = None

    @property
    def production_variants(self) -> list[VariantStatus]:
        """Those that answer."""
        return [variant for variant in self.variants if not variant.shadow]


@dataclass
class AlarmStatus:
    """A CloudWatch alarm of the stack.

    Args:
        name: Its name.
        state: API ``StateValue``.
        reason: Why.
        metric: The metric that it watches; empty for one over several metrics or alarms.
    """

    name: str
    state: str
    reason: str
    metric: str = ""


@dataclass
class PatternStatus:
    """A deployed pattern as it is now.

    Args:
        deployed: Its stack.
        endpoint: Its endpoint; None if it has none.
        function: Its Lambda function; None if it has none.
        workflow: Its batch workflow; None if it has none.
        registry: Its model package group and what follows it; None if it has none.
        alarms: The stack's alarms.
        problems: Why this is not what was asked for; empty if it is.
        notes: What could not be found out.
    """

    deployed: DeployedPattern
    endpoint: EndpointStatus | None = None
    function: FunctionStatus | None = None
    workflow: WorkflowStatus | None = None
    registry: RegistryStatus | None = None
    alarms: list[AlarmStatus] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "pattern": self.deployed.pattern,
            "environment": self.deployed.environment,
            "healthy": not self.problems,
            "problems": self.problems,
            "stack": {
                "name": self.deployed.stack_name,
                "status": self.deployed.stack_status,
                "reason": self.deployed.stack_reason,
            },
            "endpoint": asdict(self.endpoint) if self.endpoint else None,
            "function": asdict(self.function) if self.function else None,
            "workflow": self.workflow.as_dict() if self.workflow else None,
            "registry": self.registry.as_dict() if self.registry else None,
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "notes": self.notes,
        }


def pattern_status(connection: Connection, deployed: DeployedPattern) -> PatternStatus:
    """Ask CloudFormation, SageMaker, Application Auto Scaling and CloudWatch about one pattern.

    What only adds to the picture (alarms, scaling, figures) may be denied: then a note says so.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SageMaker could not be asked.
    """
    status = PatternStatus(deployed)
    if deployed.has_endpoint:
        status.endpoint = endpoint = endpoint_status(connection, deployed)
        names = [variant.name for variant in endpoint.variants]
        ranges = _optional(status, "scaling", lambda: scaling_ranges(connection, endpoint.name, names)) or {}
        _optional(status, "the last hour", lambda: _add_last_hour(connection, endpoint))
        for variant in endpoint.variants:
            variant.scaling = ranges.get(variant.name)
    if deployed.has_function:
        status.function = function = function_status(connection, deployed)
        hour = _optional(status, "the last hour", lambda: function_figures(connection, function))
        function.last_hour = hour or {}
    if deployed.has_workflow:
        status.workflow = workflow_status(connection, deployed.outputs["StateMachineArn"])
    if deployed.has_registry:
        status.registry = _optional(status, "versions", lambda: registry_status(connection, deployed))
    status.alarms = _optional(status, "alarms", lambda: _stack_alarms(connection, deployed.stack_name)) or []
    status.problems = _stack_problems(deployed)
    if status.endpoint:
        status.problems += endpoint_problems(status.endpoint)
    if status.function:
        status.problems += function_problems(status.function)
    if status.workflow:
        status.problems += workflow_problems(status.workflow)
    if status.registry:
        status.problems += registry_problems(status.registry)
    return status


def endpoint_status(connection: Connection, deployed: DeployedPattern) -> EndpointStatus:
    """Ask SageMaker about a pattern's endpoint.

    Raises:
        UserError: The stack has no endpoint.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: SageMaker could not be asked.
    """
    name, expected = deployed.endpoint_name, deployed.expected_config
    try:
        answer = connection.client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError as error:
        if "Could not find endpoint" in error.response["Error"].get("Message", ""):
            follows = deployed.outputs.get("ModelPackageGroupName")
            return EndpointStatus(name, "NotFound", None, expected, follows=follows)
        raise
    pending = answer.get("PendingDeploymentSummary")
    variants = [_variant(one) for one in answer.get("ProductionVariants", [])]
    shadows = [_variant(one, shadow=True) for one in answer.get("ShadowProductionVariants", [])]
    return EndpointStatus(
        name=name,
        status=answer["EndpointStatus"],
        serving_config=answer.get("EndpointConfigName"),
        expected_config=expected,
        failure_reason=answer.get("FailureReason"),
        update=_update(pending) if pending else None,
        variants=variants + shadows,
        containers=[
            ContainerStatus(variant.name, hostname)
            for variant in variants
            for hostname in deployed.container_hostnames
        ],
        inference_mode=deployed.outputs.get("InferenceMode"),
        version=deployed.model_version or None,
        follows=deployed.outputs.get("ModelPackageGroupName"),
    )


def endpoint_problems(endpoint: EndpointStatus) -> list[str]:
    """Why an endpoint is not what its stack asked for; empty if it is, or is on its way."""
    reason = f": {endpoint.failure_reason}" if endpoint.failure_reason else ""
    if endpoint.status == "NotFound" and endpoint.follows:
        return []  # it is made when a version is approved
    if endpoint.status == "NotFound":
        return [f"endpoint {endpoint.name} does not exist any more: it was deleted past the stack"]
    problems = []
    if endpoint.status in _SERVING_OTHERWISE:
        problems.append(f"endpoint {endpoint.name} is {endpoint.status}{reason}")
    settled = endpoint.status in {"InService", *_SERVING_OTHERWISE}
    if settled and endpoint.expected_config and endpoint.serving_config != endpoint.expected_config:
        problems.append(
            f"endpoint {endpoint.name} serves {endpoint.serving_config}, but the stack expects "
            f"{endpoint.expected_config}: its last update was rolled back, or it was changed past the stack"
            + (reason if not problems else "")
        )
    if endpoint.status == "RollingBack":
        problems.append(f"endpoint {endpoint.name} is rolling its update back{reason}")
    return problems


def _stack_problems(deployed: DeployedPattern) -> list[str]:
    status = deployed.stack_status
    if "ROLLBACK" not in status and not status.endswith("_FAILED"):
        return []
    reason = f": {deployed.stack_reason}" if deployed.stack_reason else ""
    return [f"the last deployment of stack {deployed.stack_name} failed ({status}){reason}"]


def _optional(status: PatternStatus, what: str, ask: Callable[[], T]) -> T | None:
    """Ask for something that the answer can do without."""
    try:
        return ask()
    except ClientError as error:
        details = error.response.get("Error", {})
        status.notes.append(f"{what}: {details.get('Code')}: {details.get('Message')}")
        return None


def _add_last_hour(connection: Connection, endpoint: EndpointStatus) -> None:
    names = [variant.name for variant in endpoint.variants]
    hour = variant_figures(connection, endpoint.name, names, HOUR)
    for variant in endpoint.variants:
        variant.last_hour = hour[variant.name]
    for name in names:
        containers = [one for one in endpoint.containers if one.variant == name]
        hostnames = [one.hostname for one in containers]
        found = container_figures(connection, endpoint.name, name, hostnames, HOUR)
        for one in containers:
            one.last_hour = found[one.hostname]


def _stack_alarms(connection: Connection, stack_name: str) -> list[AlarmStatus]:
    pages = (
        connection.client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName=stack_name)
    )
    names = [
        resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] in _ALARM_TYPES and resource.get("PhysicalResourceId")
    ]
    return alarm_states(connection, names)


def alarm_states(connection: Connection, names: Sequence[str]) -> list[AlarmStatus]:
    """Alarms as they are now, by name; one that does not exist is left out.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: CloudWatch could not be asked.
    """
    alarms: list[AlarmStatus] = []
    for start in range(0, len(names), _ALARMS_PER_CALL):
        answer = connection.client("cloudwatch").describe_alarms(
            AlarmNames=list(names[start : start + _ALARMS_PER_CALL]),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=_ALARMS_PER_CALL,
        )
        alarms += [
            AlarmStatus(
                one["AlarmName"], one["StateValue"], one.get("StateReason", ""), one.get("MetricName") or ""
            )
            for one in answer.get("MetricAlarms", []) + answer.get("CompositeAlarms", [])
        ]
    return sorted(alarms, key=lambda alarm: alarm.name)


def _update(pending: dict[str, Any]) -> dict[str, Any]:
    variants = pending.get("ProductionVariants", [])
    return {
        "config": pending.get("EndpointConfigName"),
        "started": str(pending["StartTime"]) if pending.get("StartTime") else None,
        "variants": [
            {
                "name": one["VariantName"],
                "weight": one.get("CurrentWeight"),
                "instances": one.get("CurrentInstanceCount"),
                "desired_instances": one.get("DesiredInstanceCount"),
                "stages": [stage["Status"] for stage in one.get("VariantStatus", [])],
                "messages": [
                    stage["StatusMessage"]
                    for stage in one.get("VariantStatus", [])
                    if stage.get("StatusMessage")
                ],
            }
            for one in variants
        ],
    }


def _variant(one: dict[str, Any], *, shadow: bool = False) -> VariantStatus:
    return VariantStatus(
        name=one["VariantName"],
        shadow=shadow,
        weight=one.get("CurrentWeight"),
        desired_weight=one.get("DesiredWeight"),
        instances=one.get("CurrentInstanceCount"),
        desired_instances=one.get("DesiredInstanceCount"),
    )
