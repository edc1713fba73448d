"""A SageMaker model: what runs, on whose behalf, and with which permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .acknowledgements import acknowledge, acknowledge_wildcards
from .artifacts import BoundArtifact, ModelArtifact
from .errors import Findings, is_token
from .images import PULL_ACTIONS, BoundImage, ContainerImage, DockerfileImage, EcrImage, FrameworkImage
from .instances import Architecture
from .limits import check_choice
from .naming import NameKind, check_environment, check_name
from .network import VpcAttachment

MAX_CONTAINERS = 15
"""Containers in one model (API shape ContainerDefinitionList)."""

BIND_TO_PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
"""Label of images that listen on the port they are told; an image without it can only be alone in its model
(developer guide, multi-container endpoints)."""


class ContainerInvocation(StrEnum):
    """How requests reach the containers of a model that has several (API shape InferenceExecutionMode).

    ``SERIAL``: every request goes through all containers in order; each gets the answer of the one before.
    ``DIRECT``: every request names the container that answers it (TargetContainerHostname).
    """

    SERIAL = "Serial"
    DIRECT = "Direct"


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a model (API shape ContainerDefinition).

    Args:
        image: What to run: a framework image of AWS's, an image in an ECR repository, or a Dockerfile.
        artifact: The model's data and code; None for an image that brings its own.
        environment: Variables for the container. They win over those that the artifact sets.
        hostname: Name of the container within a model of several: callers, metrics and logs go by it.
            Direct invocation needs one for every container; a series has one for every container or for none,
            and only named containers have metrics that can be told apart beforehand. Default None.
    """

    image: ContainerImage
    artifact: ModelArtifact | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    hostname: str | None = None

    @property
    def all_environment(self) -> dict[str, str]:
        """What the container is given: the artifact's variables and its own, which win."""
        return {**(self.artifact.environment if self.artifact else {}), **self.environment}


