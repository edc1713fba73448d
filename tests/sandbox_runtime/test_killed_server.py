"""A model server that is killed under load: only what it was working on fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox_runtime.fakes import ContainerServer, FakeFleet, FakeInstance, Load, Plane, echo

CLIENTS = 6
SERVER = """
import asyncio

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = head.lower().split(b"\\r\\n")
            length = next(line for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            await asyncio.sleep(0.01)
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVER]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    yield started
    for server in started:
        server.kill()
        server.communicate()


def instance(server: subprocess.Popen[str]) -> FakeInstance:
    container = ContainerServer(echo)  # not started: only its address counts
    assert server.stdout is not None
    container.port = int(server.stdout.readline())
    return FakeInstance(f"i-{server.pid}", [container])


def test_only_requests_in_flight_on_the_killed_server_fail(
    plane: Plane, servers: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN two instances that are processes, and a fleet that takes out what it is told of
    plane.serve()
    fleet = plane.fleets.made[0]
    dying, living = map(instance, servers)
    started = fleet.instances[0]
    plane.run(started.containers[0].stop())

    def take_out(self: FakeFleet, failed: Any) -> None:
        self.reported.append(failed)
        failed.state = "Failed"

    monkeypatch.setattr(FakeFleet, "report_failure", take_out)
    plane.call(lambda: fleet.instances.__setitem__(slice(None), [dying, living]))
    # WHEN one is killed under load
    with Load(plane, CLIENTS) as load:
        plane.until(lambda: len(load.answers) > 50)
        in_flight = []

        def kill() -> None:
            in_flight.append(dying.in_flight)
            os.kill(servers[0].pid, signal.SIGKILL)

        plane.call(kill)
        answered = len(load.answers)
        plane.until(lambda: len(load.answers) > answered + 100)
    # THEN no more than it was working on has failed, as ModelError, and the fleet was told
    # (one that the kernel had taken for it, in the moment before it was gone, counts as well)
    assert in_flight[0] <= CLIENTS
    assert len(load.errors) <= CLIENTS
    assert all("(ModelError)" in str(error) for error in load.errors)
    assert set(fleet.reported) == {dying}
    plane.call(fleet.instances.clear)
