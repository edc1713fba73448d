"""The execution environments of one version: started on demand, kept warm for a while, or started ahead."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from sandbox.functions.calls import Fault, FunctionVersion
from sandbox.functions.environment import Environment

INIT_SECONDS = 10.0
"""The initialisation's limit; what takes longer is done again within the first call's timeout."""


class Pool:
    """Environments that can take each other's place.

    Args:
        version: What they run.
        make: Makes one, not started; takes whether it is started ahead.
        gate: Bounds how many start at the same time, over all pools.
        init_seconds: Limit of the initialisation, real seconds.
    """

    def __init__(
        self,
        version: FunctionVersion,
        make: Callable[[bool], Environment],
        gate: asyncio.Semaphore,
        *,
        init_seconds: float = INIT_SECONDS,
    ) -> None:
        self.version = version
        self.environments: set[Environment] = set()
        self.provisioned = 0
        self.provisioning_error = ""
        self.in_flight = 0
        self._make = make
        self._gate = gate
        self._init_seconds = init_seconds
        self._idle: list[Environment] = []
        self._waiters: deque[asyncio.Future[Environment]] = deque()
        self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def available(self) -> int:
        """Environments that were started ahead and have imported the handler."""
        return sum(each.provisioned and each.is_ready for each in self.environments)

    @property
    def is_unused(self) -> bool:
        """Nothing runs in it and nobody waits."""
        return not (
            self.environments or self._waiters or self._starting or self.provisioned or self.in_flight
        )

    async def acquire(self) -> Environment:
        """An environment for one call; give it back with `release`.

        Raises:
            Fault: It cannot be started.
        """
        while self._idle:
            environment = self._take_idle()
            if environment.is_alive:
                return environment
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._start_wanted()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def release(self, environment: Environment) -> None:
        """Give an environment to who waits longest, or keep it warm."""
        if not environment.is_alive:
            self._start_wanted()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        if self._closed:
            environment.kill()
            return
        environment.idle_since = time.monotonic()
        self._idle.append(environment)

    def provision(self, count: int) -> None:
        """Have so many environments started ahead; what is too many becomes as good as any other."""
        self.provisioned, self.provisioning_error = count, ""
        surplus = sum(each.provisioned for each in self.environments) - count
        for environment in self.environments:
            if surplus > 0 and environment.provisioned:
                environment.provisioned = False
                surplus -= 1
        self._start_wanted()

    def forget(self, environment: Environment) -> None:
        """Its process has ended."""
        self.environments.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)
        self._start_wanted()

    def reap(self, keep_warm: float) -> None:
        """End environments on demand that have been idle for so long, real seconds."""
        now = time.monotonic()
        for environment in [each for each in self._idle if not each.provisioned]:
            if now - environment.idle_since >= keep_warm:
                self._idle.remove(environment)
                environment.kill()

    def close(self) -> None:
        """End what is idle, and the others when their call is answered; nothing is started ahead any more."""
        self._closed, self.provisioned = True, 0
        for environment in self._idle:
            environment.kill()
        self._idle.clear()

    def kill(self) -> None:
        """End everything now, and tell who waits for an environment."""
        self.close()
        for task in self._tasks:
            task.cancel()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(
                    Fault("Runtime.ExitError", "the sandbox ended before the function began")
                )
        for environment in self.environments:
            environment.kill()

    def _take_idle(self) -> Environment:
        # one that was started ahead first; then the one used last, so that the others may go
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].provisioned:
                return self._idle.pop(at)
        return self._idle.pop()

    def _start_wanted(self) -> None:
        ahead = 0
        if not self.provisioning_error:
            ahead = self.provisioned - sum(each.provisioned for each in self.environments)
        waiting = sum(not waiter.done() for waiter in self._waiters)
        for _ in range(max(ahead, 0) + waiting - self._starting):
            self._starting += 1
            task = asyncio.create_task(self._start_one(), name=f"start {self.version.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start_one(self) -> None:
        try:
            async with self._gate:
                ahead = self._lacks_provisioned()
                if not ahead and not any(not waiter.done() for waiter in self._waiters):
                    return  # others have become free meanwhile
                environment = await self._started(ahead)
        except Fault as fault:
            self._tell(fault, started_ahead=ahead)
        else:
            self.release(environment)
        finally:
            self._starting -= 1

    def _lacks_provisioned(self) -> bool:
        have = sum(each.provisioned for each in self.environments)
        return not self._closed and not self.provisioning_error and have < self.provisioned

    async def _started(self, ahead: bool) -> Environment:
        """An environment that is initialised.

        Raises:
            Fault: It did not come up.
        """
        environment = self._begin(ahead)
        try:
            await environment.initialise(self._init_seconds)
        except TimeoutError:
            _report_init(environment, "timeout")
        except Fault as fault:
            _report_init(environment, f"error\tError Type: {fault.error_type}")
            fault.log = environment.log_tail
            raise
        else:
            return environment
        # as Lambda does: once more, as part of the first call
        environment = self._begin(ahead)
        try:
            await environment.initialise(self.version.timeout)
        except TimeoutError:
            raise Fault(
                "Sandbox.Timedout", f"Task timed out after {self.version.timeout:.2f} seconds"
            ) from None
        return environment

    def _begin(self, ahead: bool) -> Environment:
        environment = self._make(ahead)
        environment.start()
        self.environments.add(environment)
        return environment

    def _tell(self, fault: Fault, *, started_ahead: bool) -> None:
        """Let who waits longest know that an environment did not come up."""
        if started_ahead:
            self.provisioning_error = f"{fault.error_type}: {fault}"
            # who waits gets one on demand, or the same error
            self._starting -= 1
            self._start_wanted()
            self._starting += 1
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(fault)
                return


def _report_init(environment: Environment, status: str) -> None:
    duration = environment.init_seconds * 1000
    environment.log(f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: init\tStatus: {status}")
