"""A SageMaker model: what runs, on whose behalf, and with which permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker

from constructs import Construct

from .acknowledgements import acknowledge, acknowledge_wildcards
from .artifacts import BoundArtifact, ModelArtifact
from .errors import Findings
from .images import BoundImage, ContainerImage
from .instances import Architecture
from .naming import NameKind, check_environment, check_name
from .network import VpcAttachment


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a model (API shape ContainerDefinition).

    Args:
        image: What to run: a framework image of AWS's, an image in an ECR repository, or a Dockerfile.
        artifact: The model's data and code; None for an image that brings its own.
        environment: Variables for the container. They win over those that the artifact sets.
        hostname: Name of the container within the model; SageMaker's choice when None.
    """

    image: ContainerImage
    artifact: ModelArtifact | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    hostname: str | None = None


class ServingModel(Construct):
    """A model and its execution role, which may do what this model needs and nothing else.

    The model is never named: CloudFormation replaces it at every change, and a fixed name would collide with
    the one in service. It is created after the role's policy, so that the first deployment does not race with
    IAM.

    Args:
        containers: What runs; one container.
        architecture: The processor that the images are for; the variants that serve the model must have it.
            Default x86-64.
        vpc: Attach the containers to a VPC. Default: SageMaker's own network.
        network_isolation: Cut the containers off from every network; SageMaker itself still loads the
            artifact. Default off.

    Attributes:
        role: The execution role.
        model: The underlying resource.
        model_name: Reference to the name that CloudFormation gives.
        artifact_uris: S3 URI of each container's artifact; None where there is none.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        containers: Sequence[Container],
        architecture: Architecture = Architecture.X86_64,
        vpc: VpcAttachment | None = None,
        network_isolation: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.architecture = architecture
        _check_containers(self.node.path, containers)

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
            primary_container=rendered[0],
            enable_network_isolation=network_isolation or None,
            vpc_config=vpc.render() if vpc else None,
        )
        self.model.node.add_dependency(policy)
        self.model_name: str = self.model.attr_model_name
        parts = [part for container in containers for part in (container.image, container.artifact)]
        texts = [text for part in [*parts, vpc] if part is not None for text in part.warnings]
        for number, text in enumerate(texts):
            cdk.Annotations.of(self).add_warning_v2(f"sagemaker-serving:model-{number}", text)

    def _policy(
        self,
        images: Sequence[BoundImage],
        artifacts: Sequence[BoundArtifact | None],
        vpc: VpcAttachment | None,
    ) -> iam.Policy:
        repositories = sorted({image.repository_arn for image in images if image.repository_arn})
        objects = [artifact.object_arn for artifact in artifacts if artifact]
        keys = [artifact.key_arn for artifact in artifacts if artifact and artifact.key_arn]
        statements = [
            _allow("PullImage", _PULL_ACTIONS, repositories),
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


_PULL_ACTIONS = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_NO_RESOURCE_LEVEL = (
    "ecr:GetAuthorizationToken and the ec2:Describe* calls know no resource to narrow them to "
    "(Service Authorization Reference)."
)
_NEW_INTERFACES = "SageMaker makes the network interfaces; their ids are not known before."


def _check_containers(path: str, containers: Sequence[Container]) -> None:
    findings = Findings(path)
    findings.require(
        len(containers) == 1,
        "containers",
        f"{len(containers)} containers",
        "a model of this library has one container",
        "give containers=[Container(...)] with one entry",
    )
    check_environment(findings, [container.environment for container in containers])
    for index, container in enumerate(containers):
        if container.hostname is not None:
            check_name(
                findings, f"containers[{index}].hostname", container.hostname, NameKind.CONTAINER_HOSTNAME
            )
    findings.raise_if_any()


def _render(
    container: Container, image: BoundImage, artifact: BoundArtifact | None
) -> sagemaker.CfnModel.ContainerDefinitionProperty:
    environment = {**(artifact.environment if artifact else {}), **container.environment}
    return sagemaker.CfnModel.ContainerDefinitionProperty(
        image=image.uri,
        model_data_url=artifact.model_data_url if artifact else None,
        environment=environment or None,
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
