"""What the control plane refuses of asynchronous endpoints, and shows of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.control_plane.config_rules import check_config
from sandbox.control_plane.endpoints import Endpoints
from sandbox.errors import ServiceError
from sandbox.store import Params, Record, Stores, Variant
from tests.sandbox_async.plane import ERROR, SUCCESS
from tests.sandbox_runtime.fakes import SCOPE, FakeFleets, variant

ASYNC = {"OutputConfig": {"S3OutputPath": "s3://data/output"}}


def config(**changes: Any) -> Params:
    """A request of CreateEndpointConfig for an asynchronous endpoint."""
    return {"ProductionVariants": [variant("main", "model")], "AsyncInferenceConfig": ASYNC, **changes}


def findings(request: Params, **model: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        check_config(request, {"model": {"ExecutionRoleArn": "role", **model}}, SCOPE)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def notifying(**topics: Any) -> Params:
    return config(
        AsyncInferenceConfig={"OutputConfig": {**ASYNC["OutputConfig"], "NotificationConfig": topics}}
    )


def test_a_configuration_with_everything_is_accepted() -> None:
    request = notifying(
        SuccessTopic=SUCCESS, ErrorTopic=ERROR, IncludeInferenceResponseIn=["SUCCESS_NOTIFICATION_TOPIC"]
    )
    check_config(request, {"model": {"ExecutionRoleArn": "role"}}, SCOPE)


def test_topics_of_another_region_are_refused_all_at_once() -> None:
    foreign = "arn:aws:sns:us-east-1:000000000000:topic"
    message = findings(notifying(SuccessTopic=foreign, ErrorTopic=foreign))
    assert "SuccessTopic is in us-east-1; it must be in the endpoint's Region, ap-northeast-2" in message
    assert "ErrorTopic is in us-east-1" in message


@pytest.mark.parametrize(
    ("request_", "model", "words"),
    [
        (config(AsyncInferenceConfig={"OutputConfig": {}}), {}, "needs S3OutputPath"),
        (notifying(IncludeInferenceResponseIn=["ERROR_NOTIFICATION_TOPIC"]), {}, "needs ErrorTopic"),
        (
            config(ProductionVariants=[variant("main", "model", InstanceType="ml.inf1.xlarge")]),
            {},
            "not supported on ml.inf1",
        ),
        (config(), {"InferenceExecutionConfig": {"Mode": "Direct"}, "Containers": []}, "Direct mode"),
        (
            config(
                ProductionVariants=[
                    {
                        "VariantName": "main",
                        "ModelName": "model",
                        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
                    }
                ]
            ),
            {},
            "AsyncInferenceConfig is not supported for serverless",
        ),
        (
            config(ShadowProductionVariants=[variant("shadow", "model")]),
            {},
            "shadow variants do not support AsyncInferenceConfig",
        ),
    ],
)
def test_what_asynchronous_endpoints_do_not_support(request_: Params, model: Params, words: str) -> None:
    assert words in findings(request_, **model)


class Work:
    """Deployments that are done at once."""

    def __init__(self) -> None:
        self.desired: list[Params] = []

    def create(self, endpoint: Any, made: Record) -> None:
        endpoint.status = "InService"
        endpoint.async_inference = made.request.get("AsyncInferenceConfig")
        for params in made.request["ProductionVariants"]:
            fleet = FakeFleets().create(endpoint.name, params, made, SCOPE)
            name = params["VariantName"]
            endpoint.variants[name] = Variant(name, 1.0, 1.0, 1, fleet, params)

    def update(self, *_: Any, **__: Any) -> None:
        raise AssertionError("must not be reached")

    def update_weights_and_capacities(self, endpoint: Any, desired: list[Params]) -> None:
        self.desired = desired

    def delete(self, endpoint: Any) -> None:
        raise AssertionError("must not be reached")


@pytest.fixture
def endpoints() -> Endpoints:
    """A control plane with the configurations ``async`` and ``real-time``, and an endpoint of each."""
    stores = Stores()
    store, now = stores.of(SCOPE), datetime.now(UTC)
    store.models["model"] = Record("model", "arn", {}, now, now)
    real_time = {"ProductionVariants": [variant("main", "model")]}
    for name, request in (("async", config()), ("real-time", real_time)):
        store.endpoint_configs[name] = Record(name, f"arn:{name}", request, now, now)
    endpoints = Endpoints(stores, Work())
    for name in ("async", "real-time"):
        endpoints.create({"EndpointName": name, "EndpointConfigName": name}, SCOPE)
    return endpoints


def test_an_endpoint_stays_of_its_kind(endpoints: Endpoints) -> None:
    # GIVEN an asynchronous and a real-time endpoint
    # WHEN one is updated to a configuration of the other kind
    # THEN that is refused: what waits in the queue would have nobody
    for name, other in (("async", "real-time"), ("real-time", "async")):
        with pytest.raises(ServiceError, match="Create another endpoint"):
            endpoints.update({"EndpointName": name, "EndpointConfigName": other}, SCOPE)


def test_only_asynchronous_endpoints_go_down_to_zero(endpoints: Endpoints) -> None:
    desired = [{"VariantName": "main", "DesiredInstanceCount": 0}]
    endpoints.update_weights_and_capacities(
        {"EndpointName": "async", "DesiredWeightsAndCapacities": desired}, SCOPE
    )
    with pytest.raises(ServiceError, match="must be at least 1 for a real-time endpoint"):
        endpoints.update_weights_and_capacities(
            {"EndpointName": "real-time", "DesiredWeightsAndCapacities": desired}, SCOPE
        )


def test_the_description_shows_the_configuration_of_the_queue(endpoints: Endpoints) -> None:
    assert endpoints.describe({"EndpointName": "async"}, SCOPE)["AsyncInferenceConfig"] == ASYNC
    assert "AsyncInferenceConfig" not in endpoints.describe({"EndpointName": "real-time"}, SCOPE)
