"""Container images: AWS's framework images, an image in ECR, or a Dockerfile."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aws_cdk as cdk

from constructs import Construct

from .errors import Findings, is_token
from .instances import Architecture
from .limits import check_choice, suggest
from .naming import free_id

if TYPE_CHECKING:
    from aws_cdk import aws_ecr as ecr

MAX_IMAGE_LENGTH = 255
"""Characters in an image's URI (API shape ContainerImage)."""


@dataclass(frozen=True, kw_only=True)
class BoundImage:
    """An image as a model uses it.

    Args:
        uri: What SageMaker pulls (API member ContainerDefinition.Image).
        repository_arn: The repository to grant the pull on.
    """

    uri: str
    repository_arn: str | None


class ContainerImage(Protocol):
    """Something that a container can run."""

    @property
    def architecture(self) -> Architecture | None:
        """What the image is built for; None when that is not known, or is decided when it is bound."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but should be known."""
        ...

    def bind(self, scope: Construct, *, architecture: Architecture | None = None) -> BoundImage:
        """Make what the image needs in a construct tree.

        Args:
            scope: The model's construct.
            architecture: That of the instances which will run the image; None when it is not known.

        Raises:
            InvalidConfiguration: The image is not built for that architecture, or not offered in the Region.
        """
        ...


PULL_ACTIONS = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
"""What SageMaker needs of an image's repository, besides logging in to ECR."""


class Processor(StrEnum):
    """What a framework image is built for."""

    CPU = "cpu"
    GPU = "gpu"
    GRAVITON = "graviton"


@dataclass(frozen=True)
class FrameworkImage:
    """One of AWS's own images; made by `sklearn`, `xgboost`, `pytorch` or `huggingface`.

    Versions, processors and Regions are those of the SageMaker Python SDK (table ``images.json``, written by
    ``tools/generate_images.py``).

    Args:
        framework: ``sklearn``, ``xgboost``, ``pytorch`` or ``huggingface``.
        version: One of the table's, for example ``1.4-2-py312``. The end may be left out (``1.4-2``,
            ``2.6``); the newest one that begins so is taken.
        processor: Default CPU, that is, x86-64 without an accelerator.

    Raises:
        InvalidConfiguration: There is no such image.
    """

    framework: str
    version: str
    processor: Processor = Processor.CPU

    def __post_init__(self) -> None:
        findings = Findings(f"FrameworkImage.{self.framework}")
        check_choice(findings, "processor", self.processor, Processor, source="SageMaker's framework images")
        versions = _frameworks().get(self.framework, {})
        findings.require(
            bool(versions),
            "framework",
            self.framework,
            "is not in the table",
            suggest(self.framework, _frameworks()),
        )
        findings.raise_if_any()
        key = _resolve_version(self.version, versions)
        findings.require(
            key is not None,
            "version",
            self.version,
            f"AWS offers no such {self.framework} image for inference",
            f"use one of {', '.join(sorted(versions, key=_number))}",
        )
        findings.raise_if_any()
        offered = versions[str(key)]
        findings.require(
            self.processor in offered,
            "processor",
            str(self.processor),
            f"{self.framework} {self.version} is built for {', '.join(offered)} only",
            _other_versions(str(self.processor), versions),
        )
        findings.raise_if_any()
        object.__setattr__(self, "version", key)

    @classmethod
    def sklearn(cls, version: str = "1.4-2", *, processor: Processor = Processor.CPU) -> FrameworkImage:
        """Scikit-learn, and what comes with it: numpy, pandas, scipy.

        Args:
            version: Default 1.4-2 (Python 3.12).
            processor: CPU; Graviton only with 1.0-1.
        """
        return cls("sklearn", version, processor)

    @classmethod
    def xgboost(cls, version: str = "3.2-0", *, processor: Processor = Processor.CPU) -> FrameworkImage:
        """XGBoost.

        Args:
            version: Default 3.2-0.
            processor: CPU; Graviton only with 1.5-1.
        """
        return cls("xgboost", version, processor)

    @classmethod
    def pytorch(cls, version: str = "2.6", *, processor: Processor = Processor.CPU) -> FrameworkImage:
        """PyTorch with TorchServe.

        Args:
            version: Default 2.6, the last one with TorchServe.
            processor: CPU, GPU or Graviton.
        """
        return cls("pytorch", version, processor)

    @classmethod
    def huggingface(cls, version: str = "4.51", *, processor: Processor = Processor.CPU) -> FrameworkImage:
        """Hugging Face Transformers on PyTorch.

        Args:
            version: Of Transformers. Default 4.51.
            processor: CPU or GPU.
        """
        return cls("huggingface", version, processor)

    @property
    def architecture(self) -> Architecture:
        """What the image is built for."""
        return Architecture.ARM64 if self.processor == Processor.GRAVITON else Architecture.X86_64

    @property
    def warnings(self) -> tuple[str, ...]:
        """That AWS patches the image no more, when it does not."""
        note = _end_of_patches(self.framework, self.version)
        return (f"The {self.framework} {self.version} image: {note}",) if note else ()

    @property
    def repository(self) -> str:
        """Name of the ECR repository, for example ``sagemaker-scikit-learn``."""
        return str(self._entry["repository"])

    @property
    def tag(self) -> str:
        """The image's tag, for example ``1.4-2-py312-cpu-py3``."""
        return str(self._entry["tag"])

    @property
    def accounts(self) -> Mapping[str, str]:
        """Region to the account that publishes the image there."""
        missing = self._entry.get("not_in", [])
        registry = _table()["registries"][self._entry["publisher"]]
        return {region: account for region, account in registry.items() if region not in missing}

    def bind(self, scope: Construct, *, architecture: Architecture | None = None) -> BoundImage:
        """See `ContainerImage.bind`."""
        stack = cdk.Stack.of(scope)
        region = stack.region
        findings = Findings(f"{scope.node.path}: FrameworkImage.{self.framework}")
        _check_architecture(findings, self, architecture, "processor")
        findings.require(
            is_token(region) or region in self.accounts,
            "region",
            region,
            f"{self.framework} {self.version} for {self.processor} is not offered there",
            f"deploy to one of {', '.join(sorted(self.accounts))}",
        )
        findings.raise_if_any()
        account = self._account_by_region(stack) if is_token(region) else self.accounts[region]
        return BoundImage(
            uri=f"{account}.dkr.ecr.{region}.{stack.url_suffix}/{self.repository}:{self.tag}",
            repository_arn=f"arn:{stack.partition}:ecr:{region}:{account}:repository/{self.repository}",
        )

    @property
    def _entry(self) -> Mapping[str, Any]:
        return _frameworks()[self.framework][self.version][self.processor]

    def _account_by_region(self, stack: cdk.Stack) -> str:
        """A look-up at deployment, for a stack that does not know its Region yet."""
        version = re.sub(r"[^0-9A-Za-z]", "x", self.version)
        id_ = f"{self.framework.title()}{version}{self.processor.title()}Accounts"
        mapping = stack.node.try_find_child(id_)
        if not isinstance(mapping, cdk.CfnMapping):
            mapping = cdk.CfnMapping(
                stack,
                id_,
                mapping={region: {"account": account} for region, account in self.accounts.items()},
            )
        return mapping.find_in_map(cdk.Aws.REGION, "account")


