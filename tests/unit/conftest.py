"""A stack to put constructs into, and what is in its template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.model import Container, ServingModel


@pytest.fixture
def app(tmp_path: Path) -> cdk.App:
    """An app without CloudFormation's own checks, which have tests of their own."""
    return cdk.App(
        analytics_reporting=False, builtin_cloud_formation_validation=False, outdir=str(tmp_path / "out")
    )


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Test")


@pytest.fixture
def synthesised(stack: cdk.Stack) -> Callable[[], Template]:
    """Synthesise and look at the template."""
    return lambda: Template.from_stack(stack)


@pytest.fixture
def model(stack: cdk.Stack) -> ServingModel:
    """A model from an archive that lies in S3 already, so that nothing is packed."""
    return ServingModel(stack, "Model", containers=[sentiment()])


def sentiment(**arguments: Any) -> Container:
    """A container as the tests need it, with other arguments where a test is about them."""
    given: dict[str, Any] = {
        "image": FrameworkImage.sklearn(version="1.4-2-py312"),
        "artifact": ModelArtifact.from_s3_uri("s3://models/sentiment/model.tar.gz"),
    }
    return Container(**{**given, **arguments})


@pytest.fixture
def container() -> Callable[..., Container]:
    return sentiment
