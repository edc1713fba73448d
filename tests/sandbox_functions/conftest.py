"""Images from a few lines, functions of them on a loop of the test's own, and a started sandbox for some."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import supervisor
from sandbox.functions.images import ImageStore
from sandbox.home import Home, State
from tests.sandbox_functions.function_world import Context, World


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A build context."""
    return Context(tmp_path / "context")


@pytest.fixture
def world(tmp_path: Path, store: ImageStore) -> Iterator[World]:
    """Functions that run."""
    with World(tmp_path, store) as world:
        yield world


@pytest.fixture(scope="session")
def function_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The folder of a started sandbox in which a minute takes a second."""
    home = Home(tmp_path_factory.mktemp("sandbox"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    try:
        supervisor.up(home, supervisor.Options(time_scale=60.0, port=port), lambda text: None)
        yield home
    finally:
        supervisor.down(home, lambda text: None)


@pytest.fixture(scope="session")
def function_sandbox(function_home: Home) -> State:
    """A started sandbox."""
    return supervisor.require_running(function_home)
