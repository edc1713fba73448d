"""Functions from container images: takes calls, finds environments for them, and tells how they went.

Lives on the engine's loop. The doors in (`execute`, `provision`, `forget` and so on) are for other threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import psutil

from sandbox.clock import Clock
from sandbox.functions.calls import Fault, FunctionVersion, Invocation, Outcome, Throttled
from sandbox.functions.environment import Environment
from sandbox.functions.images import Image, ImageStore
from sandbox.functions.pool import INIT_SECONDS, Pool
from sandbox.functions.reports import Meter, trace_header, write_end, write_start
from sandbox.functions.runtime_api import RuntimeApi
from sandbox.logs import LogPublisher
from sandbox.metrics import MetricPublisher
from sandbox.store import Scope

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEP_WARM_SECONDS = 300.0
"""How long an idle environment is kept, AWS time; Lambda does not document it, some minutes are observed."""

ACCOUNT_CONCURRENCY = 100
"""Calls of image functions at the same time in an account and Region; AWS gives 1,000, too many here."""

_MEMORY_INTERVAL = 0.1
_LONGEST_REAP_INTERVAL = 1.0
_END_SECONDS = 5.0


class Functions:
    """All functions from container images.

    Args:
        work_dir: Where environments have their folders.
        images: Their images.
        environment: Variables with which functions find the sandbox's AWS, by account and Region.
        metrics: To CloudWatch.
        logs: To CloudWatch Logs.
        clock: The time scale; timeouts of functions are real seconds at every scale.
        account_concurrency: Calls at the same time in an account and Region.
        init_seconds: Limit of an initialisation, real seconds.
    """

    def __init__(
        self,
        work_dir: Path,
        images: ImageStore,
        environment: Callable[[Scope], Mapping[str, str]],
        metrics: MetricPublisher,
        logs: LogPublisher,
        clock: Clock,
        *,
        account_concurrency: int = ACCOUNT_CONCURRENCY,
        init_seconds: float = INIT_SECONDS,
    ) -> None:
        self.images = images
        self._work_dir = work_dir
        self._environment = environment
        self._logs = logs
        self._clock = clock
        self._account_concurrency = account_concurrency
        self._init_seconds = init_seconds
        self._meter = Meter(metrics)
        self._by_token: dict[str, Environment] = {}
        self._api = RuntimeApi(self._by_token)
        self._pools: dict[FunctionVersion, Pool] = {}
        self._in_flight: Counter[tuple[Scope, str]] = Counter()
        self._in_scope: Counter[Scope] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._lifeline: tuple[int, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Get ready for calls."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        self._lifeline = os.pipe()
        self._loop = asyncio.get_running_loop()
        await self._api.start()
        self._tasks = [
            asyncio.create_task(self._watch_memory(), name="memory of functions"),
            asyncio.create_task(self._reap(), name="idle functions"),
        ]

    async def stop(self) -> None:
        """End every environment; calls that are being worked on fail, and are told so."""
        self._loop = None  # no call comes in any more
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in self._pools.values():
            pool.kill()
        self._pools.clear()
        environments = list(self._by_token.values())
        for environment in environments:  # those of deleted functions are in no pool
            environment.kill()
        # their ends are told on this loop: without it their callers would wait for ever
        if self._calls:
            await asyncio.wait(self._calls, timeout=_END_SECONDS)
        with contextlib.suppress(TimeoutError):  # else the lifeline ends them
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(*(environment.wait_until_gone() for environment in environments))
        if self._lifeline is not None:
            for descriptor in self._lifeline:  # whatever is left ends now
                os.close(descriptor)
            self._lifeline = None
        await self._api.stop()

    def execute(
        self,
        config: Mapping[str, Any],
        scope: Scope,
        event: bytes,
        *,
        reserved: int | None,
        request_id: str = "",
    ) -> Outcome:
        """Call a function from another thread and wait for the outcome.

        Args:
            config: The version's configuration, as the Lambda API shows it; its FunctionArn as it was called.
            scope: Account and Region.
            event: JSON.
            reserved: ReservedConcurrentExecutions of the function, if any.
            request_id: The call's id; made up when empty.

        Raises:
            Throttled: A limit of concurrency is reached.
        """
        image = self.images.get(image_digest(config))
        if image is None:
            payload = {
                "errorType": "Runtime.ImageNotFound",
                "errorMessage": f"The sandbox has no image {config.get('ImageUri')}. Deploy the stack again.",
            }
            return Outcome(json.dumps(payload).encode(), payload["errorType"])
        version = FunctionVersion.of(dict(config), scope, image)
        call = Invocation(
            request_id or str(uuid.uuid4()),
            event,
            config["FunctionArn"],
            trace_header() if version.traced else "",
        )
        return self._wait_for(self._invoke(version, image, call, reserved))

    def provision(self, config: Mapping[str, Any], scope: Scope, count: int) -> None:
        """Have environments of a version started ahead; 0 for none. From another thread; returns at once."""
        image = self.images.get(image_digest(config))
        if image is not None:
            version = FunctionVersion.of(dict(config), scope, image)
            self._wait_for(self._provision(version, image, count))

    def provisioned(self, config: Mapping[str, Any], scope: Scope) -> tuple[int, str]:
        """How many environments of a version that were started ahead are up, and why there are no more."""
        image = self.images.get(image_digest(config))
        if image is None:
            return 0, "the image is not there"
        version = FunctionVersion.of(dict(config), scope, image)
        return self._wait_for(self._provisioned(version))

    def forget(self, scope: Scope, name: str, version: str | None = None) -> None:
        """A function, or a version of it, is deleted: calls that it works on end, nothing else stays."""
        self._wait_for(self._forget(scope, name, version))

    def processes(self) -> dict[str, list[int]]:
        """Process ids by the log streams' functions, for people."""
        return {
            f"{pool.version.name}:{pool.version.version}": [each.pid for each in pool.environments]
            for pool in list(self._pools.values())
        }

    async def _invoke(
        self, version: FunctionVersion, image: Image, call: Invocation, reserved: int | None
    ) -> Outcome:
        if self._loop is None:  # it was on its way when the end came
            raise RuntimeError("the functions are not running")
        self._admit(version, call, reserved)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._calls.add(task)  # the end waits for it
        function = (version.scope, version.name)
        self._in_flight[function] += 1
        self._in_scope[version.scope] += 1
        pool = self._pool(version, image)
        pool.in_flight += 1
        outcome, seconds = Outcome(b"", "Sandbox.Cancelled"), 0.0
        try:
            outcome, seconds = await self._run(pool, call)
            return outcome
        finally:
            self._meter.called(
                version,
                call,
                milliseconds=seconds * 1000,
                failed=bool(outcome.error_type),
                concurrent=self._in_flight[function],
                concurrent_in_all=self._in_scope[version.scope],
            )
            self._calls.discard(task)
            pool.in_flight -= 1
            self._in_flight[function] -= 1
            self._in_scope[version.scope] -= 1

    def _admit(self, version: FunctionVersion, call: Invocation, reserved: int | None) -> None:
        """Refuse a call for which there is no concurrency left."""
        reason = ""
        if reserved is not None and self._in_flight[version.scope, version.name] >= reserved:
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        elif self._in_scope[version.scope] >= self._account_concurrency:
            reason = "ConcurrentInvocationLimitExceeded"
        if reason:
            self._meter.throttled(version, call)
            raise Throttled(reason)

    async def _run(self, pool: Pool, call: Invocation) -> tuple[Outcome, float]:
        """Answer a call; also how long the handler took, seconds."""
        try:
            environment = await pool.acquire()
        except Fault as fault:
            return Outcome(fault.payload(call.request_id), fault.error_type, fault.log), 0.0
        self._count_provisioned(pool, environment, call)
        write_start(environment, call)
        started = perf_counter()
        fatal = ""
        try:
            payload, error_type = await environment.invoke(call)
        except Fault as fault:
            payload, error_type, fatal = fault.payload(call.request_id), fault.error_type, fault.error_type
            environment.log(_last_words(fault, call))
        seconds = perf_counter() - started
        tail = write_end(environment, call, seconds, fatal)
        pool.release(environment)
        return Outcome(payload, error_type, tail), seconds

    def _count_provisioned(self, pool: Pool, environment: Environment, call: Invocation) -> None:
        if pool.provisioned:
            in_use = sum(each.provisioned and each.is_busy for each in pool.environments)
            self._meter.provisioned(
                pool.version,
                call,
                spilled=not environment.provisioned,
                available=pool.available,
                in_use=in_use + environment.provisioned,
            )

    async def _provision(self, version: FunctionVersion, image: Image, count: int) -> None:
        self._pool(version, image).provision(count)

    async def _provisioned(self, version: FunctionVersion) -> tuple[int, str]:
        pool = self._pools.get(version)
        return (pool.available, pool.provisioning_error) if pool else (0, "")

    async def _forget(self, scope: Scope, name: str, version: str | None) -> None:
        for key in [
            key
            for key in self._pools
            if key.scope == scope and key.name == name and version in (None, key.version)
        ]:
            self._pools.pop(key).close()

    def _pool(self, version: FunctionVersion, image: Image) -> Pool:
        pool = self._pools.get(version)
        if pool is None:
            make = functools.partial(self._make, version, image)
            pool = self._pools[version] = Pool(version, make, self._gate, init_seconds=self._init_seconds)
        return pool

    def _make(self, version: FunctionVersion, image: Image, provisioned: bool) -> Environment:
        assert self._lifeline is not None  # noqa: S101 - set while started
        environment = Environment(
            version,
            image,
            provisioned=provisioned,
            address=self._api.address,
            aws=self._environment(version.scope),
            work_dir=self._work_dir,
            lifeline=self._lifeline[0],
            write_log=functools.partial(self._logs.write, version.scope, version.log_group),
            on_end=self._on_end,
        )
        self._by_token[environment.token] = environment
        return environment

    def _on_end(self, environment: Environment) -> None:
        self._by_token.pop(environment.token, None)
        pool = self._pools.get(environment.version)
        if pool is not None:
            pool.forget(environment)

    async def _watch_memory(self) -> None:
        """End environments that have more memory than their function may have."""
        while True:
            await asyncio.sleep(_MEMORY_INTERVAL)
            for environment in list(self._by_token.values()):
                if not environment.is_alive:
                    continue
                limit = environment.version.memory_mb * 1024 * 1024
                with contextlib.suppress(psutil.Error):
                    if psutil.Process(environment.pid).memory_info().rss > limit:
                        environment.kill(
                            Fault("Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
                        )

    async def _reap(self) -> None:
        """Let go of what nobody has used for a while."""
        keep_warm = self._clock.real(KEEP_WARM_SECONDS)
        interval = min(keep_warm / 4, _LONGEST_REAP_INTERVAL)
        while True:
            await asyncio.sleep(interval)
            for version, pool in list(self._pools.items()):
                pool.reap(keep_warm)
                if pool.is_unused:
                    del self._pools[version]

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the functions are not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def image_digest(config: Mapping[str, Any]) -> str:
    """Digest of a function's image: its CodeSha256, as the Lambda API gives it."""
    return f"sha256:{config.get('CodeSha256', '')}"


def _last_words(fault: Fault, call: Invocation) -> str:
    if fault.error_type == "Sandbox.Timedout":
        now = datetime.now(UTC)
        return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z {call.request_id} {fault}"
    return f"RequestId: {call.request_id} Error: {fault}\n{fault.error_type}"
