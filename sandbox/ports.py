"""Ports on loopback: which are free, and who has the others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable

import psutil

from sandbox.errors import SandboxError

DEFAULT_PORT = 4566


def choose_ports(wanted: int | None) -> tuple[int, int]:
    """Ports of the gateway and the listener: as wanted, or the next free ones.

    Raises:
        SandboxError: The wanted port is taken, or none is free.
    """
    if wanted is not None and not is_free(wanted):
        holder = _holder_of(wanted)
        raise SandboxError(
            f"Port {wanted} is taken{f' by {holder}' if holder else ''}. "
            "Give another one, or leave --port out to get the next free one."
        )
    first = wanted if wanted is not None else DEFAULT_PORT
    free = (port for port in range(first, min(first + 200, 65536)) if is_free(port))
    gateway, runtime = next(free, None), next(free, None)
    if gateway is None or runtime is None:
        raise SandboxError(f"No two free ports from {first} on. Give another start: --port PORT")
    return gateway, runtime


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        # as servers do: a port whose old connections still linger is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def wait_until_free(ports: Iterable[int]) -> None:
    """Wait until ports of a server that has ended are free.

    Raises:
        SandboxError: One is still taken after 5 s.
    """
    deadline = time.monotonic() + 5
    for port in ports:
        while not is_free(port):
            if time.monotonic() > deadline:
                holder = _holder_of(port)
                raise SandboxError(
                    f"The sandbox has ended, but port {port} is still taken"
                    f"{f' by {holder}' if holder else ''}."
                )
            time.sleep(0.05)


def _holder_of(port: int) -> str:
    """Who listens on a port, as far as the system tells."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            at_port = connection.laddr and connection.laddr[1] == port
            if connection.status == psutil.CONN_LISTEN and at_port and connection.pid:
                process = psutil.Process(connection.pid)
                return f"process {process.pid} ({process.name()})"
    return ""
