"""The only module that touches ministack's own names.

ministack has no plug-in interface: its module-level tables and functions are extended and replaced here,
before its gateway starts. Each of those names is checked first, so that another version of ministack is
refused with a list of what is different, and does not fail somewhere half-way. The pin in
requirements-dev.in is exact for the same reason.

CloudFormation and Step Functions take 1.5 s to import; they are loaded and extended on a thread after the
gateway has started, and the first request for them waits for that.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import ModuleType
from typing import Any, Protocol, overload

from sandbox.alarms import Point
from sandbox.cloudformation import RESOURCES, Api, Made, Resource
from sandbox.errors import SandboxError
from sandbox.events import SOURCE, Event
from sandbox.protocol import Response
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

EXPECTED_VERSION = "1.5.33"

# CloudWatch keeps points of a second for 3 hours and then less and less (API_GetMetricData); this is what
# fits into memory under constant load, newest first
MAX_POINTS_PER_SERIES = 100_000
MAX_POINT_AGE = 14 * 24 * 3600
EVICTION_INTERVAL = 60.0

Handler = Callable[[str, str, dict[str, str], bytes, Any], Awaitable[tuple[int, dict[str, str], bytes]]]


class Emulator(Protocol):
    """What answers for the services that ministack has not: `sandbox.engine.Engine`."""

    async def handle(self, service: str, headers: dict[str, str], body: bytes, scope: Scope) -> Response:
        """Answer a JSON 1.1 request."""

    def call(self, service: str, operation: str, params: Params, scope: Scope) -> Params:
        """Call an operation from a worker thread."""


class IncompatibleMinistack(SandboxError):
    """The installed ministack is not one that this module can extend."""


@dataclass(frozen=True)
class Hook:
    """A name of ministack that is used here.

    Args:
        module: Module below ``ministack``.
        name: Its attribute.
        shape: A type that it must be an instance of, or the names of a function's parameters.
    """

    module: str
    name: str
    shape: type | tuple[str, ...]

    def finding(self) -> str | None:
        """What is wrong with it, None if nothing is."""
        path = f"ministack.{self.module}"
        try:
            value = getattr(importlib.import_module(path), self.name)
        except (ImportError, AttributeError) as error:
            return f"{path}.{self.name}: {error}"
        if isinstance(self.shape, type):
            found = type(value).__name__
            return None if isinstance(value, self.shape) else f"{path}.{self.name} is a {found}"
        if not callable(value):
            return f"{path}.{self.name} is not a function"
        parameters = tuple(inspect.signature(value).parameters)[: len(self.shape)]
        if parameters != self.shape:
            return f"{path}.{self.name} takes ({', '.join(parameters)}), not ({', '.join(self.shape)})"
        return None


_PUT = ("params", "cbor_data", "is_cbor", "is_json")

GATEWAY_HOOKS = (
    Hook("app", "app", ("scope", "receive", "send")),
    Hook("app", "SERVICE_HANDLERS", dict),
    Hook("app", "_S3_VHOST_EXCLUDE_RE", re.Pattern),
    Hook("core.router", "SERVICE_PATTERNS", dict),
    Hook("core.responses", "get_account_id", ()),
    Hook("core.responses", "get_region", ()),
    Hook("core.responses", "request_scope", ("account_id", "region")),
    Hook("services.cloudwatch", "_alarms", object),
    Hook("services.cloudwatch", "_metrics", object),
    Hook("services.cloudwatch", "_dims_key", ("dims",)),
    Hook("services.cloudwatch", "_point_stats", ("pt",)),
    Hook("services.cloudwatch", "_evaluate_alarm", ("alarm",)),
    Hook("services.cloudwatch", "_evaluate_all_alarms", ()),
    Hook("services.cloudwatch", "_evict_old_metrics", ()),
    Hook("services.cloudwatch", "_put_metric_alarm", _PUT),
    Hook("services.cloudwatch", "_set_alarm_state", _PUT),
)

# of modules that are imported after the start
LATE_HOOKS = (
    Hook("services.eventbridge", "_put_events", ("data", "allow_aws_source")),
    Hook("services.cloudformation.stacks", "_runs_on_worker_thread", ("resource_type",)),
    Hook("services.cloudformation.stacks", "now_iso", ()),
    Hook("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", dict),
    Hook("services.cloudformation.provisioners", "_REPLACING_PROPERTIES", dict),
    Hook("services.cloudformation.provisioners", "_STACK_TAG_PROPERTY", dict),
    Hook("services.cloudformation.provisioners", "_cw_metric_alarm_record", ("name", "props")),
    Hook("services.cloudformation.provisioners", "_s3_create", ("logical_id", "props", "stack_name")),
    Hook(
        "services.cloudformation.provisioners",
        "_s3_update",
        ("physical_id", "old_props", "new_props", "stack_name"),
    ),
    Hook("services.s3", "_bucket_tags", object),
    Hook("services.stepfunctions", "_AWS_SDK_SERVICE_MAP", dict),
)


def check(hooks: Iterable[Hook] = (*GATEWAY_HOOKS, *LATE_HOOKS)) -> None:
    """Check that names of ministack are what this module takes them for.

    Raises:
        IncompatibleMinistack: Some are not; all of them are listed.
    """
    findings = [finding for hook in hooks if (finding := hook.finding())]
    if findings:
        raise IncompatibleMinistack(
            f"ministack {version('ministack')} is installed, the sandbox is made for {EXPECTED_VERSION}; "
            "these names are missing or different:\n  "
            + "\n  ".join(findings)
            + f"\nInstall the pinned version: python -m pip install ministack=={EXPECTED_VERSION}"
        )


class Ministack:
    """ministack with SageMaker and Application Auto Scaling in it. Make one per process.

    Set the environment variables that ministack reads before (server.py), it reads them when imported.

    Args:
        emulator: Who answers for the two services.

    Raises:
        IncompatibleMinistack: ministack is another one than expected.
    """

    def __init__(self, emulator: Emulator) -> None:
        check(GATEWAY_HOOKS)
        if version("ministack") != EXPECTED_VERSION:
            check(LATE_HOOKS)  # takes a second, and is done only when there is reason to
        self._emulator = emulator
        self._app = _module("app")
        self._cloudformation: Future[None] = Future()
        self._add_services()
        _repair_cloudwatch(_module("services.cloudwatch"))
        self.alarms = CloudWatchAlarms()

    @property
    def asgi(self) -> Callable[..., Awaitable[None]]:
        """The gateway, as an ASGI application."""
        application: Callable[..., Awaitable[None]] = self._app.app
        return application

    async def put_event(self, event: Event) -> None:
        """Put an event of SageMaker on its account's default bus; call it on the gateway's loop.

        EventBridge's own PutEvents takes no event whose source begins with ``aws.``.

        Raises:
            SandboxError: EventBridge does not take it.
        """
        entry = {
            "Source": SOURCE,
            "DetailType": event.detail_type,
            "Resources": [event.resource],
            "Detail": event.detail,
        }
        with _module("core.responses").request_scope(*event.scope):
            status, _, body = _module("services.eventbridge")._put_events(
                {"Entries": [entry]}, allow_aws_source=True
            )
        if status != 200 or json.loads(body)["FailedEntryCount"]:
            raise SandboxError(f"EventBridge refuses it: {body}")

    def load_cloudformation(self) -> None:
        """Import and extend CloudFormation on a thread; its requests wait until then."""
        threading.Thread(target=self._load_cloudformation, name="load CloudFormation", daemon=True).start()

    def _add_services(self) -> None:
        handlers, patterns = self._app.SERVICE_HANDLERS, _module("core.router").SERVICE_PATTERNS
        # every spelling of a request finds its way: X-Amz-Target, credential scope, host name
        for service, target, host in (
            ("sagemaker", "SageMaker.", r"(^|\.)sagemaker\."),
            ("application-autoscaling", "AnyScaleFrontendService.", r"(^|\.)application-autoscaling\."),
        ):
            handlers[service] = self._handler(service)
            patterns[service] = {
                "host_patterns": [host],
                "target_prefixes": [target],
                "credential_scope": service,
            }
        exclude = self._app._S3_VHOST_EXCLUDE_RE
        self._app._S3_VHOST_EXCLUDE_RE = re.compile(
            exclude.pattern + r"|(^|\.)(sagemaker|application-autoscaling)\.", exclude.flags
        )
        for service in ("cloudformation", "states"):
            handlers[service] = self._when_loaded(handlers[service])

    def _handler(self, service: str) -> Handler:
        async def handle(
            method: str, path: str, headers: dict[str, str], body: bytes | str, query: Any
        ) -> tuple[int, dict[str, str], bytes]:
            # Step Functions passes text
            content = body.encode() if isinstance(body, str) else body
            response = await self._emulator.handle(service, headers, content, current_scope())
            # a copy: the gateway adds headers of its own
            return response.status, dict(response.headers), response.body

        return handle

    def _when_loaded(self, handler: Handler) -> Handler:
        async def handle(*request: Any) -> tuple[int, dict[str, str], bytes]:
            if not self._cloudformation.done():
                await asyncio.shield(asyncio.wrap_future(self._cloudformation))
            self._cloudformation.result()
            return await handler(*request)

        return handle

    def _load_cloudformation(self) -> None:
        try:
            check(LATE_HOOKS)
            provisioners = _module("services.cloudformation.provisioners")
            for resource in RESOURCES:
                self._add_resource(provisioners, resource)
            _run_on_worker_threads({resource.type_name for resource in RESOURCES})
            _order_events(_module("services.cloudformation.stacks"))
            _repair_alarms_of_templates(provisioners)
            _repair_bucket_tags(provisioners)
            _add_to_step_functions()
        except Exception as error:
            log.exception("CloudFormation cannot be used")
            self._cloudformation.set_exception(error)
        else:
            self._cloudformation.set_result(None)

    def _add_resource(self, provisioners: ModuleType, resource: Resource) -> None:
        def api() -> Api:
            return Api(self._emulator.call, current_scope())

        def create(logical_id: str, props: Params, stack_name: str) -> Made:
            return resource.create(logical_id, props, stack_name, api())

        def update(physical_id: str, old_props: Params, new_props: Params, stack_name: str) -> Made:
            return resource.update(physical_id, old_props, new_props, api())

        def delete(physical_id: str, props: Params) -> None:
            resource.delete(physical_id, props, api())

        provisioners._RESOURCE_HANDLERS[resource.type_name] = {
            "create": create,
            "update": update,
            "delete": delete,
        }
        provisioners._REPLACING_PROPERTIES[resource.type_name] = resource.replaced_by
        if resource.taggable:
            provisioners._STACK_TAG_PROPERTY[resource.type_name] = ("Tags", "list")


def current_scope() -> Scope:
    """Account and Region of the request, or of the stack, that is being worked on."""
    responses = _module("core.responses")
    return Scope(responses.get_account_id(), responses.get_region())


class CloudWatchAlarms:
    """The alarms and metrics of ministack's CloudWatch (`sandbox.alarms.AlarmSource`)."""

    def __init__(self) -> None:
        self._cloudwatch = _module("services.cloudwatch")
        self._responses = _module("core.responses")

    def scopes(self) -> Iterable[Scope]:
        """Accounts and Regions that have metric alarms."""
        return {Scope(account, region) for account, region, _ in self._cloudwatch._alarms.to_dict()}

    def alarms(self, scope: Scope) -> Iterable[Mapping[str, Any]]:
        """Live records of metric alarms."""
        alarms: list[Mapping[str, Any]] = self._cloudwatch._alarms.values_scoped(*scope)
        return alarms

    def points(
        self, scope: Scope, namespace: str, metric: str, dimensions: Mapping[str, str]
    ) -> Sequence[Point]:
        """All points of a metric with exactly these dimensions, in order of arrival."""
        key = (namespace, metric, self._cloudwatch._dims_key(dict(dimensions)))
        stored = self._cloudwatch._metrics.get_scoped(*scope, key, ())
        return _Points(stored, self._cloudwatch._point_stats)

    def set_state(self, scope: Scope, alarm_name: str, state: str, reason: str) -> None:
        """What SetAlarmState does: history, SNS actions, composite alarms."""
        request = {"AlarmName": alarm_name, "StateValue": state, "StateReason": reason}
        with self._responses.request_scope(*scope):
            self._cloudwatch._set_alarm_state({}, request, False, True)