@dataclass(frozen=True)
class EcrImage:
    """An image in an ECR repository of the same Region.

    Args:
        repository: The repository.
        tag_or_digest: A tag, or ``sha256:...``; may be a token. A digest is better: under a tag that moves,
            CloudFormation sees no change and the endpoint keeps the old image.
        architecture: What the image is built for, so that it can be compared with the instances. Default: not
            known, and not compared.

    Raises:
        InvalidConfiguration: The tag or digest is not legal.
    """

    repository: ecr.IRepository
    tag_or_digest: str
    architecture: Architecture | None = None

    def __post_init__(self) -> None:
        findings = Findings("EcrImage")
        findings.require(
            lambda: (
                isinstance(self.tag_or_digest, str)
                and _TAG_OR_DIGEST.fullmatch(self.tag_or_digest) is not None
            ),
            "tag_or_digest",
            self.tag_or_digest,
            "must be a tag (up to 128 letters, digits, and . _ - after the first) or a sha256 digest",
            "give for example '1.0.3', or 'sha256:' and 64 hexadecimal digits",
        )
        findings.raise_if_any()

    @property
    def warnings(self) -> tuple[str, ...]:
        """That ``latest`` moves."""
        if self.tag_or_digest != "latest":
            return ()
        return (
            "The tag `latest` moves, but CloudFormation sees no change, so the endpoint keeps the old image. "
            "Use a digest or a tag that names one build.",
        )

    def bind(self, scope: Construct, *, architecture: Architecture | None = None) -> BoundImage:
        """See `ContainerImage.bind`."""
        findings = Findings(f"{scope.node.path}: EcrImage")
        _check_architecture(findings, self, architecture, "architecture")
        here, there = cdk.Stack.of(scope).region, self.repository.env.region
        findings.require(
            is_token(here) or is_token(there) or here == there,
            "repository",
            f"in {there}",
            f"the model is in {here}, and SageMaker pulls images from its own Region only",
            "replicate the repository to that Region",
        )
        uri = self.repository.repository_uri_for_tag_or_digest(self.tag_or_digest)
        _check_length(findings, uri)
        findings.raise_if_any()
        return BoundImage(uri=uri, repository_arn=self.repository.repository_arn)


