"""Creating, scaling and deleting endpoints."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.errors import ServiceError
from tests.sandbox_runtime.fakes import SCOPE, Load, Plane, Request, http, says, variant


def test_created_with_all_variants(plane: Plane) -> None:
    plane.model("a", answerer=says("a"))
    plane.model("b", answerer=says("b"))
    endpoint = plane.create(
        plane.config("c", variant("A", "a", count=2, weight=1.0), variant("B", "b", count=1, weight=0.0))
    )
    assert endpoint.status == "InService"
    assert endpoint.failure_reason is None
    assert {name: len(one.fleet.in_service()) for name, one in endpoint.variants.items()} == {"A": 2, "B": 1}
    assert (endpoint.variants["A"].weight, endpoint.variants["B"].weight) == (1.0, 0.0)
    assert plane.invoke()["Body"].read() == b"a"


def test_a_fleet_that_fails_fails_the_endpoint_and_leaves_nothing(plane: Plane) -> None:
    plane.model("good")
    plane.model(
        "bad", fails="The primary container for production variant B did not pass the ping health check."
    )
    endpoint = plane.create(plane.config("c", variant("A", "good"), variant("B", "bad")))
    assert endpoint.status == "Failed"
    assert "did not pass the ping health check" in (endpoint.failure_reason or "")
    assert [fleet.instances for fleet in plane.fleets.made] == [[], []]


def test_a_missing_model_refuses_at_once(plane: Plane) -> None:
    config = plane.config("c", variant("A", "gone"))
    with pytest.raises(ServiceError, match=r'Could not find model "arn:aws:sagemaker:.*:model/gone"'):
        plane.create(config)
    assert plane.fleets.made == []


def test_a_fault_of_ours_ends_in_a_status(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("sandbox.deployments.service.start_fleets", broken)
    plane.model("model")
    endpoint = plane.create(plane.config("c", variant("A", "model")))
    assert endpoint.status == "Failed"
    assert endpoint.failure_reason == "Internal error of the sandbox, see its log: RuntimeError: bug"


def test_weights_and_counts_change_in_place(plane: Plane) -> None:
    plane.model("a", answerer=says("a"))
    plane.model("b", answerer=says("b"))
    endpoint = plane.create(plane.config("c", variant("A", "a"), variant("B", "b", count=2)))

    def change() -> str:
        plane.deployments.update_weights_and_capacities(
            endpoint,
            [
                {"VariantName": "A", "DesiredWeight": 0.0, "DesiredInstanceCount": 3},
                {"VariantName": "B", "DesiredInstanceCount": 1},
            ],
        )
        return endpoint.status

    assert plane.call(change) == "Updating"
    plane.settle(endpoint)
    assert endpoint.status == "InService"
    assert {name: len(one.fleet.in_service()) for name, one in endpoint.variants.items()} == {"A": 3, "B": 1}
    assert {plane.invoke()["InvokedProductionVariant"] for _ in range(20)} == {"B"}
    assert plane.invoke(TargetVariant="A")["Body"].read() == b"a"


def test_a_fleet_that_cannot_grow_leaves_all_as_it_was(plane: Plane) -> None:
    endpoint = plane.serve()
    fleet = plane.fleets.made[0]
    fleet.scale_error = "The sandbox runs 24 model servers at most."
    desired = [{"VariantName": "AllTraffic", "DesiredWeight": 0.5, "DesiredInstanceCount": 30}]
    plane.call(lambda: plane.deployments.update_weights_and_capacities(endpoint, desired))
    plane.settle(endpoint)
    one = endpoint.variants["AllTraffic"]
    assert endpoint.status == "InService"
    assert endpoint.failure_reason == "The sandbox runs 24 model servers at most."
    assert (one.weight, one.desired_weight, one.desired_instance_count) == (1.0, 1.0, 1)
    assert len(fleet.in_service()) == 1


def test_scaling_in_under_load_fails_no_request(plane: Plane) -> None:
    async def slow(request: Request) -> bytes:
        await asyncio.sleep(0.01)
        return http(b"ok")

    endpoint = plane.serve(slow, count=3)
    with Load(plane) as load:
        for count in (1, 3, 2):
            desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
            plane.call(
                lambda desired=desired: plane.deployments.update_weights_and_capacities(endpoint, desired)
            )
            plane.settle(endpoint)
    assert load.errors == []
    assert load.answers


def test_deleted_after_the_requests_in_flight(plane: Plane) -> None:
    # GIVEN an endpoint that works on a request
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> bytes:
        arrived.set()
        await go_on.wait()
        return http(b"done")

    endpoint = plane.serve(slow)
    plane.stores.of(SCOPE).tags[endpoint.arn] = {"a": "b"}
    answers: list[Any] = []
    in_flight = plane.loop.run_in_executor(None, lambda: answers.append(plane.invoke()["Body"].read()))
    plane.until(arrived.is_set)
    # WHEN it is deleted
    plane.call(lambda: plane.deployments.delete(endpoint))
    # THEN new requests are refused, the one in flight is answered, and then it is gone
    with pytest.raises(plane.client.exceptions.ValidationError, match="its status is Deleting"):
        plane.invoke()
    plane.loop.call_soon_threadsafe(go_on.set)
    plane.until(lambda: not plane.stores.of(SCOPE).endpoints)
    plane.until(in_flight.done)
    assert answers == [b"done"]
    assert plane.fleets.made[0].instances == []
    assert plane.stores.of(SCOPE).tags == {}


def test_a_failed_endpoint_can_be_deleted(plane: Plane) -> None:
    plane.model("bad", fails="no")
    endpoint = plane.create(plane.config("c", variant("A", "bad")))
    plane.call(lambda: plane.deployments.delete(endpoint))
    plane.until(lambda: not plane.stores.of(SCOPE).endpoints)


def test_stopping_in_the_middle_of_a_creation(plane: Plane) -> None:
    plane.model("slow", hangs=True)
    plane.create(plane.config("c", variant("A", "slow")), wait=False)
    plane.run(plane.deployments.stop())
    assert plane.fleets.made[0].stopped
