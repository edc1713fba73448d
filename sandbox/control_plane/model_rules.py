"""Rules of CreateModel beyond the shapes (sagemaker-rules 1.1, 1.2, 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.store import Params
from sandbox.validation import raise_findings

_ENVIRONMENT_BYTES = (
    32 * 1024
)  # ContainerDefinition.Environment: keys and values of all containers of a model


def check_model(model: Params) -> None:
    """Check a request of CreateModel.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    findings = [*_structure(model)]
    for where, container in named_containers(model):
        findings += [f"{where}: {finding}" for finding in _container(container, "VpcConfig" in model)]
    size = sum(
        len(key.encode()) + len(value.encode())
        for _, container in named_containers(model)
        for key, value in container.get("Environment", {}).items()
    )
    if size > _ENVIRONMENT_BYTES:
        findings.append(
            f"the environment variables of all containers take {size} bytes; {_ENVIRONMENT_BYTES} are allowed"
        )
    raise_findings(findings)


def named_containers(model: Params) -> list[tuple[str, Params]]:
    """The containers of a model in order, each with its place in the request."""
    primary = [("primaryContainer", model["PrimaryContainer"])] if "PrimaryContainer" in model else []
    numbered = enumerate(model.get("Containers", []), start=1)
    return primary + [(f"containers.{number}.member", container) for number, container in numbered]


def _structure(model: Params) -> Iterator[str]:
    containers = model.get("Containers", [])
    if "PrimaryContainer" in model and containers:
        yield "a model has either PrimaryContainer or Containers, not both"
    elif "PrimaryContainer" not in model and not containers:
        yield "a model needs PrimaryContainer or Containers"
    mode = model.get("InferenceExecutionConfig", {}).get("Mode")
    if mode and not containers:
        yield "InferenceExecutionConfig is for models with Containers"
    hostnames = [
        container["ContainerHostname"] for container in containers if "ContainerHostname" in container
    ]
    if mode == "Direct" and len(containers) < 2:
        yield "InferenceExecutionConfig.Mode Direct needs at least two Containers"
    if (mode == "Direct" or hostnames) and len(hostnames) < len(containers):
        yield "every container of Containers needs ContainerHostname: the mode is Direct, or one has it"
    repeated = sorted({name for name in hostnames if hostnames.count(name) > 1})
    if repeated:
        yield f"ContainerHostname must be unique among the Containers; repeated: {', '.join(repeated)}"
    if sum(container.get("Mode") == "MultiModel" for container in containers) > 1:
        yield "More than one container in MultiModel mode is not supported with inference pipeline"


def _container(container: Params, has_vpc: bool) -> Iterator[str]:
    if "Image" not in container and "ModelPackageName" not in container:
        yield "a container needs Image or ModelPackageName"
    yield from _model_data(container)
    image = container.get("ImageConfig", {})
    if image.get("RepositoryAccessMode") == "Vpc" and not has_vpc:
        yield "ImageConfig.RepositoryAccessMode Vpc needs the model's VpcConfig"
    if "RepositoryAuthConfig" in image and image["RepositoryAccessMode"] != "Vpc":
        yield "ImageConfig.RepositoryAuthConfig is allowed only with RepositoryAccessMode Vpc"


def _model_data(container: Params) -> Iterator[str]:
    multi_model = container.get("Mode") == "MultiModel"
    url = container.get("ModelDataUrl")
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if url and source:
        yield "ModelDataUrl and ModelDataSource exclude each other"
    # assets of the CDK are named <hash>.gz
    if url and not multi_model and not url.endswith(".gz"):
        yield f"ModelDataUrl must name one .tar.gz object, not {url!r}"
    if multi_model and source:
        yield "Mode MultiModel takes its models from ModelDataUrl, not from ModelDataSource"
    if multi_model and not url:
        yield "Mode MultiModel needs ModelDataUrl, the S3 prefix of its models"
    if "MultiModelConfig" in container and not multi_model:
        yield "MultiModelConfig is for containers with Mode MultiModel"
    if source and source["S3DataType"] == "S3Prefix":
        if not source["S3Uri"].endswith("/"):
            yield f"with S3DataType S3Prefix the S3Uri must end in a slash, not {source['S3Uri']!r}"
        if source["CompressionType"] == "Gzip":
            yield "CompressionType Gzip is for S3DataType S3Object"
