"""Typed settings of a model: what runs, where its data comes from, and what network it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from aws_cdk import aws_ecr as ecr
from pydantic import Field

from constructs import Construct
from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.images import ContainerImage, DockerfileImage, EcrImage, FrameworkImage, Processor
from sagemaker_serving.instances import Accelerator, Architecture, InstanceType
from sagemaker_serving.model import MAX_CONTAINERS, Container, ContainerInvocation, ServingModel
from sagemaker_serving.naming import NameKind, check_name, free_id
from sagemaker_serving.network import VpcAttachment
from sagemaker_serving.variants import InstanceVariant

from .settings import ContainerAlarmSettings, GuardedEndpointSettings, Seconds, Section, check_made

FRAMEWORKS = {
    "scikit-learn": FrameworkImage.sklearn,
    "xgboost": FrameworkImage.xgboost,
    "pytorch": FrameworkImage.pytorch,
    "huggingface": FrameworkImage.huggingface,
}


def framework_image(framework: str, version: str, instance: InstanceType | None) -> FrameworkImage:
    """AWS's image for an instance type's processor, or for serverless.

    Args:
        framework: One of `FRAMEWORKS`.
        version: The framework's.
        instance: None for no instances.

    Raises:
        InvalidConfiguration: There is no such image.
    """
    if instance is None:
        processor = Processor.CPU
    elif instance.accelerator is Accelerator.GPU:
        processor = Processor.GPU
    elif instance.architecture is Architecture.ARM64:
        processor = Processor.GRAVITON
    else:
        processor = Processor.CPU
    return FRAMEWORKS[framework](version=version, processor=processor)


@contextmanager
def noted_image(findings: Findings, prefix: str, *, instance_key: str) -> Iterator[None]:
    """Within it, what AWS's image has against an instance type is noted, and not raised.

    Args:
        findings: Where it is noted.
        prefix: Where the section with the image is.
        instance_key: Where the instance type is.
    """
    keys = {"version": f"{prefix}.framework_version", "processor": instance_key}
    try:
        yield
    except InvalidConfiguration as error:
        findings.found += [replace(found, field=keys.get(found.field, prefix)) for found in error.findings]


class VpcSettings(Section):
    """Where a model's containers are attached."""

    subnet_ids: list[str]
    security_group_ids: list[str]

    def build(self) -> VpcAttachment:
        """As `ServingModel` takes it."""
        return VpcAttachment(subnet_ids=self.subnet_ids, security_group_ids=self.security_group_ids)


class ContainerSettings(Section):
    """What a container runs: an image, and the model's data.

    The image is one of AWS's (``framework`` and ``framework_version``), one in ECR (``ecr_repository`` and
    ``ecr_tag``), or built from the Dockerfile in a folder (``dockerfile_directory``). The data comes from a
    ``directory``, with ``shared_directories`` laid over it, or from an ``s3_uri``; an image of your own may
    bring it along instead. ``startup_timeout_seconds`` and ``least_memory_mb`` are what it needs where a
    pattern can choose them; ``made_by`` is the command that makes its directory, if it is not committed.
    """

    directory: str | None = None
    shared_directories: Sequence[str] = ()
    s3_uri: str | None = None
    framework: Literal["scikit-learn", "xgboost", "pytorch", "huggingface"] | None = None
    framework_version: str | None = None
    ecr_repository: str | None = None
    ecr_tag: str | None = None
    dockerfile_directory: str | None = None
    environment: Mapping[str, str] = {}
    startup_timeout_seconds: Seconds | None = None
    least_memory_mb: Annotated[int, Field(gt=0)] | None = None
    made_by: str | None = None

    def build(self) -> None:
        """Refuse what cannot be a container; `container` makes it."""
        findings = Findings("model")
        images = [self.framework, self.ecr_repository, self.dockerfile_directory]
        findings.require(
            sum(image is not None for image in images) == 1,
            "framework",
            self.framework,
            "the image is one of framework, ecr_repository and dockerfile_directory",
            "give exactly one of the three",
        )
        for key, value, with_key, with_value in (
            ("framework_version", self.framework_version, "framework", self.framework),
            ("ecr_tag", self.ecr_tag, "ecr_repository", self.ecr_repository),
        ):
            findings.require(
                # without any image the one above says it all
                (value is None) == (with_value is None) or not any(images),
                key,
                value,
                f"{key} and {with_key} belong together",
                f"give both, or neither; {with_key} is {with_value!r}",
            )
        given = [place for place in (self.directory, self.s3_uri) if place is not None]
        placed = findings.require(
            len(given) == 1 or (not given and self.framework is None),
            "directory",
            self.directory,
            "a model comes from either a directory or an s3_uri; only an image of your own can bring it",
            "give one of the two",
        )
        findings.require(
            # without a place for the data the one above says it all
            self.directory is not None or not self.shared_directories or not placed,
            "shared_directories",
            self.shared_directories,
            "are laid over the model's directory, and there is none",
            "give a directory too, or remove them",
        )
        findings.raise_if_any()

    def container(
        self, scope: Construct, root: Path, instance: InstanceType | None, *, hostname: str | None = None
    ) -> Container:
        """As `ServingModel` takes it.

        Args:
            scope: Where a reference to an ECR repository is made.
            root: What directories are relative to.
            instance: What it will run on; None for no instances (serverless).
            hostname: Its name among the containers of one model. Default: none.
        """
        return Container(
            image=self._image(scope, root, instance),
            artifact=self._artifact(root),
            environment=self.environment,
            hostname=hostname,
        )

    def check_image(
        self, findings: Findings, prefix: str, instance: InstanceType | None, *, instance_key: str
    ) -> None:
        """Note what AWS's image has against an instance type.

        Args:
            findings: Where to note it.
            prefix: Where this section is.
            instance: What the container will run on; None for no instances.
            instance_key: Where the instance type is.
        """
        with noted_image(findings, prefix, instance_key=instance_key):
            self.framework_image(instance)

    def _artifact(self, root: Path) -> ModelArtifact | None:
        # an image of your own need not have AWS's handler program
        program = "inference.py" if self.framework else None
        if self.s3_uri is not None:
            return ModelArtifact.from_s3_uri(self.s3_uri, program=program)
        if self.directory is not None:
            check_made("model", root, [self.directory], self.made_by)
            return ModelArtifact.from_directory(
                root / self.directory, shared=[root / folder for folder in self.shared_directories]
            )
        return None

    def framework_image(self, instance: InstanceType | None) -> FrameworkImage | None:
        """AWS's image for an instance type's processor, or for serverless; None for an image of your own."""
        if self.framework is None:
            return None
        return framework_image(self.framework, str(self.framework_version), instance)

    def _image(self, scope: Construct, root: Path, instance: InstanceType | None) -> ContainerImage:
        if image := self.framework_image(instance):
            return image
        if self.ecr_repository is not None:
            repository = ecr.Repository.from_repository_name(
                scope, free_id(scope, "Repository"), self.ecr_repository
            )
            return EcrImage(repository, str(self.ecr_tag))
        return DockerfileImage(root / str(self.dockerfile_directory))


