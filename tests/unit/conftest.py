"""A stack to put constructs into, and what is in its template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from sagemaker_serving.alarms import AlarmWindow
from sagemaker_serving.artifacts import ModelArtifact
from sagemaker_serving.endpoint import ServedVariant, ServingEndpoint
from sagemaker_serving.images import FrameworkImage
from sagemaker_serving.model import Container, ServingModel
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import EncryptionKey, Retention
from sagemaker_serving.variants import InstanceVariant

TWO = InstanceVariant(instance_type="ml.m5.large", initial_instance_count=2)
RETENTION = Retention(keep_data=False)


@pytest.fixture(scope="session")
def sdk_python() -> str:
    """The Python that has the SageMaker SDK."""
    python = Path(__file__).resolve().parents[2] / ".cache" / "sdk" / "bin" / "python"
    if not python.is_file():
        pytest.skip("the SageMaker SDK is not set up: make sdk")
    return str(python)


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


@pytest.fixture
def key(stack: cdk.Stack) -> EncryptionKey:
    return EncryptionKey(stack, "Key", retention=RETENTION)


@pytest.fixture
def make(stack: cdk.Stack, model: ServingModel, key: EncryptionKey) -> Callable[..., ServingEndpoint]:
    """An endpoint with two instances, with other arguments where a test is about them."""

    def make_endpoint(*variants: InstanceVariant, **arguments: Any) -> ServingEndpoint:
        given: dict[str, Any] = {
            "endpoint_name": "sentiment",
            "variants": [ServedVariant(model=model, variant=variant) for variant in variants or (TWO,)],
            "key": key,
            "retention": RETENTION,
        }
        return ServingEndpoint(stack, "Endpoint", **{**given, **arguments})

    return make_endpoint


@pytest.fixture
def alarms(stack: cdk.Stack) -> Callable[..., EndpointMonitoring]:
    def watch(name: str = "sentiment", *variants: InstanceVariant, periods: int = 2) -> EndpointMonitoring:
        return EndpointMonitoring(
            stack,
            f"Watch-{name}",
            endpoint_name=name,
            variants=variants or [TWO],
            topic=sns.Topic(stack, f"Topic-{name}"),
            window=AlarmWindow(evaluation_periods=periods),
        )

    return watch


@pytest.fixture
def refusal(app: cdk.App) -> Callable[[], str]:
    """What synth says when it refuses."""

    def message() -> str:
        with pytest.raises(RuntimeError) as caught:
            app.synth()
        return str(caught.value)

    return message
