"""Model artifacts: what is refused, and what a model gets to know of each kind."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.sources import CACHE_VARIABLE

SCRIPT_MODE = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "inference.py").write_text("def model_fn(d): ...")
    (directory / "model.npz").write_bytes(b"weights")
    return directory


def test_a_directory_becomes_an_asset_of_the_app(app: cdk.App, stack: cdk.Stack, model: Path) -> None:
    artifact = ModelArtifact.from_directory(model)
    bound = artifact.bind(stack)
    assembly = app.synth()
    [asset] = Path(assembly.directory).glob("asset.*")
    with tarfile.open(asset) as archive:
        assert archive.getnames() == ["code/inference.py", "model.npz"]
    resolved = stack.resolve(bound.model_data_url)["Fn::Sub"]
    assert resolved.startswith("s3://cdk-")
    # the CDK names what it uploads by the last suffix only; SageMaker looks at the content
    assert resolved.endswith(f"/{asset.name.removeprefix('asset.').removesuffix('.tar.gz')}.gz")
    assert artifact.environment == SCRIPT_MODE


def test_the_permission_names_the_archive_and_nothing_else(stack: cdk.Stack, model: Path) -> None:
    bound = ModelArtifact.from_directory(model).bind(stack)
    parts = stack.resolve(bound.object_arn)["Fn::Join"][1]
    assert parts[:3] == ["arn:", {"Ref": "AWS::Partition"}, ":s3:::"]
    assert parts[-1] == "/" + stack.resolve(bound.model_data_url)["Fn::Sub"].rpartition("/")[2]
    assert bound.key_arn is None


def test_the_asset_keeps_its_hash_until_the_content_changes(tmp_path: Path, model: Path) -> None:
    def synthesised(number: int) -> list[str]:
        app = cdk.App(builtin_cloud_formation_validation=False, outdir=str(tmp_path / f"out{number}"))
        ModelArtifact.from_directory(model).bind(cdk.Stack(app, "Test"))
        return sorted(path.name for path in Path(app.synth().directory).glob("asset.*"))

    first = synthesised(1)
    (model / "model.npz").touch()
    assert synthesised(2) == first
    (model / "model.npz").write_bytes(b"others!")
    assert synthesised(3) != first


def test_two_containers_of_one_model_may_each_have_a_directory(stack: cdk.Stack, model: Path) -> None:
    one = ModelArtifact.from_directory(model).bind(stack)
    other = ModelArtifact.from_directory(model).bind(stack)
    assert one.asset_hash == other.asset_hash


def test_a_directory_is_checked_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="does not exist"):
        ModelArtifact.from_directory(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "program", ["", "inference", "src/inference.py", "../x.py", "a.b.py", "a b.py", 5], ids=repr
)
def test_a_program_is_a_python_file_without_a_folder(program: str, model: Path) -> None:
    for make in (
        lambda: ModelArtifact.from_directory(model, program=program),
        lambda: ModelArtifact.from_s3_uri("s3://bucket/model.tar.gz", program=program),
    ):
        with pytest.raises(InvalidConfiguration, match="must be the name of a Python file"):
            make()


def test_an_s3_uri_is_used_as_it_is(stack: cdk.Stack) -> None:
    artifact = ModelArtifact.from_s3_uri("s3://models/a/b/model.tar.gz")
    bound = artifact.bind(stack)
    assert bound.model_data_url == "s3://models/a/b/model.tar.gz"
    assert stack.resolve(bound.object_arn) == {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::models/a/b/model.tar.gz"]]
    }
    assert artifact.environment == SCRIPT_MODE
    assert bound.asset_hash is None


def test_an_archive_without_code_sets_no_program() -> None:
    assert ModelArtifact.from_s3_uri("s3://models/m.tar.gz", program=None).environment == {}


def test_a_customer_managed_key_is_passed_on(stack: cdk.Stack) -> None:
    arn = "arn:aws:kms:ap-northeast-2:111122223333:key/1"
    bound = ModelArtifact.from_s3_uri("s3://models/m.tar.gz", encryption_key_arn=arn).bind(stack)
    assert bound.key_arn == arn


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://models/model.gz", "must end in .tar.gz"),
        ("s3://models/model.tgz", "must end in .tar.gz"),
        ("s3://models/model/", "must end in .tar.gz"),
        ("https://models.s3.amazonaws.com/model.tar.gz", "must name one object in S3"),
        ("models/model.tar.gz", "must name one object in S3"),
        ("s3:///model.tar.gz", "must name one object in S3"),
        ("s3://Models/model.tar.gz", "must name one object in S3"),
        ("s3://models", "must name one object in S3"),
        ("", "must name one object in S3"),
        (None, "must name one object in S3"),
        (f"s3://models/{'x' * 1010}.tar.gz", "at most 1024 characters"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_illegal_uri_is_refused(uri: str, message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ModelArtifact.from_s3_uri(uri)
    assert message in str(caught.value)


def test_the_longest_legal_uri_passes() -> None:
    uri = f"s3://models/{'x' * (1024 - len('s3://models/.tar.gz'))}.tar.gz"
    assert len(uri) == 1024
    assert ModelArtifact.from_s3_uri(uri).warnings == ()


def test_a_uri_that_is_a_token_passes_with_a_warning(stack: cdk.Stack) -> None:
    artifact = ModelArtifact.from_s3_uri(cdk.Fn.ref("ModelUri"))
    assert "make sure that it ends in .tar.gz" in artifact.warnings[0]
    bound = artifact.bind(stack)
    assert stack.resolve(bound.object_arn) == {
        "Fn::Join": [
            "",
            [
                "arn:",
                {"Ref": "AWS::Partition"},
                ":s3:::",
                {"Fn::Select": [1, {"Fn::Split": ["s3://", {"Ref": "ModelUri"}]}]},
            ],
        ]
    }


def test_a_bucket_of_the_app_brings_its_key_along(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Bucket", encryption_key=key)
    bound = ModelArtifact.from_bucket(bucket, "a/model.tar.gz").bind(stack)
    name = stack.resolve(bucket.bucket_name)
    assert stack.resolve(bound.model_data_url) == {"Fn::Join": ["", ["s3://", name, "/a/model.tar.gz"]]}
    assert stack.resolve(bound.object_arn)["Fn::Join"][1][-1] == "/a/model.tar.gz"
    assert bound.key_arn == key.key_arn


def test_a_bucket_without_a_key_needs_no_decryption(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "models")
    assert ModelArtifact.from_bucket(bucket, "model.tar.gz").bind(stack).key_arn is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.zip", "must end in .tar.gz"),
        ("/model.tar.gz", "must not start with a slash"),
        ("x" * 1000 + ".tar.gz", "its URI has at most 1024 characters"),
    ],
    ids=["suffix", "slash", "length"],
)
def test_an_illegal_key_is_refused(stack: cdk.Stack, key: str, message: str) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "models")
    with pytest.raises(InvalidConfiguration) as caught:
        ModelArtifact.from_bucket(bucket, key)
    assert message in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ModelArtifact.from_s3_uri("models/model.zip", program="x")
    assert [finding.field for finding in caught.value.findings] == ["uri", "uri", "program"]


def test_making_an_artifact_twice_gives_equal_values(model: Path) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: ModelArtifact.from_directory(model),
        lambda: ModelArtifact.from_s3_uri("s3://models/m.tar.gz"),
    ]
    for make in makers:
        assert make() == make()
