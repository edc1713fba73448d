"""An AWS for the client that is nobody's account."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import pytest
from typer.testing import CliRunner, Result

from client.cli import app
from client.connection import Connection
from tests.client.fakes import RuntimeServer, ScriptedAws


@pytest.fixture(autouse=True, scope="session")
def service_models_read_once() -> Iterator[None]:
    """Each command makes its boto3 clients anew; their models are the same all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.loaders.create_loader))
        yield


@pytest.fixture(autouse=True)
def nobodys_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Made-up keys, a Region, an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "000000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "ap-northeast-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-2")
    # nothing listens here: a call that no test scripted fails at once instead of leaving the machine
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    script, original = ScriptedAws(), Connection.new_client

    def new_client(self: Connection, service: str, **settings: Any) -> Any:
        client = original(self, service, **settings)
        client.meta.events.register("before-call", script.answer)
        return client

    monkeypatch.setattr(Connection, "new_client", new_client)
    return script


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[RuntimeServer]:
    with RuntimeServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{server.port}")
        yield server


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run the command line as a user would; an unexpected exception fails the test."""

    def run(*arguments: str, **settings: Any) -> Result:
        result = CliRunner().invoke(app, list(arguments), **settings)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
