"""The project's SageMaker API with a registry, and an endpoint whose endings the test decides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.control_plane.model_packages import ModelPackages
from sandbox.events import EventPublisher, spelled
from sandbox.store import Params
from tests.sandbox_api.world import IMAGE, ROLE, SCOPE, Wire, World
from tests.sandbox_runtime.fake_aws import FakeBus

ENDPOINT, GROUP = "reviews", "reviews-versions"
LEFT = 600.0
DEPLOYMENT = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 300,
        },
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}
ENVIRONMENT = {
    "ENDPOINT_NAME": ENDPOINT,
    "MODEL_PACKAGE_GROUP": GROUP,
    "MODEL": json.dumps({"ExecutionRoleArn": ROLE, "EnableNetworkIsolation": False}),
    "ENDPOINT_CONFIG": json.dumps(
        {
            "ProductionVariants": [
                {"VariantName": "main", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
            ]
        }
    ),
    "DEPLOYMENT_CONFIG": json.dumps(DEPLOYMENT),
    "TAGS": json.dumps([{"Key": "pattern", "Value": "ml-pipeline"}]),
}


class Plane(World):
    """The API; what is done to the endpoint is held until `end`."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.sagemaker = client
        self.bus = FakeBus()
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        self.control_plane.add_operations(ModelPackages(self.stores, self.events).operations)
        self.deployments.hold = True
        self.sagemaker_calls: list[str] = []
        self.refusals: dict[str, Exception] = {}
        self.before: dict[str, Any] = {}

    def send(self, service: str, headers: dict[str, str], body: bytes) -> Any:
        operation = headers["X-Amz-Target"].rpartition(".")[2]
        self.sagemaker_calls.append(operation)
        if hook := self.before.pop(operation, None):
            hook()
        if operation in self.refusals:
            raise self.refusals[operation]
        return super().send(service, headers, body)

    def close(self) -> None:
        self.run(self.events.stop())
        super().close()

    # the registry

    def register(self, status: str = "PendingManualApproval", data: str = "", **changed: Any) -> str:
        """The ARN of a new version; each has other model data unless `data` says which."""
        if not self.stores.of(SCOPE).model_package_groups:
            self.call("CreateModelPackageGroup", {"ModelPackageGroupName": GROUP})
        number = len(self.stores.of(SCOPE).model_packages) + 1
        url = f"s3://bucket/models/{data or number}/model.tar.gz"
        container = {
            "Image": IMAGE,
            "ModelDataUrl": url,
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        }
        request = {
            "ModelPackageGroupName": GROUP,
            "ModelApprovalStatus": status,
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        }
        return str(self.call("CreateModelPackage", request | changed)["ModelPackageArn"])

    def decide(self, arn: str, status: str) -> Params:
        """Approve or reject; the event of it."""
        self.call("UpdateModelPackage", {"ModelPackageArn": arn, "ModelApprovalStatus": status})
        return package_event(arn, status)

    # the endpoint

    def end(self, *, well: bool = True) -> Params:
        """What is going on at the endpoint ends; the event of it."""
        name, status = ENDPOINT, self.status
        if well:
            self.deployments.finish()
        else:
            self.deployments._held.clear()
            endpoint = self.endpoint(name)
            endpoint.pending = None
            endpoint.status = {"Creating": "Failed", "Updating": "InService"}[status]
            endpoint.failure_reason = "No instance could be had."
        return endpoint_event("DELETED" if status == "Deleting" else spelled(self.status))

    @property
    def status(self) -> str:
        """EndpointStatus, empty if there is no endpoint."""
        found = self.stores.of(SCOPE).endpoints.get(ENDPOINT)
        return found.status if found else ""

    @property
    def is_busy(self) -> bool:
        return self.status in ("Creating", "Updating", "Deleting")

    @property
    def served(self) -> str:
        """The model data that the endpoint serves, or is being created with."""
        return self.data_of(self.endpoint(ENDPOINT).config_name)

    def data_of(self, config: str) -> str:
        """The model data of a configuration."""
        store = self.stores.of(SCOPE)
        (variant,) = store.endpoint_configs[config].request["ProductionVariants"]
        return str(store.models[variant["ModelName"]].request["PrimaryContainer"]["ModelDataUrl"]).split("/")[
            4
        ]

    @property
    def models(self) -> set[str]:
        return set(self.stores.of(SCOPE).models)

    @property
    def configs(self) -> set[str]:
        return set(self.stores.of(SCOPE).endpoint_configs)

    def tags(self, config: str) -> dict[str, str]:
        store = self.stores.of(SCOPE)
        return dict(store.tags[store.endpoint_configs[config].arn])


class Deploy:
    """The function under test before a plane."""

    def __init__(self, functions: SimpleNamespace, plane: Plane) -> None:
        self.functions, self.plane = functions, plane

    def __call__(self, event: Params | None = None, **options: Any) -> Params:
        """Call it; its answer, which is flat and all texts."""
        options.setdefault("left", lambda: LEFT)
        answer: Params = self.functions.deploy.deployed(event or {}, **options)
        assert set(answer) == {"endpoint_name", "status", "model_package_arn", "message"}
        assert all(type(value) is str for value in answer.values())
        return answer

    def live(self, data: str = "") -> str:
        """Have a version in service; its ARN."""
        arn = self.plane.register("Approved", data)
        self()
        self.plane.end()
        return arn


def package_event(arn: str, status: str, group: str = GROUP) -> Params:
    detail = {"ModelPackageGroupName": group, "ModelPackageArn": arn, "ModelApprovalStatus": status}
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "detail": detail,
    }


def endpoint_event(status: str, name: str = ENDPOINT) -> Params:
    detail = {"EndpointName": name, "EndpointStatus": status}
    return {"source": "aws.sagemaker", "detail-type": "SageMaker Endpoint State Change", "detail": detail}


@contextmanager
def opened(functions: SimpleNamespace, wire: Wire, client: Any) -> Iterator[Plane]:
    """A new plane, which the functions' clients reach; waiting takes no time."""
    plane = Plane(client)
    wire.world = plane
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            patch.setattr(functions.aws, "boto3", SimpleNamespace(client=lambda service, config: client))
            patch.setattr(functions.waiting, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
            functions.aws.client.cache_clear()
            yield plane
    finally:
        functions.aws.client.cache_clear()
        wire.world = None
        plane.close()