class _Points(Sequence[Point]):
    """A view of ministack's list of points."""

    def __init__(self, stored: Sequence[Params], statistics: Callable[[Params], tuple[float, ...]]) -> None:
        self._stored = stored
        self._statistics = statistics

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...

    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        if isinstance(index, slice):
            return [self._point(stored) for stored in self._stored[index]]
        return self._point(self._stored[index])

    def _point(self, stored: Params) -> Point:
        return Point(stored["Timestamp"], *self._statistics(stored))


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.{name}")


def _repair_cloudwatch(cloudwatch: Any) -> None:
    """Leave alarm evaluation to `sandbox.alarms`, keep metric math alarms, and bound what metrics take."""
    # ministack compares an alarm with all metrics of its name, whatever their dimensions
    cloudwatch._evaluate_alarm = lambda alarm: None
    cloudwatch._evaluate_all_alarms = lambda: None
    cloudwatch._evict_old_metrics = _Eviction(cloudwatch._metrics)
    put = cloudwatch._put_metric_alarm

    @functools.wraps(put)
    def put_metric_alarm(params: Params, request: Params, is_cbor: bool, is_json: bool = False) -> Any:
        answer = put(params, request, is_cbor, is_json)
        if answer[0] < 300 and request.get("Metrics"):
            _watch_expression(cloudwatch._alarms[request["AlarmName"]], request["Metrics"])
        return answer

    cloudwatch._put_metric_alarm = put_metric_alarm


