"""Container images: which exist, for which Region and processor, and what a model gets to know of each."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr
from aws_cdk.assertions import Template

from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.images import DockerfileImage, EcrImage, FrameworkImage, Processor
from sagemaker_serving.instances import Architecture

ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((ROOT / "constructs" / "sagemaker_serving" / "images.json").read_text())
SEOUL = cdk.Environment(account="111122223333", region="ap-northeast-2")
EVERY_IMAGE = [
    (framework, version, processor)
    for framework, versions in TABLE["images"].items()
    for version, processors in versions.items()
    for processor in processors
]


def resolved(stack: cdk.Stack, text: str) -> str:
    """A text as it stands once AWS's partition and domain are known."""
    found = stack.resolve(text)
    if isinstance(found, str):
        return found
    known = {"AWS::URLSuffix": "amazonaws.com", "AWS::Partition": "aws"}
    return "".join(part if isinstance(part, str) else known[part["Ref"]] for part in found["Fn::Join"][1])


@pytest.mark.parametrize(
    ("region", "image", "uri"),
    [
        # Answers of the SageMaker Python SDK 3.27.0, copied by hand.
        (
            "ap-northeast-2",
            FrameworkImage.sklearn("1.4-2"),
            "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3",
        ),
        (
            "us-east-1",
            FrameworkImage.sklearn("1.4-2"),
            "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3",
        ),
        (
            "us-east-1",
            FrameworkImage.sklearn("1.0-1", processor=Processor.GRAVITON),
            "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.0-1-arm64-cpu-py3",
        ),
        (
            "ap-northeast-2",
            FrameworkImage.xgboost(),
            "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-xgboost:3.2-0",
        ),
        (
            "ap-northeast-2",
            FrameworkImage.pytorch("2.6", processor=Processor.GPU),
            "763104351884.dkr.ecr.ap-northeast-2.amazonaws.com/pytorch-inference:2.6.0-gpu-py312",
        ),
        (
            "ap-northeast-2",
            FrameworkImage.pytorch("2.6", processor=Processor.GRAVITON),
            "763104351884.dkr.ecr.ap-northeast-2.amazonaws.com/"
            "pytorch-inference-arm64:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
        ),
        (
            "ap-northeast-2",
            FrameworkImage.huggingface("4.51"),
            "763104351884.dkr.ecr.ap-northeast-2.amazonaws.com/"
            "huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04",
        ),
    ],
    ids=str,
)
def test_a_framework_image_has_the_uri_that_the_sdk_gives(
    app: cdk.App, region: str, image: FrameworkImage, uri: str
) -> None:
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111122223333", region=region))
    bound = image.bind(stack)
    assert resolved(stack, bound.uri) == uri
    account, repository = uri[:12], uri.split("/")[1].split(":")[0]
    assert bound.repository_arn is not None
    assert resolved(stack, bound.repository_arn) == f"arn:aws:ecr:{region}:{account}:repository/{repository}"


def test_a_stack_without_a_region_looks_the_account_up_when_it_is_deployed(stack: cdk.Stack) -> None:
    image = FrameworkImage.sklearn()
    cdk.CfnOutput(stack, "Uri", value=image.bind(stack).uri)
    cdk.CfnOutput(stack, "Again", value=image.bind(stack).uri)
    template = Template.from_stack(stack).to_json()
    [(name, accounts)] = template["Mappings"].items()
    assert {region: entry["account"] for region, entry in accounts.items()} == dict(image.accounts)
    assert len(accounts) > 30
    look_up = {"Fn::FindInMap": [name, {"Ref": "AWS::Region"}, "account"]}
    assert template["Outputs"]["Uri"]["Value"]["Fn::Join"][1] == [
        look_up,
        ".dkr.ecr.",
        {"Ref": "AWS::Region"},
        ".",
        {"Ref": "AWS::URLSuffix"},
        "/sagemaker-scikit-learn:1.4-2-py312-cpu-py3",
    ]


def test_images_of_several_publishers_do_not_share_a_map(stack: cdk.Stack) -> None:
    for image in (FrameworkImage.sklearn(), FrameworkImage.pytorch(), FrameworkImage.huggingface()):
        cdk.CfnOutput(stack, image.framework, value=image.bind(stack).uri)
    assert len(Template.from_stack(stack).to_json()["Mappings"]) == 3


