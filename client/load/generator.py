"""Sends one signed request many times over kept-alive connections, and counts what comes back.

Open loop: each request has an intended time, and its latency counts from there. A slow endpoint, or one that
lets connections run out, can therefore not hide its delays by keeping the next request from being sent
("coordinated omission"). Closed loop: each caller waits for its answer, so latency counts from the sending.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvloop
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from yarl import URL

from client.connection import READ_TIMEOUT_SECONDS
from client.load.answers import kind_and_sample
from client.load.plan import MAX_IN_FLIGHT, LoadPlan
from client.load.signing import RESIGN_AFTER_SECONDS, SignedRequest
from client.load.tally import Tally

# An event loop wakes up to so much late by itself. Lateness below is the clock's, not the endpoint's.
TIMER_RESOLUTION_SECONDS = 0.002


class LoadGenerator:
    """One run.

    Args:
        plan: How much, for how long.
        sign: Gives a freshly signed request; runs on a worker thread.
        ca_bundle: File with the certificate authorities to trust; None for botocore's own.
        timeout_seconds: How long to wait for one answer.
    """

    def __init__(
        self,
        plan: LoadPlan,
        sign: Callable[[], SignedRequest],
        *,
        ca_bundle: str | None = None,
        timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self.tally = Tally()
        self._plan = plan
        self._sign = sign
        self._ca_bundle = ca_bundle
        self._timeout = timeout_seconds
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._in_flight: set[asyncio.Task[None]] = set()

    def run(self, watch: Callable[[Tally], Coroutine[Any, Any, None]]) -> Tally:
        """Make the load; Ctrl-C ends it early, and what was counted until then is kept.

        Args:
            watch: Shows progress while the run lasts; cancelled at its end.

        Raises:
            botocore.exceptions.BotoCoreError: The credentials could not be renewed.
        """
        return uvloop.run(self._run(watch))

    async def _run(self, watch: Callable[[Tally], Coroutine[Any, Any, None]]) -> Tally:
        tally = self.tally
        self._use(await asyncio.to_thread(self._sign))
        async with (
            self._session() as self._http,
            _interruptible(asyncio.create_task(self._send_all())) as load,
        ):
            helpers = [asyncio.create_task(self._renew_signature()), asyncio.create_task(watch(tally))]
            try:
                # a helper that fails ends the run: without a valid signature there is nothing left to measure
                await asyncio.wait([load, *helpers], return_when=asyncio.FIRST_COMPLETED)
            finally:
                tally.ended = time.perf_counter()
                tally.interrupted = load.cancelled() or not load.done()
                for task in (load, *helpers, *self._in_flight):
                    task.cancel()
                results = await asyncio.gather(load, *helpers, return_exceptions=True)
                await asyncio.gather(*self._in_flight, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return tally

    async def _send_all(self) -> None:
        self.tally.started = time.perf_counter()
        if self._plan.rate is None:
            await self._closed_loop(self._plan.concurrency or 1)
        else:
            await self._open_loop(self._plan.rate)
            if self._in_flight:
                await asyncio.wait(self._in_flight)

    async def _open_loop(self, rate: float) -> None:
        tally, plan = self.tally, self._plan
        tally.planned = plan.planned
        end = tally.started + plan.duration_seconds
        for number in range(plan.planned):
            intended = tally.started + number / rate
            await asyncio.sleep(max(0.0, intended - time.perf_counter()))
            try:
                async with asyncio.timeout(max(0.0, end - time.perf_counter()) + TIMER_RESOLUTION_SECONDS):
                    await self._slots.acquire()
            except TimeoutError:
                return
            if time.perf_counter() > end + TIMER_RESOLUTION_SECONDS:
                return
            task = asyncio.create_task(self._send(intended))
            self._in_flight.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._slots.release()

    async def _closed_loop(self, callers: int) -> None:
        end = self.tally.started + self._plan.duration_seconds

        async def call() -> None:
            while self.tally.sent < self._plan.planned and time.perf_counter() < end:
                await self._send(None)

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(call())

    async def _send(self, intended: float | None) -> None:
        """Send one request, wait for its answer, count it.

        Args:
            intended: When it should have gone, in an open loop.
        """
        tally = self.tally
        tally.sent += 1
        start = time.perf_counter()
        if intended is not None:
            tally.lags.append(max(0.0, start - intended))
            if start - intended > TIMER_RESOLUTION_SECONDS:
                start = intended
        try:
            # redirects are not followed: load goes to the endpoint that was named, and nowhere else
            async with self._http.post(
                self._url,
                data=self._signed.body,
                headers=self._headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            tally.failure(*kind_and_sample(error))
            return
        if answer.status == 200:
            tally.succeeded(
                time.perf_counter() - start, answer.headers.get("x-amzn-Invoked-Production-Variant", "")
            )
        else:
            tally.failure(*kind_and_sample((answer.status, answer.headers, body)))

    def _use(self, signed: SignedRequest) -> None:
        self._signed = signed
        self._url = URL(signed.url, encoded=True)  # the signature covers the path as it is written
        self._headers = signed.headers
        self._proxy = get_environ_proxies(signed.url).get(self._url.scheme)

    async def _renew_signature(self) -> None:
        while True:
            await asyncio.sleep(RESIGN_AFTER_SECONDS)
            self._use(await asyncio.to_thread(self._sign))

    def _session(self) -> aiohttp.ClientSession:
        trust: ssl.SSLContext | bool = True
        if self._url.scheme == "https":
            trust = ssl.create_default_context(cafile=self._ca_bundle or get_cert_path(True))
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, ssl=trust),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )


@asynccontextmanager
async def _interruptible(task: asyncio.Task[None]) -> AsyncIterator[asyncio.Task[None]]:
    """Let Ctrl-C cancel a task instead of the program."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (ValueError, RuntimeError):  # not on the main thread, where no Ctrl-C arrives anyway
        yield task
        return
    try:
        yield task
    finally:
        loop.remove_signal_handler(signal.SIGINT)