class _Eviction:
    """Forgets old points once a minute; ministack walks through all of them at every request."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self._next = 0.0

    def __call__(self) -> None:
        now = time.time()
        if now < self._next:
            return
        self._next = now + EVICTION_INTERVAL
        for (account, region, key), points in self._metrics.to_dict().items():
            young = points
            if points and points[0]["Timestamp"] < now - MAX_POINT_AGE:
                young = [point for point in points if point["Timestamp"] >= now - MAX_POINT_AGE]
            if len(young) > MAX_POINTS_PER_SERIES:
                young = young[-MAX_POINTS_PER_SERIES // 2 :]
            if not young:
                self._metrics.pop_scoped(account, region, key)
            elif len(young) != len(points):
                self._metrics.set_scoped(account, region, key, young)


def _watch_expression(alarm: Params, queries: list[Params]) -> None:
    """Let an alarm's record say that it watches metric math, as DescribeAlarms shows it."""
    single = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")
    for name in single:
        alarm.pop(name, None)
    alarm["Metrics"] = queries


def _repair_alarms_of_templates(provisioners: ModuleType) -> None:
    """ministack refuses AWS::CloudWatch::Alarm with Metrics (metric math)."""
    record = provisioners._cw_metric_alarm_record

    @functools.wraps(record)
    def with_metric_math(name: str, props: Params) -> Params:
        if not props.get("Metrics"):
            plain: Params = record(name, props)
            return plain
        others = {key: value for key, value in props.items() if key != "Metrics"}
        alarm: Params = record(name, others | {"MetricName": "expression", "Namespace": "expression"})
        _watch_expression(alarm, [_metric_query(query) for query in props["Metrics"]])
        return alarm

    provisioners._cw_metric_alarm_record = with_metric_math  # type: ignore[attr-defined]


