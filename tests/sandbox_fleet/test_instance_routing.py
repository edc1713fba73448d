"""Which instance of a fleet gets an invocation: the least busy one, or any."""

from __future__ import annotations

from typing import Any

import uvloop

from sandbox.fleet import Fleet, FleetManager, Instance
from tests.sandbox_fleet.world import ECHO, World, create


def _serving(manager: FleetManager, world: World, loads: list[int], **variant: Any) -> Fleet:
    """A fleet whose instances are only records, with so many invocations in flight each."""
    fleet = create(manager, world.model(ECHO), **variant)
    for at, load in enumerate(loads):
        instance = Instance(f"i-{at}", world.tmp_path, in_flight=load)
        fleet.instances.append(instance)
        fleet._set_state(instance, "InService")
    return fleet


async def _shares(world: World, loads: list[int], **variant: Any) -> list[int]:
    async with world.manager() as manager:
        fleet = _serving(manager, world, loads, **variant)
        got = [0] * len(loads)
        for _ in range(600):
            instance = await fleet.acquire(0)
            got[int(instance.id[2:])] += 1
            fleet.release(instance)
        return got


def test_the_least_busy_instance_is_taken_and_equals_share(world: World) -> None:
    first, second, busy = uvloop.run(_shares(world, [2, 2, 3]))
    assert busy == 0
    assert min(first, second) > 200  # 300 each; 200 is eight standard errors away


def test_random_routing_does_not_look_at_the_load(world: World) -> None:
    routing = {"RoutingStrategy": "RANDOM"}
    assert min(uvloop.run(_shares(world, [0, 50, 0], RoutingConfig=routing))) > 100


def test_work_in_flight_spreads(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = _serving(manager, world, [0, 0, 0, 0])
            for _ in range(10):
                await fleet.acquire(0)
            assert sorted(instance.in_flight for instance in fleet.instances) == [2, 2, 3, 3]

    uvloop.run(scenario())