def test_a_region_without_the_image_is_refused(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111122223333", region="mx-central-1"))
    with pytest.raises(InvalidConfiguration) as caught:
        FrameworkImage.huggingface().bind(stack)
    assert "region = 'mx-central-1'" in str(caught.value)
    assert "deploy to one of af-south-1" in str(caught.value)
    assert FrameworkImage.pytorch().bind(stack).uri


@pytest.mark.parametrize(
    ("framework", "version", "processor", "message"),
    [
        ("sklearn", "1.5", "cpu", "use one of 1.0-1, 1.2-1, 1.4-2-py312, 1.9-0"),
        ("sklearn", "1", "cpu", "AWS offers no such sklearn image"),
        ("sklearn", "1.4-", "cpu", "AWS offers no such sklearn image"),
        ("sklearn", "", "cpu", "AWS offers no such sklearn image"),
        ("pytorch", 2.6, "cpu", "version = 2.6: AWS offers no such pytorch image"),
        ("sklearn", "1.4-2", "graviton", "built for cpu only. Fix: use version 1.0-1, or another processor"),
        ("xgboost", "3.2-0", "graviton", "use version 1.5-1, or another processor"),
        ("huggingface", "4.51", "graviton", "built for cpu, gpu only. Fix: use another processor"),
        ("sklearn", "1.4-2", "tpu", "must be one of cpu, gpu, graviton"),
        ("scikit-learn", "1.4-2", "cpu", "did you mean sklearn"),
    ],
)
def test_an_image_that_does_not_exist_is_refused(
    framework: str, version: str, processor: Any, message: str
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        FrameworkImage(framework, version, processor)
    assert message in str(caught.value)


@pytest.mark.parametrize(("given", "taken"), [("2.6", "2.6.0"), ("2.0", "2.0.1"), ("2.6.0", "2.6.0")])
def test_the_newest_version_that_begins_so_is_taken(given: str, taken: str) -> None:
    assert FrameworkImage.pytorch(given).version == taken
    assert FrameworkImage.pytorch(given) == FrameworkImage.pytorch(taken)


@pytest.mark.parametrize(("framework", "version", "processor"), EVERY_IMAGE)
def test_every_image_of_the_table_can_be_made(framework: str, version: str, processor: str) -> None:
    image = FrameworkImage(framework, version, Processor(processor))
    assert image.accounts["ap-northeast-2"]
    assert ("arm64" in image.tag or "arm64" in image.repository or "graviton" in image.repository) == (
        image.architecture is Architecture.ARM64
    ), "an x86 image must not be offered as a Graviton one"
    assert re.fullmatch(r"[a-z0-9-]+", image.repository)
    assert all(re.fullmatch(r"\d{12}", account) for account in image.accounts.values())


def test_the_table_is_that_of_the_pinned_sdk() -> None:
    pins = (ROOT / "requirements-sagemaker.txt").read_text()
    assert TABLE["source"].replace(" ", "==") in pins.split(), "run tools/generate_images.py after a new pin"


def test_the_table_is_what_the_generator_writes(sdk_python: str) -> None:
    done = subprocess.run(
        [sdk_python, str(ROOT / "tools" / "generate_images.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("image", "warned"),
    [
        (FrameworkImage.pytorch("2.6"), "2026-06-30"),
        (FrameworkImage.pytorch("2.0"), "2026-06-30"),
        (FrameworkImage.xgboost("3.0-5"), "2026-11-17"),
        (FrameworkImage.xgboost("1.7-1"), "2026-11-17"),
        (FrameworkImage.xgboost("3.2-0"), ""),
        (FrameworkImage.sklearn("1.4-2"), ""),
    ],
    ids=str,
)
def test_an_image_that_is_patched_no_more_is_a_warning(image: FrameworkImage, warned: str) -> None:
    text = " ".join(image.warnings)
    assert (warned in text) if warned else text == ""


@pytest.mark.parametrize(
    ("image", "architecture"),
    [
        (FrameworkImage.sklearn(), Architecture.ARM64),
        (FrameworkImage.pytorch(processor=Processor.GRAVITON), Architecture.X86_64),
    ],
    ids=str,
)
def test_an_image_of_another_architecture_is_refused(
    stack: cdk.Stack, image: FrameworkImage, architecture: Architecture
) -> None:
    with pytest.raises(InvalidConfiguration, match=f"but the instances are {architecture}"):
        image.bind(stack, architecture=architecture)


@pytest.fixture
def repository(stack: cdk.Stack) -> ecr.IRepository:
    return ecr.Repository(stack, "Repository")


@pytest.mark.parametrize(
    ("reference", "ending"), [("1.0.3", ":1.0.3"), (f"sha256:{'a' * 64}", f"@sha256:{'a' * 64}")]
)
def test_an_image_in_ecr_is_named_by_tag_or_digest(
    stack: cdk.Stack, repository: ecr.IRepository, reference: str, ending: str
) -> None:
    bound = EcrImage(repository, reference).bind(stack, architecture=Architecture.ARM64)
    assert stack.resolve(bound.uri)["Fn::Join"][1][-1] == ending
    assert bound.repository_arn == repository.repository_arn


@pytest.mark.parametrize(
    "reference", ["", "a b", ".x", "x" * 129, "sha256:abc", "sha512:" + "a" * 64, 5], ids=repr
)
def test_an_illegal_tag_or_digest_is_refused(repository: ecr.IRepository, reference: str) -> None:
    with pytest.raises(InvalidConfiguration, match="tag_or_digest"):
        EcrImage(repository, reference)


def test_the_tag_latest_is_a_warning(repository: ecr.IRepository) -> None:
    assert "moves" in EcrImage(repository, "latest").warnings[0]
    assert EcrImage(repository, "1.0").warnings == ()


def test_a_repository_of_another_region_is_refused(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Here", env=SEOUL)
    arn = "arn:aws:ecr:us-east-1:111122223333:repository/models"
    repository = ecr.Repository.from_repository_arn(stack, "Repository", arn)
    with pytest.raises(InvalidConfiguration, match="the model is in ap-northeast-2"):
        EcrImage(repository, "1.0").bind(stack)


def test_a_uri_that_is_too_long_is_refused(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Here", env=SEOUL)
    arn = f"arn:aws:ecr:ap-northeast-2:111122223333:repository/{'r' * 250}"
    repository = ecr.Repository.from_repository_arn(stack, "Repository", arn)
    with pytest.raises(InvalidConfiguration, match="at most 255 characters"):
        EcrImage(repository, "t" * 128).bind(stack)


def test_an_ecr_image_that_says_its_architecture_is_compared(
    stack: cdk.Stack, repository: ecr.IRepository
) -> None:
    image = EcrImage(repository, "1.0", architecture=Architecture.ARM64)
    with pytest.raises(InvalidConfiguration, match="EcrImage is built for arm64"):
        image.bind(stack, architecture=Architecture.X86_64)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "container"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM scratch\n")
    return directory


def built_for(app: cdk.App) -> list[str]:
    """The platforms in the asset manifest of the app's stack."""
    [manifest] = Path(app.synth().directory).glob("*.assets.json")
    images = json.loads(manifest.read_text())["dockerImages"].values()
    return [image["source"]["platform"] for image in images]


@pytest.mark.parametrize(
    ("platform", "architecture", "built"),
    [
        (None, Architecture.ARM64, "linux/arm64"),
        (None, Architecture.X86_64, "linux/amd64"),
        (None, None, "linux/amd64"),
        (Architecture.ARM64, None, "linux/arm64"),
        (Architecture.ARM64, Architecture.ARM64, "linux/arm64"),
    ],
)
def test_a_dockerfile_is_built_for_the_instances(
    app: cdk.App,
    stack: cdk.Stack,
    context: Path,
    platform: Architecture | None,
    architecture: Architecture | None,
    built: str,
) -> None:
    bound = DockerfileImage(context, platform=platform).bind(stack, architecture=architecture)
    assert bound.uri
    assert bound.repository_arn
    assert built_for(app) == [built]


def test_two_dockerfiles_may_serve_one_model(app: cdk.App, stack: cdk.Stack, context: Path) -> None:
    (context / "Other.Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    DockerfileImage(context).bind(stack)
    DockerfileImage(context, file="Other.Dockerfile").bind(stack)
    assert len(built_for(app)) == 2


def test_a_dockerfile_for_another_architecture_is_refused(stack: cdk.Stack, context: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="platform = 'arm64': DockerfileImage is built for arm64"):
        DockerfileImage(context, platform=Architecture.ARM64).bind(stack, architecture=Architecture.X86_64)


def test_a_directory_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="has no such file"):
        DockerfileImage(tmp_path)


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="is not a directory"):
        DockerfileImage(tmp_path / "nowhere")