def _metric_query(query: Params) -> Params:
    """A MetricDataQuery of a template, whose numbers and booleans may be strings, with the API's types."""
    typed = dict(query)
    if "ReturnData" in typed:
        typed["ReturnData"] = str(typed["ReturnData"]).lower() == "true"
    if "Period" in typed:
        typed["Period"] = int(typed["Period"])
    if "MetricStat" in typed:
        typed["MetricStat"] = {**typed["MetricStat"], "Period": int(typed["MetricStat"]["Period"])}
    return typed


def _repair_bucket_tags(provisioners: ModuleType) -> None:
    """ministack drops the Tags of AWS::S3::Bucket.

    CDK's auto-delete function asks for the tag aws-cdk:auto-delete-objects before it empties a bucket, got
    NoSuchTagSet, and the stack could not be destroyed.
    """
    bucket_tags = _module("services.s3")._bucket_tags
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]

    def tagged(make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def with_tags(*arguments: Any) -> Any:
            name, attributes = make(*arguments)
            tags = arguments[-2].get("Tags") or []  # (..., properties, stack name)
            bucket_tags[name] = {tag["Key"]: str(tag.get("Value", "")) for tag in tags}
            return name, attributes

        return with_tags

    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"] = handlers | {
        "create": tagged(handlers["create"]),
        "update": tagged(handlers["update"]),
    }
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")


def _run_on_worker_threads(types: set[str]) -> None:
    """Endpoints take seconds; on the gateway's loop they would block every other service."""
    stacks = _module("services.cloudformation.stacks")
    blocking = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda resource_type: resource_type in types or blocking(resource_type)


def _order_events(stacks: ModuleType) -> None:
    """Give no two stack events the same millisecond: the CDK CLI sorts by it, and shows ties backwards."""
    lock = threading.Lock()
    last = datetime.now(UTC)

    def now_iso() -> str:
        nonlocal last
        with lock:
            last = max(datetime.now(UTC), last + timedelta(milliseconds=1))
            return f"{last:%Y-%m-%dT%H:%M:%S}.{last.microsecond // 1000:03d}Z"

    stacks.now_iso = now_iso  # type: ignore[attr-defined]


def _add_to_step_functions() -> None:
    services = _module("services.stepfunctions")._AWS_SDK_SERVICE_MAP
    services["sagemaker"] = {"target_prefix": "SageMaker", "protocol": "json"}
    services["applicationautoscaling"] = {
        "target_prefix": "AnyScaleFrontendService",
        "protocol": "json",
        "service_key": "application-autoscaling",
    }
