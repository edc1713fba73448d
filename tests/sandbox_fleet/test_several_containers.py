"""Instances of several containers: in service together, lost and replaced one by one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest
import uvloop

from sandbox.fleet import FleetFailed, Instance
from sandbox.fleet import containers as containers_module
from sandbox.fleet import fleet as fleet_module
from sandbox.fleet.safe_ports import PORTS_EACH, SafePorts
from tests.sandbox_fleet.world import ECHO, World, alive, create, until


def kill(instance: Instance, at: int) -> int:
    pid = instance.containers[at].pid
    os.kill(pid, signal.SIGKILL)
    return pid


def pids(instance: Instance) -> list[int]:
    return [container.pid for container in instance.containers]


async def invoke(instance: Instance, at: int) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        url = f"{instance.containers[at].url}/invocations"
        answer = await client.post(url, content=b"text", headers={"content-type": "text/plain"})
        return answer.text


def test_a_killed_container_is_replaced_and_the_others_go_on(world: World, tmp_path: Path) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    waits = f"""
import os, pathlib, time
def predict_fn(data, model):
    pathlib.Path({str(begun)!r}).touch()
    while not os.path.exists({str(end)!r}): time.sleep(0.01)
    return data
"""

    async def scenario() -> None:
        async with world.fleet(world.model(ECHO + waits, ECHO, ECHO)) as fleet:
            (instance,) = fleet.instances
            first, second, third = pids(instance)
            # GIVEN a request that the first container works on
            working = asyncio.create_task(invoke(instance, 0))
            await until(begun.exists)
            # WHEN the second one is killed THEN the instance is out of service until it is there again
            kill(instance, 1)
            await until(lambda: fleet.in_service() == [])
            assert instance.state == "Restarting"
            await until(lambda: fleet.in_service() == [instance])
            # AND only the second one is another process, which answers
            end.touch()
            assert await working == "text"
            assert pids(instance)[0::2] == [first, third]
            assert pids(instance)[1] != second
            assert await invoke(instance, 1) == "text"
            # AND its log names the failure
            stream = f"AllTraffic/{instance.id}/host-1"
            failure = (
                f"Container host-1 of instance {instance.id} of variant AllTraffic is replaced: "
                "The model server was ended by signal 9."
            )
            (told,) = [line for _, at, line in world.logs.lines if at == stream and "replaced" in line]
            assert told.startswith(failure)

    uvloop.run(scenario())


def test_a_container_that_hangs_is_replaced_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(containers_module, "PING_TIMEOUT", 0.3)

    async def scenario() -> None:
        async with world.fleet(world.model(ECHO, ECHO)) as fleet:
            (instance,) = fleet.instances
            kept, hung = pids(instance)
            os.kill(hung, signal.SIGSTOP)
            await until(lambda: not alive(hung))
            await until(lambda: fleet.in_service() == [instance] and pids(instance)[1] != hung)
            assert pids(instance)[0] == kept
            assert "host-1" in world.logs.text()
            assert "did not answer 3 health checks in a row" in world.logs.text()

    uvloop.run(scenario())


def test_a_container_that_is_lost_again_takes_its_instance_with_it(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO, ECHO)) as fleet:
            (instance,) = fleet.instances
            old = pids(instance)
            for _ in range(2):
                kill(instance, 1)
                await until(lambda: fleet.in_service() == [])
                await until(lambda: len(fleet.in_service()) == 1)
            (other,) = fleet.instances
            assert other is not instance
            assert not set(old) & set(pids(other))
            await until(lambda: not alive(old[0]))

    uvloop.run(scenario())


def test_an_instance_whose_container_does_not_come_back_is_replaced(world: World, tmp_path: Path) -> None:
    # GIVEN a container that does not load again in the same place
    broken = tmp_path / "broken"
    code = f"import os\nassert not os.path.exists({str(broken)!r}), 'broken now'\n"

    async def scenario() -> None:
        async with world.fleet(world.model(ECHO, code + ECHO)) as fleet:
            (instance,) = fleet.instances
            broken.touch()
            kill(instance, 1)
            await until(lambda: fleet.instances == [])
            broken.unlink()
            await until(lambda: len(fleet.in_service()) == 1)
            assert fleet.instances != [instance]
            await until(lambda: not instance.root.exists())

    uvloop.run(scenario())


def test_scaling_in_while_a_container_restarts_leaves_nothing(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(ECHO, ECHO))
            await fleet.start(1)
            (instance,) = fleet.instances
            kill(instance, 0)
            await until(lambda: instance.state == "Restarting")
            await fleet.stop()
            assert manager.processes() == []
            assert not any(map(alive, filter(None, pids(instance))))
            await until(lambda: not instance.root.exists())
            # all places are free again
            assert manager.slots.taken == 0

    uvloop.run(scenario())


def test_an_instance_is_in_service_when_all_its_containers_are(world: World, tmp_path: Path) -> None:
    # GIVEN three containers, one of which waits with loading its model
    go_on = tmp_path / "go-on"
    slow = ECHO + f"\nimport os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)\n"

    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(ECHO, slow, ECHO))
            start = asyncio.create_task(fleet.start(1))
            # WHEN the other two have loaded theirs, which they do side by side
            await until(lambda: world.logs.text().count("model loaded") == 2)
            assert fleet.in_service() == []
            # THEN the instance is in service only after the third one
            go_on.touch()
            await start
            assert len(fleet.in_service()) == 1
            assert world.logs.text().count("model loaded") == 3

    uvloop.run(scenario())


def test_a_container_that_does_not_load_is_named_and_ends_the_others(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(ECHO, "raise ValueError('no weights')", ECHO))
            with pytest.raises(FleetFailed, match=r"The host-1 container .* ValueError: no weights"):
                await fleet.start(1)
            assert manager.processes() == []

    uvloop.run(scenario())


def test_each_container_has_ports_of_its_own(world: World) -> None:
    tell = """
import json, os
def predict_fn(data, model):
    return json.dumps([os.environ["SAGEMAKER_BIND_TO_PORT"], os.environ["SAGEMAKER_SAFE_PORT_RANGE"]])
"""

    async def scenario() -> list[list[str]]:
        async with world.fleet(world.model(*[ECHO + tell] * 3), 2) as fleet:
            answers: list[list[str]] = []
            for instance in fleet.instances:
                for at, container in enumerate(instance.containers):
                    answers.append(json.loads(await invoke(instance, at)))
                    assert answers[-1][0] == str(container.port)
            return answers

    answers = uvloop.run(scenario())
    assert len({port for port, _ in answers}) == 6
    ranges = [range(int(low), int(high) + 1) for low, high in (text.split("-") for _, text in answers)]
    assert all(len(ports) == PORTS_EACH for ports in ranges)
    assert len({port for ports in ranges for port in ports}) == 6 * PORTS_EACH


def test_safe_ports_are_free() -> None:
    import socket

    ports = SafePorts()
    first = ports.take()
    blocked = SafePorts()
    blocked._starts = iter([first.start, first.start, first.stop])  # type: ignore[assignment]
    with socket.socket() as server:
        server.bind(("127.0.0.1", first.start + 3))
        server.listen()
        assert blocked.take() == range(first.stop, first.stop + PORTS_EACH)
