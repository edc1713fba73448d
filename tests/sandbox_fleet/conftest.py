"""Fixtures: the world around a fleet, and model servers without one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.sandbox_fleet.world import Server, World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Fakes around a fleet."""
    return World(tmp_path)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts `python -m sandbox.model_server` on an inference.py and waits for its /ping."""
    servers: list[Server] = []

    def start(code: str, *options: str, **environment: str) -> Server:
        folder = tmp_path / f"server-{len(servers)}"
        (folder / "model" / "code").mkdir(parents=True)
        (folder / "model" / "code" / "inference.py").write_text(code)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.model_server", f"--fd={listener.fileno()}", *options],
            env={"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(folder), **environment},
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        listener.close()
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        server = Server(process, client)
        servers.append(server)
        assert server.client.get("/ping").status_code == 200
        return server

    yield start
    for server in servers:
        server.client.close()
        server.process.kill()
        server.process.communicate()
