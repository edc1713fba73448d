"""Images are known by their repository, whatever stands around it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sandbox.fleet.failures import FleetFailed
from sandbox.fleet.images import (
    FRAMEWORKS,
    framework_of,
    missing_packages,
    missing_requirements,
    resolved_image,
)

ECR = "763104351884.dkr.ecr.ap-northeast-2.amazonaws.com"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (
            "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.4-2-py312-cpu-py3",
            "sklearn",
        ),
        (
            f"{ECR}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04",
            "huggingface",
        ),
        (f"{ECR}/pytorch-inference-arm64:2.6.0-cpu-py312-ubuntu22.04-sagemaker", "pytorch"),
        (f"{ECR}/pytorch-inference@sha256:{'0' * 64}", "pytorch"),
        (f"{ECR}/pytorch-inference:2.6.0@sha256:{'0' * 64}", "pytorch"),
        ("localhost:5000/mirror/sagemaker-xgboost", "xgboost"),
    ],
)
def test_the_repository_tells_the_framework(image: str, name: str) -> None:
    assert framework_of(image).name == name


def test_only_what_the_code_imports_of_its_image_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an environment without the image's packages
    framework = framework_of(f"{ECR}/huggingface-pytorch-inference:2.6.0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "nested").mkdir()

    # WHEN a model's code imports none of them, one somewhere deep, or is no Python at all
    (tmp_path / "inference.py").write_text("import numpy\nfrom . import transformers\n")
    none = missing_packages(framework, tmp_path)
    (tmp_path / "nested" / "deep.py").write_text("def load():\n    from torch.nn import Module\n")
    (tmp_path / "broken.py").write_text("import transformers (\n")
    one = missing_packages(framework, tmp_path)
    (tmp_path / "inference.py").write_text("import transformers as t\n")
    both = missing_packages(framework, tmp_path)

    # THEN these are named, by what pip calls them
    assert none == []
    assert one == ["torch"]
    assert both == ["torch", "transformers"]


def test_an_unknown_image_is_refused_with_what_is_known() -> None:
    with pytest.raises(FleetFailed) as caught:
        framework_of("123456789012.dkr.ecr.us-east-1.amazonaws.com/my-model:1")
    assert all(
        name in caught.value.reason for name in FRAMEWORKS if "arm64" not in name and "graviton" not in name
    )


def test_an_image_of_one_s_own_beside_others_needs_a_label() -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-model:1"
    label = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"
    for several in (False, True):
        with pytest.raises(FleetFailed) as caught:
            framework_of(image, among_several=several)
        assert (label in caught.value.reason) == several


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        (f"{ECR}/a/b:tag", f"{ECR}/a/b"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("a:1", "a"),
        (f"{ECR}/a@sha256:{'0' * 64}", f"{ECR}/a"),
    ],
)
def test_a_resolved_image_has_a_digest_instead_of_a_tag(image: str, repository: str) -> None:
    name, digest = resolved_image(image).split("@sha256:")
    assert name == repository
    assert len(digest) == 64


def test_requirements_are_compared_with_what_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    assert missing_requirements(file) == []
    file.write_text(
        "# comment\n\nnumpy\nnumpy>=1.0 # why\n--index-url https://example.com\n"
        "no-such-thing; python_version < '3'\nno-such-thing\nnumpy==0.1\n./local\n"
    )
    assert missing_requirements(file) == ["no-such-thing", "numpy==0.1", "./local"]
