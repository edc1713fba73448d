"""Sandboxes of the tests' own: folders below tmp, ports that were free a moment ago."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from sandbox import supervisor
from sandbox.home import Home, State
from tests.sandbox_process.live import Live

T = TypeVar("T")


def silent(text: str) -> None:
    """Nobody is told."""


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., object]:
    def wait(what: str, probe: Callable[[], T | None], *, seconds: float = 30) -> T:
        deadline = time.monotonic() + seconds
        while not (seen := probe()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.02)
        return seen

    return wait


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A folder for a sandbox; whatever runs in it is ended."""
    home = Home(tmp_path / "sandbox")
    yield home
    supervisor.down(home, silent)


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Path]:
    """The folder of a started sandbox in which a minute takes a second."""
    home = Home(tmp_path_factory.mktemp("sandbox"))
    try:
        supervisor.up(home, supervisor.Options(time_scale=60.0, port=free_port()), silent)
        yield home.path
    finally:
        supervisor.down(home, silent)


@pytest.fixture(scope="session")
def sandbox(sandbox_home: Path) -> State:
    """A started sandbox."""
    return supervisor.require_running(Home(sandbox_home))


@pytest.fixture(scope="module")
def live(sandbox: State) -> Iterator[Live]:
    """The shared sandbox, as a client sees it; what a module made stays until its end."""
    live = Live(sandbox)
    yield live
    live.close()