@dataclass(frozen=True)
class DockerfileImage:
    """An image that the CDK builds from a Dockerfile and pushes when it deploys: bring your own container.

    Args:
        directory: The build context.
        platform: What to build for. Default: what the instances need.
        file: Path of the Dockerfile within the directory. Default ``Dockerfile``.

    Raises:
        InvalidConfiguration: There is no such directory or Dockerfile.
    """

    directory: str | Path
    platform: Architecture | None = None
    file: str = "Dockerfile"

    def __post_init__(self) -> None:
        findings = Findings("DockerfileImage")
        directory = Path(self.directory)
        exists = findings.require(
            directory.is_dir(), "directory", str(directory), "is not a directory", "give the build context"
        )
        if exists:
            findings.require(
                (directory / self.file).is_file(),
                "file",
                self.file,
                f"{directory} has no such file",
                "add it, or name the Dockerfile with file=",
            )
        findings.raise_if_any()

    @property
    def architecture(self) -> Architecture | None:
        """What the image is built for."""
        return self.platform

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nothing to know."""
        return ()

    def bind(self, scope: Construct, *, architecture: Architecture | None = None) -> BoundImage:
        """See `ContainerImage.bind`."""
        # Here, because only this kind of image needs the module and its import is not free.
        from aws_cdk import aws_ecr_assets as assets

        findings = Findings(f"{scope.node.path}: DockerfileImage")
        _check_architecture(findings, self, architecture, "platform")
        findings.raise_if_any()
        # Without a word the build would be for the machine it runs on, whatever that is.
        target = self.platform or architecture or Architecture.X86_64
        is_arm = target is Architecture.ARM64
        asset = assets.DockerImageAsset(
            scope,
            free_id(scope, "Image"),
            directory=str(self.directory),
            file=self.file,
            platform=assets.Platform.LINUX_ARM64 if is_arm else assets.Platform.LINUX_AMD64,
        )
        return BoundImage(uri=asset.image_uri, repository_arn=asset.repository.repository_arn)


_TAG_OR_DIGEST = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}|sha256:[0-9a-f]{64}")

# AWS Deep Learning Containers support policy: framework -> the first version that is patched, the last day on
# which older ones were, and what to do. A framework that the policy does not list is not here.
_END_OF_PATCHES = {
    "pytorch": ("2.7", "2026-06-30", "PyTorch 2.6 was the last with TorchServe; bring your own container"),
    "xgboost": ("3.2", "2026-11-17", "use 3.2-0"),
}


def _end_of_patches(framework: str, version: str) -> str:
    if framework not in _END_OF_PATCHES:
        return ""
    patched, last_day, advice = _END_OF_PATCHES[framework]
    if _number(version) >= _number(patched):
        return ""
    return f"AWS ended security patches on {last_day} or before; {advice}."


def _check_architecture(
    findings: Findings, image: ContainerImage, architecture: Architecture | None, field: str
) -> None:
    built_for = image.architecture
    if built_for is None or architecture is None:
        return
    findings.require(
        built_for == architecture,
        field,
        str(built_for),
        f"{type(image).__name__} is built for {built_for}, but the instances are {architecture}",
        "use an image and instance types of one architecture: Graviton families such as ml.c7g are arm64",
    )


def _check_length(findings: Findings, uri: str) -> None:
    known = re.sub(r"\$\{Token\[[^]]*\]\}", "", uri)
    findings.require(
        len(known) <= MAX_IMAGE_LENGTH,
        "image",
        f"{known[:40]}... ({len(known)} characters)",
        f"an image's URI has at most {MAX_IMAGE_LENGTH} characters (API shape ContainerImage)",
        "use a shorter repository name or tag",
    )


def _resolve_version(version: object, versions: Mapping[str, object]) -> str | None:
    """The table's name for a version that may leave out what is clear."""
    if not isinstance(version, str):
        return None
    if version in versions:
        return version
    if "." not in version:
        return None
    longer = [known for known in versions if known.startswith((f"{version}.", f"{version}-"))]
    return max(longer, key=_number, default=None)


def _other_versions(processor: str, versions: Mapping[str, Mapping[str, object]]) -> str:
    having = [version for version, offered in versions.items() if processor in offered]
    if having:
        return f"use version {' or '.join(having)}, or another processor"
    return "use another processor, and instances that have it"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-py")[0]))


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(resources.files(__package__).joinpath("images.json").read_text(encoding="utf-8")))


def _frameworks() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    return dict(_table()["images"])
