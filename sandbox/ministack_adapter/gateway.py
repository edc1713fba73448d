"""ministack as a whole: its gateway, with the services that it has not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from importlib.metadata import version
from typing import Any, Protocol

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.errors import SandboxError
from sandbox.events import SOURCE, Event
from sandbox.ministack_adapter import cloudformation, fronts, functions
from sandbox.ministack_adapter.asynchronous_calls import AsynchronousCalls
from sandbox.ministack_adapter.cloudwatch import CloudWatchAlarms, repair_cloudwatch
from sandbox.ministack_adapter.custom_resources import CustomResources
from sandbox.ministack_adapter.functions import FunctionHost
from sandbox.ministack_adapter.hooks import (
    EXPECTED_VERSION,
    GATEWAY_HOOKS,
    LATE_HOOKS,
    check,
    current_scope,
    module,
)
from sandbox.ministack_adapter.requests import noting
from sandbox.ministack_adapter.schedules import Schedules
from sandbox.protocol import Response
from sandbox.store import Params, Scope

log = logging.getLogger(__name__)

Handler = Callable[[str, str, dict[str, str], bytes, Any], Awaitable[tuple[int, dict[str, str], bytes]]]


class Emulator(Protocol):
    """What answers for the services that ministack has not: `sandbox.engine.Engine`."""

    async def handle(self, service: str, headers: dict[str, str], body: bytes, scope: Scope) -> Response:
        """Answer a JSON 1.1 request."""

    def call(self, service: str, operation: str, params: Params, scope: Scope) -> Params:
        """Call an operation from a worker thread."""


class Ministack:
    """ministack with SageMaker and Application Auto Scaling in it. Make one per process.

    Set the environment variables that ministack reads before (server.py), it reads them when imported.

    Args:
        emulator: Who answers for the two services.
        host: Who runs Lambda functions from images.
        gateway_url: Where clients reach the gateway.
        known: Secrets by access key, for requests to HTTP fronts.
        clock: The time scale of schedules, and of what is tried again.

    Raises:
        IncompatibleMinistack: ministack is another one than expected.
    """

    def __init__(
        self,
        emulator: Emulator,
        host: FunctionHost,
        gateway_url: str,
        known: Mapping[str, str],
        clock: Clock,
    ) -> None:
        check(GATEWAY_HOOKS)
        if version("ministack") != EXPECTED_VERSION:
            check(LATE_HOOKS)  # takes a second, and is done only when there is reason to
        self._emulator = emulator
        self._host = host
        self._gateway_url = gateway_url
        self._clock = clock
        self._app = module("app")
        self._cloudformation: Future[None] = Future()
        self._add_services()
        fronts.require_signatures(self._app, known)
        repair_cloudwatch(module("services.cloudwatch"))
        Schedules(clock).install()
        self.alarms = CloudWatchAlarms()

    @property
    def asgi(self) -> Callable[..., Awaitable[None]]:
        """The gateway, as an ASGI application."""
        return noting(self._app.app)

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
        with module("core.responses").request_scope(*event.scope):
            status, _, body = module("services.eventbridge")._put_events(
                {"Entries": [entry]}, allow_aws_source=True
            )
        if status != 200 or json.loads(body)["FailedEntryCount"]:
            raise SandboxError(f"EventBridge refuses it: {body}")

    def load_cloudformation(self) -> None:
        """Import and extend CloudFormation on a thread; its requests wait until then."""
        threading.Thread(target=self._load_cloudformation, name="load CloudFormation", daemon=True).start()

    def _add_services(self) -> None:
        handlers, patterns = self._app.SERVICE_HANDLERS, module("core.router").SERVICE_PATTERNS
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
        handlers["lambda"] = functions.guarded(handlers["lambda"])
        for service in ("cloudformation", "states", "lambda", "ecr", "apigateway"):
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
            cloudformation.extend(self._emulator.call)
            functions.extend(self._host)
            calls = AsynchronousCalls(self._clock, LocalAws(self._gateway_url))
            calls.install()
            CustomResources(self._clock, calls).install()
            fronts.give_reachable_urls(self._gateway_url)
        except Exception as error:
            log.exception("CloudFormation cannot be used")
            self._cloudformation.set_exception(error)
        else:
            self._cloudformation.set_result(None)
