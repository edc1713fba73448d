"""ministack's Lambda and ECR: functions from images run in `sandbox.functions`."""

from __future__ import annotations

import functools
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from sandbox.errors import SandboxError
from sandbox.functions.calls import MAX_PAYLOAD_BYTES, Outcome, Throttled
from sandbox.functions.images import ImageStore
from sandbox.ministack_adapter.cloudformation import run_on_worker_threads
from sandbox.ministack_adapter.handler_errors import with_name
from sandbox.ministack_adapter.hooks import current_scope, module
from sandbox.ministack_adapter.requests import notes
from sandbox.store import Params, Scope

MAX_EVENT_BYTES = 1024 * 1024
"""Request of an asynchronous call (Lambda quotas)."""

PROVISIONING_SECONDS = 120.0
"""Real seconds that a stack waits for environments that are started ahead."""

_IMAGE_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<name>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

Answer = tuple[int, dict[str, str], bytes]


class FunctionHost(Protocol):
    """Who runs functions from images: `sandbox.functions.service.Functions`."""

    images: ImageStore

    def execute(
        self,
        config: Mapping[str, Any],
        scope: Scope,
        event: bytes,
        *,
        reserved: int | None,
        request_id: str = "",
    ) -> Outcome:
        """Call a function and wait."""

    def provision(self, config: Mapping[str, Any], scope: Scope, count: int) -> None:
        """Have environments started ahead."""

    def provisioned(self, config: Mapping[str, Any], scope: Scope) -> tuple[int, str]:
        """How many of them are up, and why there are no more."""

    def forget(self, scope: Scope, name: str, version: str | None = None) -> None:
        """A function is deleted."""


def extend(host: FunctionHost) -> None:
    """Let functions from images run here.

    Args:
        host: Who runs them.
    """
    adapter = _Functions(host)
    adapter.replace_execution()
    adapter.watch_configuration()
    run_on_worker_threads({"AWS::Lambda::Alias"})  # it waits for what is provisioned
    _repair_images(module("services.ecr"))
    _keep_alias_in_arn()


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """ministack's handler of the Lambda API, with the checks and headers of Invoke that it has not."""

    @functools.wraps(handler)
    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes | str, query: Any
    ) -> Answer:
        if method != "POST" or not path.rstrip("/").endswith("/invocations"):
            plain: Answer = await handler(method, path, headers, body, query)
            return plain
        content = body.encode() if isinstance(body, str) else body
        refused = _refused_event(headers, content)
        if refused is not None:
            return refused
        notes().wants_log = headers.get("x-amz-log-type", "").lower() == "tail"
        answer: Answer = await handler(method, path, headers, body, query)
        return answer

    return handle


def _refused_event(headers: Mapping[str, str], body: bytes) -> Answer | None:
    asynchronous = headers.get("x-amz-invocation-type", "") == "Event"
    limit = MAX_EVENT_BYTES if asynchronous else MAX_PAYLOAD_BYTES
    if len(body) > limit:
        operation = "InvokeAsync" if asynchronous else "InvokeFunction"
        words = f"Request must be smaller than {limit} bytes for the {operation} operation"
        return _error("RequestTooLargeException", words, 413)
    try:
        json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        words = f"Could not parse request body into json: {error}"
        return _error("InvalidRequestContentException", words, 400)
    return None