class ServingModel(Construct):
    """A model and its execution role, which may do what this model needs and nothing else.

    The model is never named: CloudFormation replaces it at every change, and a fixed name would collide with
    the one in service. It is created after the role's policy, so that the first deployment does not race with
    IAM.

    Args:
        containers: What runs: 1 to 15 containers, in order, all on each instance.
        invocation: How requests reach them; needed for two or more, and for them only.
        architecture: The processor that the images are for; the variants that serve the model must have it.
            Default x86-64.
        vpc: Attach the containers to a VPC. Default: SageMaker's own network.
        network_isolation: Cut the containers off from every network; SageMaker itself still loads the
            artifact. Not where an artifact has a ``requirements.txt``. Default off.

    Attributes:
        role: The execution role.
        model: The underlying resource.
        model_name: Reference to the name that CloudFormation gives.
        artifact_uris: S3 URI of each container's artifact; None where there is none.
        containers: As given.
        container_count: How many containers there are.
        container_hostnames: Names of the containers, in order; empty when they have none, or when there is
            only one.
        invocation: As given.
        vpc: As given.
        network_isolation: As given.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        containers: Sequence[Container],
        invocation: ContainerInvocation | None = None,
        architecture: Architecture = Architecture.X86_64,
        vpc: VpcAttachment | None = None,
        network_isolation: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.architecture = architecture
        self.invocation = invocation
        self.vpc = vpc
        self.network_isolation = network_isolation
        self.containers = tuple(containers)
        _check_containers(self.node.path, containers, invocation, network_isolation)
        self.container_count = len(containers)
        several = self.container_count > 1
        self.container_hostnames = [item.hostname for item in containers if item.hostname and several]

        images = [container.image.bind(self, architecture=architecture) for container in containers]
        artifacts = [
            container.artifact.bind(self) if container.artifact else None for container in containers
        ]
        self.artifact_uris = [artifact.model_data_url if artifact else None for artifact in artifacts]

        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description=f"Execution role of {self.node.path}",
        )
        policy = self._policy(images, artifacts, vpc)
        rendered = [_render(*parts) for parts in zip(containers, images, artifacts, strict=True)]
        self.model = sagemaker.CfnModel(
            self,
            "Resource",
            execution_role_arn=self.role.role_arn,
            primary_container=None if several else rendered[0],
            containers=rendered if several else None,
            inference_execution_config=sagemaker.CfnModel.InferenceExecutionConfigProperty(
                mode=str(invocation)  # never left to the default
            )
            if invocation
            else None,
            enable_network_isolation=network_isolation or None,
            vpc_config=vpc.render() if vpc else None,
        )
        self.model.node.add_dependency(policy)
        self.model_name: str = self.model.attr_model_name
        parts = [part for container in containers for part in (container.image, container.artifact)]
        texts = [text for part in [*parts, vpc] if part is not None for text in part.warnings]
        texts += _warnings(containers, invocation)
        for number, text in enumerate(texts):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:model-{number}", text)

    def _policy(
        self,
        images: Sequence[BoundImage],
        artifacts: Sequence[BoundArtifact | None],
        vpc: VpcAttachment | None,
    ) -> iam.Policy:
        stack = cdk.Stack.of(self)
        arns = [image.repository_arn for image in images if image.repository_arn]
        # equal only when resolved: each image makes references of its own
        repositories = list({str(stack.resolve(arn)): arn for arn in arns}.values())
        objects = [artifact.object_arn for artifact in artifacts if artifact]
        keys = [artifact.key_arn for artifact in artifacts if artifact and artifact.key_arn]
        statements = [
            _allow("PullImage", PULL_ACTIONS, repositories),
            _allow("LogInToEcr", ["ecr:GetAuthorizationToken"], ["*"]),
            _allow("LoadModel", ["s3:GetObject"], objects),
            _allow("DecryptModel", ["kms:Decrypt"], keys),
            *(_network_statements(vpc) if vpc else []),
        ]
        policy = iam.Policy(
            self,
            "Policy",
            roles=[self.role],
            statements=[statement for statement in statements if statement is not None],
        )
        wildcards = {"*": _NO_RESOURCE_LEVEL}
        if vpc:
            wildcards[_ec2_arn("network-interface", "*")] = _NEW_INTERFACES
        acknowledge_wildcards(policy, wildcards)
        acknowledge_inline(policy)
        return policy


def acknowledge_inline(policy: iam.Policy) -> None:
    """Accept that a policy is written into its role.

    Args:
        policy: A policy made for one role alone.
    """
    acknowledge(
        policy,
        {"IAMNoInlinePolicy": "Made for this one role and gone with it; nobody can attach it elsewhere."},
    )


_NO_RESOURCE_LEVEL = (
    "ecr:GetAuthorizationToken and the ec2:Describe* calls know no resource to narrow them to "
    "(Service Authorization Reference)."
)
_NEW_INTERFACES = "SageMaker makes the network interfaces; their ids are not known before."


def _check_containers(
    path: str,
    containers: Sequence[Container],
    invocation: ContainerInvocation | None,
    network_isolation: bool,
) -> None:
    findings = Findings(path)
    count = len(containers)
    findings.require(
        1 <= count <= MAX_CONTAINERS,
        "containers",
        f"{count} containers",
        f"a model has 1 to {MAX_CONTAINERS} containers (API shape ContainerDefinitionList)",
        "give containers=[Container(...)]" if not count else f"keep at most {MAX_CONTAINERS}",
    )
    _check_invocation(findings, count, invocation)
    check_environment(findings, [container.all_environment for container in containers])
    for index, container in enumerate(containers):
        if container.hostname is not None:
            check_name(
                findings, f"containers[{index}].hostname", container.hostname, NameKind.CONTAINER_HOSTNAME
            )
    if network_isolation:
        _check_isolation(findings, containers)
    if count > 1:
        _check_hostnames(findings, [container.hostname for container in containers], invocation)
    findings.raise_if_any()


def _check_invocation(findings: Findings, count: int, invocation: ContainerInvocation | None) -> None:
    check_choice(
        findings, "invocation", invocation, ContainerInvocation, source="API shape InferenceExecutionMode"
    )
    findings.require(
        invocation is not None or count < 2,
        "invocation",
        None,
        f"a model with {count} containers needs to know how requests reach them "
        "(API member InferenceExecutionConfig.Mode)",
        "give ContainerInvocation.SERIAL for one after the other, or DIRECT for the one that a request names",
    )
    findings.require(
        invocation is None or count > 1,
        "invocation",
        invocation,
        f"is for models of 2 to {MAX_CONTAINERS} containers, and this one has {count}",
        "leave it out, or give more containers",
    )


def _check_isolation(findings: Findings, containers: Sequence[Container]) -> None:
    for index, container in enumerate(containers):
        installs = container.artifact is not None and container.artifact.needs_network
        findings.require(
            not (installs and isinstance(container.image, FrameworkImage)),
            "network_isolation",
            f"on, with a requirements.txt for containers[{index}]",
            "AWS's images install what it names when the container starts, and there is no network then "
            "(API member CreateModel.EnableNetworkIsolation)",
            "turn it off, or bring an image in which everything is installed",
        )


def _check_hostnames(
    findings: Findings, hostnames: Sequence[str | None], invocation: ContainerInvocation | None
) -> None:
    direct = invocation == ContainerInvocation.DIRECT
    seen: dict[str, int] = {}
    for index, hostname in enumerate(hostnames):
        where = f"containers[{index}].hostname"
        if hostname is None:
            findings.require(
                not direct and not any(hostnames),
                where,
                None,
                "a directly invoked container is called by its hostname, so each needs one (developer guide, "
                "multi-container endpoints)"
                if direct
                else "in a series every container has a hostname or none has (API member "
                "ContainerDefinition.ContainerHostname)",
                "name this container too",
            )
            continue
        first = index if is_token(hostname) else seen.setdefault(hostname, index)
        findings.require(
            first == index,
            where,
            hostname,
            f"containers[{first}] has the same hostname, and a hostname identifies one container",
            "rename one of them",
        )


def _warnings(containers: Sequence[Container], invocation: ContainerInvocation | None) -> list[str]:
    """What is allowed of these containers but should be known."""
    if len(containers) == 1:
        hostname = containers[0].hostname
        only = f"Container {hostname}: SageMaker ignores the hostname of a model's only container."
        return [only] if hostname is not None else []
    own = [item for item in containers if isinstance(item.image, EcrImage | DockerfileImage)]
    texts = []
    if own:
        texts.append(
            f"{len(own)} of the model's containers run images of your own: each must listen on the port in "
            f"SAGEMAKER_BIND_TO_PORT and say so by the label {BIND_TO_PORT_LABEL}=true, or SageMaker refuses "
            "the endpoint."
        )
    if (
        own
        and invocation == ContainerInvocation.SERIAL
        and any(isinstance(item.image, FrameworkImage) for item in containers)
    ):
        texts.append(
            "The series mixes AWS's images and images of your own: the repositories of the latter must let "
            "sagemaker.amazonaws.com pull them (developer guide, troubleshoot inference pipelines)."
        )
    return texts


def _render(
    container: Container, image: BoundImage, artifact: BoundArtifact | None
) -> sagemaker.CfnModel.ContainerDefinitionProperty:
    return sagemaker.CfnModel.ContainerDefinitionProperty(
        image=image.uri,
        model_data_url=artifact.model_data_url if artifact else None,
        environment=container.all_environment or None,
        container_hostname=container.hostname,
    )


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> iam.PolicyStatement | None:
    if not resources:
        return None
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources))


def _ec2_arn(kind: str, name: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:ec2:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{kind}/{name}"


def _network_statements(vpc: VpcAttachment) -> list[iam.PolicyStatement]:
    interfaces = _ec2_arn("network-interface", "*")
    attached = [_ec2_arn("subnet", name) for name in vpc.subnet_ids]
    attached += [_ec2_arn("security-group", name) for name in vpc.security_group_ids]
    return [
        iam.PolicyStatement(
            sid="MakeNetworkInterfaces",
            actions=["ec2:CreateNetworkInterface"],
            resources=[interfaces, *attached],
        ),
        iam.PolicyStatement(
            sid="UseNetworkInterfaces",
            actions=[
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=[interfaces],
        ),
        iam.PolicyStatement(
            sid="LookAtNetwork",
            actions=[
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
        ),
    ]
