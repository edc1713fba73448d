"""The emulated APIs behind real boto3 clients, without a socket: requests go straight to `protocol.answer`.

Every answer is held against botocore's output shape, so that each test is a conformance test as well.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import Shape

from sandbox.autoscaling import ApplicationAutoScaling
from sandbox.clock import Clock
from sandbox.control_plane import ControlPlane
from sandbox.protocol import Response, answer
from sandbox.store import Endpoint, Params, Pending, Record, Scope, Stage, Stores, TransformJob, Variant

SCOPE = Scope("000000000000", "ap-northeast-2")
ROLE = "arn:aws:iam::000000000000:role/service"
IMAGE = "366743142698.dkr.ecr.ap-northeast-2.amazonaws.com/sagemaker-scikit-learn:1.2-1"
DEADLINE = 10.0


class FakeFleet:
    """A fleet as far as DescribeEndpoint looks at it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.deployed_images = [{"SpecifiedImage": IMAGE, "ResolvedImage": IMAGE + "@sha256:0"}]

    def in_service(self) -> list[object]:
        return [object()] * self.count


class FakeDeployments:
    """Carries changes out at once, or holds them until `finish` when `hold` is set; can refuse too."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.hold = False
        self.refusal: Exception | None = None
        self.short_by = 0
        self.calls: list[tuple[str, Any]] = []
        self._held: list[Callable[[], None]] = []

    def create(self, endpoint: Endpoint, config: Record) -> None:
        self._change("create", config.name, endpoint, "Creating", lambda: self._serve(endpoint, config))

    def update(
        self,
        endpoint: Endpoint,
        config: Record,
        deployment_config: Params | None,
        *,
        retain_all: bool,
        exclude: frozenset[str],
    ) -> None:
        details = (config.name, deployment_config, retain_all, exclude)
        self._change("update", details, endpoint, "Updating", lambda: self._serve(endpoint, config))
        if self.hold:
            endpoint.pending = Pending(config.name, datetime.now(UTC))
            endpoint.pending.variants = {
                name: replace(variant, stage=Stage("Baking", "Baking the new fleet", datetime.now(UTC)))
                for name, variant in endpoint.variants.items()
            }
            endpoint.pending.shadow_variants = _variants(config, "ShadowProductionVariants")

    def update_weights_and_capacities(self, endpoint: Endpoint, desired: list[Params]) -> None:
        def apply() -> None:
            for item in desired:
                variant = endpoint.all_variants[item["VariantName"]]
                variant.weight = variant.desired_weight = item.get("DesiredWeight", variant.weight)
                count = item.get("DesiredInstanceCount", variant.desired_instance_count)
                variant.desired_instance_count = count
                variant.fleet.count = count - self.short_by  # type: ignore[attr-defined]

        self._change("weights", desired, endpoint, "Updating", apply)

    def delete(self, endpoint: Endpoint) -> None:
        def remove() -> None:
            del self.stores.of(endpoint.scope).endpoints[endpoint.name.lower()]

        self._change("delete", endpoint.name, endpoint, "Deleting", remove)

    def finish(self) -> None:
        held, self._held = self._held, []
        for done in held:
            done()

    def _change(
        self, what: str, details: Any, endpoint: Endpoint, status: str, apply: Callable[[], None]
    ) -> None:
        if self.refusal:
            raise self.refusal
        self.calls.append((what, details))
        endpoint.status = status

        def done() -> None:
            apply()
            endpoint.status = "InService"
            endpoint.pending = None

        if self.hold:
            self._held.append(done)
        else:
            done()

    def _serve(self, endpoint: Endpoint, config: Record) -> None:
        endpoint.config_name = config.name
        endpoint.variants |= _variants(config, "ProductionVariants")
        endpoint.shadow_variants = _variants(config, "ShadowProductionVariants")


def _variants(config: Record, member: str) -> dict[str, Variant]:
    variants = {}
    for params in config.request.get(member, []):
        count, weight = params["InitialInstanceCount"], params.get("InitialVariantWeight", 1.0)
        fleet: Any = FakeFleet(count)
        name = params["VariantName"]
        variants[name] = Variant(name, weight, weight, count, fleet, params)
    return variants


class FakeCloudWatch:
    """Alarms and points, as boto3 gives them."""

    def __init__(self) -> None:
        self.alarms: dict[str, Params] = {}
        self.published: list[tuple[float, str, float, float]] = []  # time, metric, value, how often
        self.reads = 0
        self.refuses = False

    def put_metric_alarm(self, **alarm: Any) -> None:
        self._access()
        self.alarms[alarm["AlarmName"]] = alarm

    def delete_alarms(self, *, AlarmNames: list[str]) -> None:  # noqa: N803 - boto3's word
        self._access()
        for name in AlarmNames:
            del self.alarms[name]

    def put_metric_data(self, *, Namespace: str, MetricData: list[Params]) -> None:  # noqa: N803 - boto3's words
        assert Namespace == "AWS/SageMaker"
        self.published += [(time.time(), datum["MetricName"], datum["Value"], 1.0) for datum in MetricData]

    def describe_alarms(self, *, AlarmNames: list[str], AlarmTypes: list[str]) -> Params:  # noqa: N803 - boto3's words
        return {"MetricAlarms": [self.alarms[name] for name in AlarmNames if name in self.alarms]}

    def get_metric_statistics(self, **request: Any) -> Params:
        assert request["Period"] == 1
        self.reads += 1
        start, end = request["StartTime"].timestamp(), request["EndTime"].timestamp()
        return {
            "Datapoints": [
                {
                    "Timestamp": datetime.fromtimestamp(int(at), UTC),
                    "SampleCount": count,
                    "Sum": value * count,
                    "Minimum": value,
                    "Maximum": value,
                }
                for at, metric, value, count in self.published
                if metric == request["MetricName"] and start <= at < end
            ]
        }

    def _access(self) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutMetricAlarm")


class FakeTransformJobs:
    """Notes transform jobs; can refuse them."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.created: list[TransformJob] = []

    def create(self, job: TransformJob, model: Record) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.created.append(job)

    def stop(self, job: TransformJob) -> None:
        job.status = "Stopping"


