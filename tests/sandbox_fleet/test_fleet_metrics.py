"""What fleets measure: use of CPU, memory and disk, and requests in flight."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

from sandbox.clock import Clock
from tests.sandbox_fleet.world import ECHO, SCOPE, World, create, until


def used(world: World) -> list[Any]:
    """The utilization that was recorded."""
    return [record for record in world.metrics.values if record[1] == "/aws/sagemaker/Endpoints"]


def test_utilization_is_recorded_for_the_variant(world: World) -> None:
    async def scenario() -> None:
        # a minute passes in 0.1 s
        async with world.manager(clock=Clock(600)) as manager:
            await create(manager, world.model(ECHO)).start(1)
            await until(lambda: len(used(world)) >= 3)

    uvloop.run(scenario())
    by_name = {
        name: (scope, space, unit, value, dims) for scope, space, name, unit, value, dims in used(world)
    }
    assert set(by_name) == {"CPUUtilization", "MemoryUtilization", "DiskUtilization"}
    for scope, space, unit, value, dims in by_name.values():
        assert (scope, space, unit) == (SCOPE, "/aws/sagemaker/Endpoints", "Percent")
        assert dims == (("EndpointName", "reviews"), ("VariantName", "AllTraffic"))
        assert value >= 0
    assert 0 < by_name["MemoryUtilization"][3] < 100


def test_utilization_is_recorded_for_each_container_and_their_sum(world: World) -> None:
    async def scenario() -> None:
        async with world.manager(clock=Clock(600)) as manager:
            await create(manager, world.model(ECHO, ECHO)).start(1)
            await until(lambda: len(memory("host-1")) >= 1)

    def memory(container: str | None) -> list[float]:
        wanted = {"EndpointName": "reviews", "VariantName": "AllTraffic"}
        wanted |= {"ContainerName": container} if container else {}
        return [
            value
            for _, space, name, unit, value, dimensions in world.metrics.values
            if (space, name, unit) == ("/aws/sagemaker/Endpoints", "MemoryUtilization", "Percent")
            and dict(dimensions) == wanted
        ]

    uvloop.run(scenario())
    parts = [memory("host-0")[0], memory("host-1")[0]]
    assert all(part > 0 for part in parts)
    assert memory(None)[0] == pytest.approx(sum(parts))
    names = {name for _, _, name, _, _, dims in world.metrics.values if "ContainerName" in dict(dims)}
    assert names == {"CPUUtilization", "MemoryUtilization"}


def test_requests_in_flight_are_recorded_for_the_variant(world: World) -> None:
    async def scenario() -> None:
        async with world.manager(clock=Clock(600)) as manager:
            fleet = create(manager, world.model(ECHO))
            await fleet.start(1)
            deadline = asyncio.get_running_loop().time() + 20
            for _ in range(3):
                await fleet.acquire(deadline)
            await until(lambda: 3.0 in concurrent())

    def concurrent() -> list[Any]:
        dimensions = (("EndpointName", "reviews"), ("VariantName", "AllTraffic"))
        return [
            record[4]
            for record in world.metrics.values
            if record[1:4] == ("AWS/SageMaker", "ConcurrentRequestsPerModel", "Count")
            and record[5] == dimensions
        ]

    uvloop.run(scenario())