class NetworkSettings(Section):
    """What network the containers of a model see."""

    network_isolation: bool = False
    vpc: VpcSettings | None = None

    def vpc_attachment(self) -> VpcAttachment | None:
        """As `ServingModel` takes it."""
        return self.vpc.build() if self.vpc else None


class ModelSettings(ContainerSettings, NetworkSettings):
    """What a variant serves: one container, and what network it sees."""

    def serving_model(
        self, scope: Construct, id_: str, *, root: Path, instance: InstanceType | None
    ) -> ServingModel:
        """The model.

        Args:
            scope: Where it is made.
            id_: Its construct id.
            root: What directories are relative to.
            instance: What it will run on; None for no instances (serverless).
        """
        return ServingModel(
            scope,
            id_,
            containers=[self.container(scope, root, instance)],
            architecture=(instance.architecture if instance else None) or Architecture.X86_64,
            vpc=self.vpc_attachment(),
            network_isolation=self.network_isolation,
        )


class SeveralContainersSettings(GuardedEndpointSettings, NetworkSettings):
    """What patterns have whose model is several containers: these by hostname, in order."""

    containers: dict[str, ContainerSettings]
    alarms: ContainerAlarmSettings = ContainerAlarmSettings()

    def check(self, findings: Findings, variant: InstanceVariant) -> None:
        """See `GuardedEndpointSettings.check`; and there are 2 to 15, with legal names and fitting images."""
        super().check(findings, variant)
        count = len(self.containers)
        findings.require(
            2 <= count <= MAX_CONTAINERS,
            "containers",
            f"{count} container{'' if count == 1 else 's'}",
            f"this pattern's model has 2 to {MAX_CONTAINERS} containers (API shape ContainerDefinitionList)",
            f"keep at most {MAX_CONTAINERS}"
            if count > MAX_CONTAINERS
            else "add one; realtime is for one alone",
        )
        for hostname, container in self.containers.items():
            place = f"containers.{hostname}"
            check_name(findings, place, hostname, NameKind.CONTAINER_HOSTNAME)
            container.check_image(findings, place, variant.instance, instance_key="endpoint.instance_type")

    def serving_model(
        self,
        scope: Construct,
        id_: str,
        *,
        root: Path,
        instance: InstanceType,
        invocation: ContainerInvocation,
    ) -> ServingModel:
        """The model.

        Args:
            scope: Where it is made.
            id_: Its construct id.
            root: What directories are relative to.
            instance: What it will run on.
            invocation: How requests reach the containers.
        """
        return ServingModel(
            scope,
            id_,
            containers=[
                container.container(scope, root, instance, hostname=hostname)
                for hostname, container in self.containers.items()
            ],
            invocation=invocation,
            architecture=instance.architecture or Architecture.X86_64,
            vpc=self.vpc_attachment(),
            network_isolation=self.network_isolation,
        )
