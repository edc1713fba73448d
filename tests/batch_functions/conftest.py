"""The functions' modules, a started sandbox for them, and both sinks."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from sandbox import supervisor
from sandbox.home import ACCOUNT, REGION, SECRET, Home
from tests.batch_functions import postgresql_server
from tests.batch_functions.data_api import DataApi, serving
from tests.batch_functions.stores import DynamoDbStore, PostgreSqlStore, Store
from tests.model_code.conftest import load_model_code


@pytest.fixture(scope="session")
def batch() -> SimpleNamespace:
    """The modules of the functions."""
    return load_model_code("batch")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A started sandbox, which boto3 finds by the environment, as in a function."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    home = Home(tmp_path_factory.mktemp("sandbox"))
    try:
        state, _ = supervisor.up(home, supervisor.Options(time_scale=60.0, port=port), lambda text: None)
        with _environment(
            AWS_ENDPOINT_URL=state.gateway_url,
            AWS_ACCESS_KEY_ID=ACCOUNT,
            AWS_SECRET_ACCESS_KEY=SECRET,
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
        ):
            yield
    finally:
        supervisor.down(home, lambda text: None)


@pytest.fixture(scope="session")
def data_api(batch: SimpleNamespace, cloud: None) -> Iterator[DataApi]:
    """The Data API before a PostgreSQL, which boto3 finds by the environment."""
    if reason := postgresql_server.missing():
        pytest.skip(reason)
    with (
        postgresql_server.postgresql() as server,
        serving(server) as (api, url),
        _environment(AWS_ENDPOINT_URL_RDS_DATA=url),
    ):
        batch.environment.client.cache_clear()  # one that was made before would not know the URL
        yield api


@pytest.fixture(params=["dynamodb", "postgresql"])
def store(request: pytest.FixtureRequest, batch: SimpleNamespace, cloud: None) -> Store:
    """An empty store with its sink; each test is run on both."""
    if request.param == "postgresql":
        return PostgreSqlStore(batch, request.getfixturevalue("data_api"))
    return DynamoDbStore(batch, f"rows-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def impatient(batch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting for a service takes no time; the seconds that would have been waited are kept."""
    waited: list[float] = []
    monkeypatch.setattr(batch.waiting, "time", SimpleNamespace(sleep=waited.append))
    return waited


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield
