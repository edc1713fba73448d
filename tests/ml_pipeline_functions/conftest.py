"""The functions' modules, and SageMaker as the project has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ml_pipeline_functions.clients import Objects
from tests.ml_pipeline_functions.cloudformation import Stack, listening
from tests.ml_pipeline_functions.plane import Deploy, Plane, opened
from tests.model_code.conftest import load_model_code
from tests.sandbox_api.world import Wire
from tests.sandbox_jobs.workshop import Workshop


@pytest.fixture(scope="session")
def functions() -> SimpleNamespace:
    """The modules of the functions."""
    return load_model_code("ml_pipeline_functions")


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def wired(wire: Wire) -> Any:
    """A client that reaches the plane of the running test; making one takes long."""
    return wire.client("sagemaker")


@pytest.fixture
def plane(functions: SimpleNamespace, wire: Wire, wired: Any) -> Iterator[Plane]:
    """SageMaker with an endpoint whose endings the test decides."""
    with opened(functions, wire, wired) as plane:
        yield plane


@pytest.fixture
def deploy(functions: SimpleNamespace, plane: Plane) -> Deploy:
    """The function that deploys."""
    return Deploy(functions, plane)


@pytest.fixture
def refuse(plane: Plane) -> Callable[[str, str, str], None]:
    """Has an operation refused from now on, with a code and a message."""

    def refuse(operation: str, code: str, message: str) -> None:
        plane.refusals[operation] = ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return refuse


@pytest.fixture
def workshop(wire: Wire, tmp_path: Path) -> Iterator[Workshop]:
    """Pipelines that run, in which a minute takes a tenth of a second."""
    workshop = Workshop(tmp_path, scale=600.0)
    wire.world = workshop
    yield workshop
    wire.world = None
    workshop.close()


@pytest.fixture(scope="session")
def _objects() -> Objects:
    return Objects()


@pytest.fixture
def objects(_objects: Objects) -> Objects:
    """An empty bucket."""
    _objects.content.clear()
    return _objects


@pytest.fixture
def reach(functions: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has the functions use clients, by service."""

    def reach(**clients: Any) -> None:
        monkeypatch.setattr(
            functions.aws, "boto3", SimpleNamespace(client=lambda service, config: clients[service])
        )
        functions.aws.client.cache_clear()

    yield reach
    functions.aws.client.cache_clear()


@pytest.fixture(scope="session")
def _stack() -> Iterator[Stack]:
    with listening() as stack:
        yield stack


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """CloudFormation."""
    _stack.answers.clear()
    _stack.refusals = 0
    return _stack