class _Functions:
    def __init__(self, host: FunctionHost) -> None:
        self._host = host
        self._lambda = module("services.lambda_svc")

    def replace_execution(self) -> None:
        """Send calls of image functions to the host, and count the others here; the host counts its own.

        ministack counts what comes by Invoke only, and an asynchronous call when it is taken.
        """
        service = self._lambda
        execute = service._execute_function

        @functools.wraps(execute)
        def execute_function(func: Params, event: Any) -> Any:
            config = func.get("config") or func
            if _is_image(config):
                return self._execute(config, event)
            if service._function_config_scope_mismatch(config):
                return execute(func, event)  # it comes back in the function's account and Region
            started = time.monotonic()
            answer = with_name(execute(func, event))
            _count(config["FunctionName"], answer, (time.monotonic() - started) * 1000)
            return answer

        service._execute_function = execute_function
        service._emit_lambda_metrics = lambda *_, **__: None
        emit = service._emit_lambda_logs

        @functools.wraps(emit)
        def emit_lambda_logs(func: Params, *args: Any, **kwargs: Any) -> None:
            # the last words of a function whose stack is gone would bring its log group back
            config = func.get("config") or func
            if self._record(_scope_of(config), config["FunctionName"]) is not None:
                emit(func, *args, **kwargs)

        service._emit_lambda_logs = emit_lambda_logs

    def watch_configuration(self) -> None:
        """Resolve images when functions are made, and follow what is provisioned and what is deleted."""
        service = self._lambda
        service._create_function = self._resolving(service._create_function, "Code")
        service._update_code = self._resolving(service._update_code, None)
        for name in ("_update_alias", "_delete_alias", "_delete_provisioned_concurrency"):
            setattr(service, name, self._then_provisioning(getattr(service, name)))
        service._put_provisioned_concurrency = self._putting(service._put_provisioned_concurrency)
        service._get_provisioned_concurrency = self._getting(service._get_provisioned_concurrency)
        service._delete_function = self._deleting(service._delete_function)
        self._watch_templates(module("services.cloudformation.provisioners"))

    def _execute(self, config: Params, event: Any) -> Params:
        scope = _scope_of(config)
        record = self._record(scope, config["FunctionName"]) or {}
        reserved = record.get("concurrency")
        request, request_id = notes(), str(uuid.uuid4())
        request.call_id = request_id
        try:
            outcome = self._host.execute(
                config,
                scope,
                json.dumps(event, ensure_ascii=False).encode(),
                reserved=None if reserved is None else int(reserved),
                request_id=request_id,
            )
        except Throttled as throttled:
            answer: Params = self._lambda._throttle_response(reason_code=throttled.reason, msg=str(throttled))
            return answer
        result: Params = {"body": json.loads(outcome.payload or b"null")}
        if outcome.error_type:
            result |= {"error": True, "function_error": "Unhandled"}
        if request.wants_log:
            result["log"] = outcome.log
        return result

    def _record(self, scope: Scope, name: str) -> Params | None:
        record: Params | None = self._lambda._functions.get_scoped(*scope, name)
        return record

    def _digest(self, uri: str) -> str:
        """Digest of an image that a function is made of.

        Raises:
            SandboxError: There is no such image, in Lambda's words.
        """
        found = _IMAGE_URI.fullmatch(uri)
        images = module("services.ecr")._images
        stored = images.get_scoped(found["account"], found["region"], found["name"], ()) if found else ()
        for image in stored:
            if found and (found["digest"] == image["imageDigest"] or found["tag"] in image["imageTags"]):
                digest: str = image["imageDigest"]
                if self._host.images.get(digest) is None:
                    break
                return digest
        raise SandboxError(f"Source image {uri} does not exist. Provide a valid source image.")

    def _resolving(self, make: Callable[..., Any], member: str | None) -> Callable[..., Any]:
        """CreateFunction or UpdateFunctionCode, with the image's digest as CodeSha256, as Lambda gives it."""

        @functools.wraps(make)
        def resolve(*arguments: Any) -> Any:
            data = arguments[-1]
            uri = (data.get(member) or {} if member else data).get("ImageUri")
            if uri is None:
                return make(*arguments)
            try:
                digest = self._digest(uri)
            except SandboxError as error:
                return _error("InvalidParameterValueException", str(error), 400)
            status, headers, body = make(*arguments)
            if status < 300:
                made = json.loads(body)
                record = self._lambda._functions[made["FunctionName"]]
                versions = [record["config"]]
                if data.get("Publish"):
                    versions.append(record["versions"][made["Version"]]["config"])
                for config in versions:
                    config["CodeSha256"] = digest.partition(":")[2]
                body = json.dumps(made | {"CodeSha256": digest.partition(":")[2]}).encode()
            return status, headers, body

        return resolve

    def _then_provisioning(self, change: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(change)
        def changed(function_name: str, *arguments: Any) -> Any:
            answer = change(function_name, *arguments)
            self._provision(function_name)
            return answer

        return changed

    def _putting(self, put: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(put)
        def changed(function_name: str, qualifier: str, data: Params) -> Any:
            record = self._lambda._functions.get(function_name)
            image = record is not None and _is_image(record["config"])
            if image and qualifier in (None, "", "$LATEST"):
                words = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
                return _error("InvalidParameterValueException", words, 400)
            reserved = record.get("concurrency") if record else None
            if image and reserved is not None and data["ProvisionedConcurrentExecutions"] > int(reserved):
                words = (
                    "Requested Provisioned Concurrency should not be greater than the "
                    "reservedConcurrentExecution for function"
                )
                return _error("InvalidParameterValueException", words, 400)
            status, headers, body = put(function_name, qualifier, data)
            if image and status < 300:
                self._provision(function_name)
                body = self._with_status(function_name, qualifier)
            return status, headers, body

        return changed

    def _getting(self, get: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(get)
        def got(function_name: str, qualifier: str) -> Any:
            status, headers, body = get(function_name, qualifier)
            record = self._lambda._functions.get(function_name)
            if status < 300 and record is not None and _is_image(record["config"]):
                body = self._with_status(function_name, qualifier)
            return status, headers, body

        return got

    def _with_status(self, function_name: str, qualifier: str) -> bytes:
        """A provisioned concurrency configuration with what is there of it now."""
        record = self._lambda._functions[function_name]
        stored = record["provisioned_concurrency"][qualifier]
        available, error = self._host.provisioned(_version(record, qualifier), current_scope())
        requested = stored["RequestedProvisionedConcurrentExecutions"]
        available = min(available, requested)
        shown = stored | {
            "AvailableProvisionedConcurrentExecutions": available,
            "AllocatedProvisionedConcurrentExecutions": available,
            "Status": "READY" if available == requested else "FAILED" if error else "IN_PROGRESS",
        }
        if error and available < requested:
            shown["StatusReason"] = f"FUNCTION_ERROR_INIT_FAILURE: {error}"
        return json.dumps(shown).encode()

    def _provision(self, function_name: str) -> None:
        """Have started ahead what the configurations of all aliases and versions of a function add up to."""
        record = self._lambda._functions.get(function_name)
        if record is None or not _is_image(record["config"]):
            return
        wanted: Counter[str] = Counter()
        for qualifier, stored in record["provisioned_concurrency"].items():
            version = _version(record, qualifier)["Version"]
            wanted[version] += stored["RequestedProvisionedConcurrentExecutions"]
        for version, each in record["versions"].items():
            self._host.provision(each["config"], current_scope(), wanted[version])

    def _deleting(self, delete: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(delete)
        def deleted(name: str, query: Any, path_qualifier: str | None = None) -> Any:
            qualifier = self._lambda._qualifier_from_path_or_query(path_qualifier, query)
            answer = delete(name, query, path_qualifier)
            if answer[0] < 300:
                self._host.forget(current_scope(), name, qualifier or None)
            return answer

        return deleted

    def _watch_templates(self, provisioners: ModuleType) -> None:
        handlers = provisioners._RESOURCE_HANDLERS
        function = handlers["AWS::Lambda::Function"]
        create = self._creating(function["create"])
        # the update replaces a function by calling this one
        provisioners._lambda_create = create  # type: ignore[attr-defined]
        handlers["AWS::Lambda::Function"] = function | {
            "create": create,
            "update": self._updating(function["update"]),
            "delete": self._dropping(function["delete"]),
        }
        alias = handlers["AWS::Lambda::Alias"]
        handlers["AWS::Lambda::Alias"] = alias | {
            "create": self._waiting(alias["create"]),
            "update": self._waiting(alias["update"]),
            "delete": self._dropping_alias(alias["delete"]),
        }

    def _creating(self, create: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(create)
        def created(logical_id: str, props: Params, stack_name: str) -> Any:
            uri = (props.get("Code") or {}).get("ImageUri")
            digest = self._digest(uri) if uri else None
            name, attributes = create(logical_id, props, stack_name)
            if digest:
                self._lambda._functions[name]["config"]["CodeSha256"] = digest.partition(":")[2]
            self._complete(name, props)
            return name, attributes

        return created

    def _updating(self, update: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(update)
        def updated(physical_id: str, old: Params, new: Params, *others: Any, **named: Any) -> Any:
            name, attributes = update(physical_id, old, new, *others, **named)
            self._complete(name, new)
            return name, attributes

        return updated

    def _complete(self, name: str, props: Params) -> None:
        """ministack drops ReservedConcurrentExecutions and DeadLetterConfig of templates."""
        record = self._lambda._functions[name]
        reserved = props.get("ReservedConcurrentExecutions")
        record["concurrency"] = None if reserved is None else int(reserved)
        record["config"].pop("DeadLetterConfig", None)
        if (props.get("DeadLetterConfig") or {}).get("TargetArn"):
            record["config"]["DeadLetterConfig"] = dict(props["DeadLetterConfig"])

    def _dropping(self, delete: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(delete)
        def deleted(physical_id: str, *others: Any) -> Any:
            answer = delete(physical_id, *others)
            self._host.forget(current_scope(), physical_id)
            return answer

        return deleted

    def _dropping_alias(self, delete: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(delete)
        def deleted(physical_id: str, *others: Any) -> Any:
            answer = delete(physical_id, *others)
            self._provision(physical_id.split(":")[6] if physical_id.count(":") >= 7 else physical_id)
            return answer

        return deleted

    def _waiting(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A stack's alias is there when its environments that are started ahead are."""

        @functools.wraps(make)
        def made(*arguments: Any, **named: Any) -> Any:
            physical_id, attributes = make(*arguments, **named)
            name, alias = attributes["AliasArn"].split(":")[6:8]
            record = self._lambda._functions.get(name)
            if record is None or not _is_image(record["config"]):
                return physical_id, attributes
            deadline = time.monotonic() + PROVISIONING_SECONDS
            while alias in record["provisioned_concurrency"]:
                shown = json.loads(self._with_status(name, alias))
                if shown["Status"] == "READY":
                    break
                if shown["Status"] == "FAILED" or time.monotonic() > deadline:
                    reason = shown.get("StatusReason", "they did not come up in time")
                    raise ValueError(f"Provisioned Concurrency configuration failed to be applied. {reason}")
                time.sleep(0.05)
            return physical_id, attributes

        return made


def _count(function_name: str, answer: Params, milliseconds: float) -> None:
    """Metrics of a call; one that is throttled is neither an invocation nor an error."""
    throttled = bool(answer.get("throttle"))
    values = {"Throttles": float(throttled)}
    if not throttled:
        failed = float(bool(answer.get("error")))
        values |= {"Invocations": 1.0, "Errors": failed, "Duration": milliseconds}
    record = module("services.cloudwatch").record_metric
    for name, value in values.items():
        unit = "Milliseconds" if name == "Duration" else "Count"
        record("AWS/Lambda", name, value, unit, {"FunctionName": function_name})


def _repair_images(ecr: Any) -> None:
    """ministack answers DescribeImages of an unknown tag with nothing: the CDK CLI takes that for built."""
    describe = ecr._describe_images

    @functools.wraps(describe)
    def describe_images(data: Params) -> Any:
        name = data.get("repositoryName", "")
        for wanted in data.get("imageIds") or () if name in ecr._repositories else ():
            if ecr._find_image(name, wanted) is None:
                words = ", ".join(f"{key}:'{wanted.get(key, 'null')}'" for key in ("imageDigest", "imageTag"))
                return _error(
                    "ImageNotFoundException",
                    f"The image with imageId {{{words}}} does not exist within the repository with name "
                    f"'{name}' in the registry with id '{ecr._registry_id()}'",
                    400,
                )
        return describe(data)

    ecr._describe_images = describe_images


def _keep_alias_in_arn() -> None:
    """ministack forgets by which alias a function was found: its ARN is in metrics and in the context."""
    service = module("services.lambda_svc")
    find = service._effective_func_record_for_qualifier

    @functools.wraps(find)
    def found(func: Params | None, qualifier: str | None) -> Any:
        record, config = find(func, qualifier)
        if func is not None and config is not None and qualifier in func.get("aliases", {}):
            config = config | {"FunctionArn": func["aliases"][qualifier]["AliasArn"]}
        return record, config

    service._effective_func_record_for_qualifier = found


def _version(record: Params, qualifier: str) -> Params:
    """Configuration of the version that a qualifier means."""
    alias = record["aliases"].get(qualifier)
    version = alias["FunctionVersion"] if alias else qualifier
    found = record["versions"].get(version, record)
    config: Params = found["config"]
    return config


def _is_image(config: Mapping[str, Any]) -> bool:
    return config.get("PackageType") == "Image"


def _scope_of(config: Mapping[str, Any]) -> Scope:
    words = str(config["FunctionArn"]).split(":")
    return Scope(words[4], words[3])


def _error(code: str, message: str, status: int) -> Answer:
    answer: Answer = module("core.responses").error_response_json(code, message, status)
    return answer