class World:
    """The APIs on a loop of their own, and what stands around them."""

    def __init__(self, scale: float = 1.0) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.stores = Stores()
        self.deployments = FakeDeployments(self.stores)
        self.transform_jobs = FakeTransformJobs()
        self.cloudwatch = FakeCloudWatch()
        self.objects: dict[tuple[str, str], bytes] = {}
        aws: Any = SimpleNamespace(client=self._client)
        self.control_plane = ControlPlane(self.stores, self.deployments, aws, self.transform_jobs)
        self.autoscaling = ApplicationAutoScaling(self.control_plane, aws, Clock(scale))

    def _client(self, service: str, scope: Scope) -> Any:
        assert scope == SCOPE
        return self.cloudwatch if service == "cloudwatch" else SimpleNamespace(get_object=self._get_object)

    def _get_object(self, *, Bucket: str, Key: str) -> Params:  # noqa: N803 - boto3's words
        if (Bucket, Key) not in self.objects:
            error = {"Error": {"Code": "NoSuchKey", "Message": "The specified key does not exist."}}
            raise ClientError(error, "GetObject")
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def send(self, service: str, headers: dict[str, str], body: bytes) -> Response:
        api = self.control_plane if service == "sagemaker" else self.autoscaling
        response: Response = self.run(answer(api, headers, body, SCOPE))
        return response

    def call(self, operation: str, params: Params) -> Params:
        answer: Params = self.run(self.control_plane.call(operation, params, SCOPE))
        return answer

    def endpoint(self, name: str) -> Endpoint:
        return self.stores.of(SCOPE).endpoints[name.lower()]

    def close(self) -> None:
        self.run(self.autoscaling.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


def conform(shape: Shape | None, value: Any, path: str = "answer") -> None:
    """An answer has all members that its shape requires, none that it lacks, and values of the right kind."""
    match shape.type_name if shape else "structure":
        case "structure":
            members = shape.members if shape else {}  # type: ignore[attr-defined]
            required = shape.required_members if shape else []  # type: ignore[attr-defined]
            assert set(value) <= set(members), f"{path} has unknown members {set(value) - set(members)}"
            assert set(required) <= set(value), f"{path} lacks {set(required) - set(value)}"
            for name, item in value.items():
                conform(members[name], item, f"{path}.{name}")
        case "list":
            for number, item in enumerate(value):
                conform(shape.member, item, f"{path}[{number}]")  # type: ignore[union-attr]
        case "map":
            assert isinstance(value, dict)
        case "string":
            assert isinstance(value, str), path
            assert not shape.enum or value in shape.enum, f"{path} is {value}"  # type: ignore[union-attr]
        case "boolean":
            assert isinstance(value, bool), path
        case _:
            assert isinstance(value, (int, float)), path
            assert not isinstance(value, bool), path


class Wire:
    """Sends a boto3 client's requests to the world of the running test."""

    def __init__(self) -> None:
        self.world: World | None = None

    def client(self, service: str) -> Any:
        client = boto3.client(
            service,
            region_name=SCOPE.region,
            aws_access_key_id=SCOPE.account,
            aws_secret_access_key="test",
            # the checks of the service are under test, not those of the client
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )
        model = client.meta.service_model

        def send(request: Any, event_name: str, **_: Any) -> AWSResponse:
            assert self.world is not None
            headers = {
                name: value.decode() if isinstance(value, bytes) else value
                for name, value in request.headers.items()
            }
            body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
            response = self.world.send(service, headers, body)
            if response.status == 200:
                operation = headers["X-Amz-Target"].rpartition(".")[2]
                conform(model.operation_model(operation).output_shape, json.loads(response.body))
            return AWSResponse(request.url, response.status, response.headers, _Raw(response.body))

        client.meta.events.register(f"before-send.{model.service_id.hyphenize()}", send)
        return client


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
