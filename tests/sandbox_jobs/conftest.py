"""Fixtures: the APIs with jobs and pipelines that run, and boto3 clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox_api.world import Wire
from tests.sandbox_jobs.workshop import Workshop

_WIRE = Wire()


@pytest.fixture(scope="session")
def wired() -> Any:
    """A client that reaches the workshop of the running test; making one takes long."""
    return _WIRE.client("sagemaker")


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """Jobs and pipelines in which a minute takes a second."""
    workshop = Workshop(tmp_path)
    _WIRE.world = workshop
    yield workshop
    workshop.close()


@pytest.fixture
def sagemaker(wired: Any, workshop: Workshop) -> Any:
    """The API of the workshop."""
    return wired


@pytest.fixture
def refused() -> Callable[..., tuple[str, str]]:
    """Calls and gives code and message of the error."""

    def call(operation: Any, **params: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            operation(**params)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    return call
