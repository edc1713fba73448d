"""Servers that crash or hang are taken out of service and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import uvloop

from sandbox.fleet import Fleet
from sandbox.fleet import containers as containers_module
from sandbox.fleet import fleet as fleet_module
from tests.sandbox_fleet.world import ECHO, World, alive, create, until


def kill(fleet: Fleet, at: int = 0) -> int:
    pid = fleet.instances[at].containers[0].pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_server_is_replaced_by_itself(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO), 2) as fleet:
            lost, kept = fleet.instances
            pid = kill(fleet)
            # THEN the instance leaves the service, and another takes its place
            await until(lambda: lost not in fleet.in_service())
            await until(lambda: len(fleet.in_service()) == 2)
            assert kept in fleet.in_service()
            assert not alive(pid)
            await until(lambda: f"Instance {lost.id} of variant AllTraffic is replaced" in world.logs.text())
            assert "was ended by signal 9" in world.logs.text()
            await until(lambda: not lost.root.exists())

    uvloop.run(scenario())


def test_a_caller_waits_for_the_replacement_of_the_only_instance(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO)) as fleet:
            (lost,) = fleet.instances
            kill(fleet)
            # WHEN an invocation finds the connection refused and says so
            fleet.report_failure(lost)
            # THEN nobody gets that instance again, and the next caller gets the new one
            assert fleet.in_service() == []
            got = await fleet.acquire(asyncio.get_running_loop().time() + 20)
            assert got is not lost
            assert await got.healthy()

    uvloop.run(scenario())


def test_a_report_about_a_healthy_instance_costs_it_one_ping(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO)) as fleet:
            (instance,) = fleet.instances
            fleet.report_failure(instance)
            assert await fleet.acquire(asyncio.get_running_loop().time() + 20) is instance

    uvloop.run(scenario())


def test_a_server_that_hangs_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(containers_module, "PING_TIMEOUT", 0.3)

    async def scenario() -> None:
        async with world.fleet(world.model(ECHO)) as fleet:
            (lost,) = fleet.instances
            pid = lost.containers[0].pid
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: lost not in fleet.instances and len(fleet.in_service()) == 1)
            await until(lambda: not alive(pid))
            assert "did not answer 3 health checks in a row" in world.logs.text()

    uvloop.run(scenario())


def test_crash_loops_are_slowed_down(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # GIVEN a model that from now on ends right after it has become healthy
    pauses: list[float] = []
    monkeypatch.setattr(fleet_module, "FIRST_BACKOFF", 0.07)
    monkeypatch.setattr(fleet_module, "LONGEST_BACKOFF", 0.21)
    real_sleep = asyncio.sleep

    async def noting_sleep(seconds: float) -> None:
        if seconds in (0.07, 0.14, 0.21):
            pauses.append(seconds)
        await real_sleep(seconds)

    monkeypatch.setattr(fleet_module.asyncio, "sleep", noting_sleep)
    crash = tmp_path / "crash"
    code = f"""
import os, threading, time
def end():
    while not os.path.exists({str(crash)!r}): time.sleep(0.01)
    time.sleep(0.3)
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
"""

    async def scenario() -> None:
        async with world.fleet(world.model(ECHO + code)) as fleet:
            crash.touch()
            # WHEN it has crashed often enough, THEN the pauses grew up to the limit
            await until(lambda: len(pauses) >= 4, 40)
            # AND it recovers when the cause is gone
            crash.unlink()
            await until(lambda: len(fleet.in_service()) == 1)

    uvloop.run(scenario())
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.07, 0.21)


def test_a_replacement_that_does_not_load_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet_module, "FIRST_BACKOFF", 0.05)
    broken = tmp_path / "broken"
    code = f"import os\nassert not os.path.exists({str(broken)!r}), 'broken now'\n"

    async def scenario() -> None:
        async with world.fleet(world.model(code + ECHO)) as fleet:
            broken.touch()
            kill(fleet)
            await until(lambda: world.logs.text().count("AssertionError: broken now") >= 2)
            assert fleet.in_service() == []
            broken.unlink()
            await until(lambda: len(fleet.in_service()) == 1)

    uvloop.run(scenario())


def test_scaling_while_one_is_being_replaced_reaches_the_number(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO), 2) as fleet:
            kill(fleet)
            await until(lambda: len(fleet.in_service()) == 1)
            await fleet.scale_to(3)
            assert len(fleet.in_service()) == 3
            await fleet.scale_to(1)
            assert len(fleet.instances) == 1

    uvloop.run(scenario())


def test_a_stopped_fleet_replaces_nothing(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(ECHO))
            await fleet.start(1)
            kill(fleet)
            await fleet.stop()
            assert manager.processes() == []
            assert fleet.instances == []

    uvloop.run(scenario())


def test_what_a_server_started_ends_with_it(world: World, tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = f"""
import subprocess, sys
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(child)!r}, "w").write(str(started.pid))
"""

    async def scenario() -> None:
        async with world.fleet(world.model(code + ECHO)) as fleet:
            pid = int(child.read_text())
            assert alive(pid)
            kill(fleet)
            await until(lambda: not alive(pid))

    uvloop.run(scenario())
