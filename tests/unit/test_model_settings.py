"""A model's settings: its own directory and those that it shares with other models."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import pytest
from pydantic import ValidationError

from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.instances import InstanceType
from stacks.model_settings import ModelSettings

SKLEARN = {"framework": "scikit-learn", "framework_version": "1.4-2-py312"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("model_code/sentiment/inference.py", "model_code/shared/formats.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="utf-8")
    return tmp_path


def test_shared_directories_are_laid_over_the_models_own(stack: cdk.Stack, root: Path) -> None:
    settings = ModelSettings.model_validate(
        {**SKLEARN, "directory": "model_code/sentiment", "shared_directories": ["model_code/shared"]}
    )
    container = settings.container(stack, root, InstanceType("ml.m5.large"))
    assert container.artifact == ModelArtifact.from_directory(
        root / "model_code/sentiment", shared=[root / "model_code/shared"]
    )


def test_without_shared_directories_a_model_is_its_own_directory(stack: cdk.Stack, root: Path) -> None:
    settings = ModelSettings.model_validate({**SKLEARN, "directory": "model_code/sentiment"})
    container = settings.container(stack, root, InstanceType("ml.m5.large"))
    assert container.artifact == ModelArtifact.from_directory(root / "model_code/sentiment")


def test_shared_directories_need_a_directory() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSettings.model_validate(
            {**SKLEARN, "s3_uri": "s3://models/a.tar.gz", "shared_directories": ["model_code/shared"]}
        )
    assert "shared_directories = ['model_code/shared']: are laid over the model's directory" in str(
        caught.value
    )


@pytest.mark.parametrize("value", ["model_code/shared", [1], {"a": "b"}], ids=repr)
def test_shared_directories_are_a_list_of_texts(value: object) -> None:
    with pytest.raises(ValidationError, match="shared_directories"):
        ModelSettings.model_validate(
            {**SKLEARN, "directory": "model_code/sentiment", "shared_directories": value}
        )


def test_several_models_of_one_stack_may_come_from_ecr(stack: cdk.Stack, root: Path) -> None:
    settings = ModelSettings.model_validate({"ecr_repository": "own", "ecr_tag": "1.0"})
    instance = InstanceType("ml.m5.large")
    containers = [settings.container(stack, root, instance, hostname=name) for name in ("a", "b")]
    assert [container.hostname for container in containers] == ["a", "b"]
