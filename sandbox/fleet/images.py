"""What the sandbox runs for a container image: AWS's framework images, as processes on this Python.

The repository's name tells the framework, and the framework which packages the model's code can import.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from sandbox.fleet.failures import FleetFailed
from sandbox.syntax import parse_module


@dataclass(frozen=True)
class Framework:
    """A framework whose inference image runs handler functions.

    Args:
        name: Short name; the model server takes the image's default handlers from it.
        packages: Distribution name by the module that the image lets a model import.
    """

    name: str
    packages: dict[str, str]


_SCIKIT_LEARN = Framework("sklearn", {"sklearn": "scikit-learn"})
_XGBOOST = Framework("xgboost", {"xgboost": "xgboost"})
_PYTORCH = Framework("pytorch", {"torch": "torch"})
_HUGGING_FACE = Framework("huggingface", {"torch": "torch", "transformers": "transformers"})

FRAMEWORKS = {
    "sagemaker-scikit-learn": _SCIKIT_LEARN,
    "sagemaker-xgboost": _XGBOOST,
    "pytorch-inference": _PYTORCH,
    "pytorch-inference-arm64": _PYTORCH,
    "pytorch-inference-graviton": _PYTORCH,
    "huggingface-pytorch-inference": _HUGGING_FACE,
    "huggingface-pytorch-inference-arm64": _HUGGING_FACE,
    "mxnet-inference": Framework("mxnet", {"mxnet": "mxnet"}),
}
"""Framework by the name of its image's repository."""

# they start a server of their own instead of handler functions, so that there is nothing to run here
_OWN_SERVER = {
    "djl-inference": "DJL Serving",
    "djl-serving": "DJL Serving",
    "vllm": "vLLM",
    "hf-vllm": "vLLM",
    "huggingface-vllm": "vLLM",
    "sglang": "SGLang",
    "huggingface-pytorch-tgi-inference": "Text Generation Inference",
    "tei": "Text Embeddings Inference",
    "tei-cpu": "Text Embeddings Inference",
    "tensorflow-inference": "TensorFlow Serving",
    "tensorflow-inference-graviton": "TensorFlow Serving",
    "sagemaker-tritonserver": "Triton",
    "sagemaker-sparkml-serving": "the SparkML server",
}

# developer guide, multi-container-direct and inference-pipeline-real-time
_PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"


def framework_of(image: str, *, among_several: bool = False) -> Framework:
    """The framework of an image.

    Args:
        image: The image's URI.
        among_several: The container is one of several, for which images need a label; AWS's framework images
            have it.

    Raises:
        FleetFailed: The sandbox does not run the image.
    """
    repository = repository_of(image)
    if repository in _OWN_SERVER:
        raise FleetFailed(
            f"The sandbox does not run image {image}: it starts {_OWN_SERVER[repository]} instead of handler "
            f"functions. Deploy this model to AWS, or use an image of {_known()}."
        )
    framework = FRAMEWORKS.get(repository)
    if framework is None:
        label = (
            f" On AWS, too, it serves beside other containers only with the Docker label {_PORT_LABEL}."
            if among_several
            else ""
        )
        raise FleetFailed(
            f"The sandbox does not run image {image}: it runs AWS's framework images ({_known()}), "
            "not images built from a Dockerfile, which it runs as Lambda functions only. "
            f"Use one of these with your code in the model's archive, or deploy this model to AWS.{label}"
        )
    return framework


def missing_packages(framework: Framework, code: Path) -> list[str]:
    """What an image brings along, a model's code imports, and this environment does not have.

    A model that uses nothing of its image's framework runs without it: the framework is large, and a laptop
    need not have it.

    Args:
        framework: The image's.
        code: Folder of the model's code.

    Returns:
        Names of distributions.
    """
    # what was installed since the last look is seen: finders look at the folder's time. Not by
    # importlib.invalidate_caches, which fails when another thread imports something at the same moment.
    imported = {name for path in code.rglob("*.py") for name in _imports(path)}
    return [
        package
        for module, package in framework.packages.items()
        if module in imported and importlib.util.find_spec(module) is None
    ]


def _imports(path: Path) -> Iterator[str]:
    """Top-level modules that a file imports; a file that is no Python imports nothing."""
    try:
        tree = parse_module(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def missing_requirements(requirements: Path) -> list[str]:
    """Lines of a requirements.txt that this environment does not meet.

    SageMaker's framework images install code/requirements.txt when they start; the sandbox only compares.
    Options and nested files are passed over.
    """
    if not requirements.is_file():
        return []
    lines = (line.split(" #")[0].strip() for line in requirements.read_text("utf-8", "replace").splitlines())
    return [line for line in lines if line and line[0] not in "#-" and not _is_met(line)]


def resolved_image(image: str) -> str:
    """The image as DescribeEndpoint's ResolvedImage: by digest, which here is one of the name."""
    name = image.split("@")[0]
    path, _, last = name.rpartition("/")
    repository = "/".join(part for part in (path, last.split(":")[0]) if part)
    return f"{repository}@sha256:{sha256(image.encode()).hexdigest()}"


def repository_of(image: str) -> str:
    """Name of the repository in an image's URI."""
    return image.split("@")[0].rsplit("/", 1)[-1].split(":")[0]


def _known() -> str:
    return ", ".join(name for name in FRAMEWORKS if not name.endswith(("-arm64", "-graviton")))


def _is_met(line: str) -> bool:
    try:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False
