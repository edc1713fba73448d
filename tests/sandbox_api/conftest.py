"""Fixtures: the APIs as boto3 clients, and the usual resources."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.alarms import AlarmEvaluator
from sandbox.clock import Clock
from sandbox.store import Params
from tests.sandbox_api.alarm_source import Source
from tests.sandbox_api.scaled import Scaled
from tests.sandbox_api.scaling import WHICH
from tests.sandbox_api.world import DEADLINE, IMAGE, ROLE, SCOPE, Wire, World


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def _sagemaker(wire: Wire) -> Any:
    return wire.client("sagemaker")


@pytest.fixture(scope="session")
def _autoscaling(wire: Wire) -> Any:
    return wire.client("application-autoscaling")


@pytest.fixture
def world(wire: Wire, request: pytest.FixtureRequest) -> Iterator[World]:
    """The APIs; parametrise it indirectly with a time scale."""
    world = wire.world = World(getattr(request, "param", 1.0))
    yield world
    wire.world = None
    world.close()


@pytest.fixture
def sagemaker(_sagemaker: Any, world: World) -> Any:
    return _sagemaker


@pytest.fixture
def autoscaling(_autoscaling: Any, world: World) -> Any:
    return _autoscaling


@pytest.fixture
def refused() -> Callable[..., tuple[str, str]]:
    """Calls an operation and gives the code and the message of the error that it must answer."""

    def refused(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            call(**params)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    return refused


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Waits for a condition, with a deadline."""

    def until(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, "the condition was not met in time"
            time.sleep(0.01)

    return until


@pytest.fixture
def container() -> Params:
    return {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}


@pytest.fixture
def make_model(sagemaker: Any, container: Params) -> Callable[..., str]:
    def make_model(name: str = "model", **params: Any) -> str:
        params = {"PrimaryContainer": container, "ExecutionRoleArn": ROLE} | params
        sagemaker.create_model(ModelName=name, **{k: v for k, v in params.items() if v is not None})
        return name

    return make_model


@pytest.fixture
def variant() -> Callable[..., Params]:
    def variant(name: str = "blue", count: int = 2, **more: Any) -> Params:
        made = {
            "VariantName": name,
            "ModelName": "model",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": count,
            **more,
        }
        return {key: value for key, value in made.items() if value is not None}

    return variant


@pytest.fixture
def make_config(sagemaker: Any, make_model: Any, variant: Any, world: World) -> Callable[..., str]:
    def make_config(name: str = "config", *variants: Params, **params: Any) -> str:
        if "model" not in world.stores.of(SCOPE).models:
            make_model()
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants) or [variant()], **params
        )
        return name

    return make_config


@pytest.fixture
def make_endpoint(sagemaker: Any, make_config: Any) -> Callable[..., str]:
    def make_endpoint(name: str = "endpoint", *variants: Params, **params: Any) -> str:
        make_config(f"{name}-config", *variants)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config", **params)
        return name

    return make_endpoint


@pytest.fixture
def source() -> Source:
    """CloudWatch in memory."""
    return Source()


@pytest.fixture
def evaluator(source: Source) -> AlarmEvaluator:
    """Evaluates the alarms of `source`; scaling actions are noted there."""
    return AlarmEvaluator(source, Clock(), lambda *call: source.fired.append(call))


@pytest.fixture
def target(autoscaling: Any, make_endpoint: Any) -> str:
    """A scalable target, 1 to 4 instances, of an endpoint with 2."""
    make_endpoint("e")
    arn: str = autoscaling.register_scalable_target(**WHICH, MinCapacity=1, MaxCapacity=4)[
        "ScalableTargetARN"
    ]
    return arn


@pytest.fixture
def scaled(world: World, autoscaling: Any, sagemaker: Any, make_endpoint: Any, until: Any) -> Scaled:
    """An endpoint with a scalable target of 1 to 10 instances."""
    make_endpoint("e")
    autoscaling.register_scalable_target(**WHICH, MinCapacity=1, MaxCapacity=10)
    return Scaled(world, autoscaling, sagemaker, until)
