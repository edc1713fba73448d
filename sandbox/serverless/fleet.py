"""The containers of a serverless variant: started for requests, kept warm, ended when nobody comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import replace

from sandbox.fleet import Fleet, FleetFailed, FleetStopped, Instance
from sandbox.fleet.containers import ContainerPlan
from sandbox.fleet.fleet import STOP_GRACE
from sandbox.fleet.instances import Launcher
from sandbox.fleet.slots import Slots
from sandbox.fleet.utilization import PERIOD, Metrics
from sandbox.serverless.backoff import Backoff
from sandbox.serverless.failures import NoCapacity, NotReady, StartFailed, Throttled
from sandbox.serverless.measures import Measures
from sandbox.serverless.memory import MemoryWatch
from sandbox.serverless.size import ServerlessSize
from sandbox.store import Params, Record, Scope

log = logging.getLogger(__name__)

START_WINDOW = 180
"""Seconds in which the model must be downloaded and /ping answered (developer guide, "Invoke a serverless
endpoint")."""
KEEP_WARM = 600
"""Seconds that a container waits for another request; AWS says only "a while"."""

# real seconds: loading a model and being called again are real work at every time scale
_SHORTEST_START_WINDOW = 15.0
_SHORTEST_KEEP_WARM = 2.0
_TICK = 0.2

# the words of CreateEndpoint's FailureReason
_STAND_UP = (
    f"Unable to successfully stand up your model within the allotted {START_WINDOW} second timeout. Please "
    "ensure that downloading your model artifacts, starting your model container and passing the ping health "
    f"checks can be completed within {START_WINDOW} seconds."
)


class ServerlessFleet(Fleet):
    """The containers of a serverless variant. Used on the engine's loop only.

    Each works on one request at a time. A request that finds none free has one started, and takes the first
    that is ready or becomes free. The provisioned ones are started with the endpoint, and replaced; of the
    others each is ended when it was not used for a while.

    Its "instances" are these containers; the number that `start` and `scale_to` bring it to is the
    provisioned concurrency.

    Args:
        metrics: Takes the metrics of serverless variants; the others are those of `Fleet`.
    """

    has_instances = False

    def __init__(
        self,
        endpoint_name: str,
        production_variant: Params,
        model: Record,
        scope: Scope,
        launcher: Launcher,
        slots: Slots,
        *,
        metrics: Metrics,
    ) -> None:
        # the limits of instances do not apply; `_launch` has that of serverless containers
        windows = ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds")
        launcher = replace(launcher, variant=production_variant | dict.fromkeys(windows, 3600))
        super().__init__(endpoint_name, production_variant, model, scope, launcher, slots)
        self.size = ServerlessSize.of(production_variant["ServerlessConfig"])
        self.executing = 0
        self.keep_warm = max(_SHORTEST_KEEP_WARM, launcher.clock.real(KEEP_WARM))
        self.start_window = max(_SHORTEST_START_WINDOW, launcher.clock.real(START_WINDOW))
        self._memory_period = launcher.clock.real(PERIOD)
        self._memory_due = 0.0
        self._measures = Measures(metrics, scope, endpoint_name, self.variant_name)
        self._memory = MemoryWatch(self.size.memory_mb)
        self._backoff = Backoff()
        self._waiting: deque[asyncio.Future[Instance]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._idle_since: dict[Instance, float] = {}
        self._tending: asyncio.Task[None] | None = None

    async def start(self, count: int) -> None:
        """Check the model and start the provisioned containers, if any; all others wait for requests.

        Raises:
            FleetFailed: See `Fleet.start`.
        """
        await super().start(count)
        self._tending = asyncio.create_task(self._tend(), name=f"serverless {self.endpoint_name}")

    async def scale_to(self, count: int) -> None:
        """Change the provisioned concurrency; warm containers beyond it stay until nobody needs them.

        Raises:
            FleetFailed: Containers did not start; those that were there still are.
        """
        async with self._scaling:
            if self._stopped:
                raise FleetFailed(f"The fleet of production variant {self.variant_name} was stopped.")
            await self._end_replacing()
            try:
                missing = count - len(self.instances)
                if missing > 0:
                    await self._add(missing)
                self._desired = count
            finally:
                self._repair()

    async def resize(self, size: ServerlessSize) -> None:
        """Change concurrency and provisioned concurrency while requests go on.

        Raises:
            FleetFailed: See `scale_to`; the size is as it was then.
        """
        await self.scale_to(size.provisioned)
        self.size = size

    async def stop(self, *, drain: bool = True) -> None:
        """End all containers; requests that wait for one are told so, and may go elsewhere."""
        self._stopped = True
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(self._was_stopped())
        tasks = [*self._starting, *([self._tending] if self._tending is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._ending, return_exceptions=True)
        await super().stop(drain=drain)

    async def acquire(self, deadline: float) -> Instance:
        """A container for one request, its own until `release`.

        Args:
            deadline: Not used: a request waits for its container, whose start has a limit of its own.

        Raises:
            Throttled: As many requests as MaxConcurrency allows are under way.
            StartFailed: No container could be started.
            NoCapacity: The sandbox's limit of processes is reached.
            FleetStopped: The fleet was stopped.
        """
        if self._stopped:
            raise self._was_stopped()
        if self.executing >= self.size.max_concurrency:
            raise Throttled(self.size.max_concurrency)
        self.executing += 1
        self._measures.began(self.executing, self.size)
        try:
            return self._take_warm() or await self._wait()
        except BaseException:
            self.executing -= 1
            raise

    def release(self, instance: Instance, places: int = 1) -> None:
        """The request that got this container has ended."""
        super().release(instance, places)
        self.executing -= 1
        if instance.state == "InService":
            self._freed(instance)

    def abandon(self, instance: Instance) -> None:
        """Nobody waits for a container's answer any more: it is ended, as it could take no other request."""
        self._end(instance, 0)

    @property
    def warm(self) -> int:
        """Containers that are ready or at work."""
        return len(self._serving)

    def _was_stopped(self) -> FleetStopped:
        return FleetStopped(f"the fleet of variant {self.variant_name} was stopped")

    def _planned(self) -> list[ContainerPlan]:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        threads = dict.fromkeys(names, str(self.size.threads))
        return [replace(plan, environment=threads | plan.environment) for plan in super()._planned()]

    def _take_warm(self) -> Instance | None:
        """The free container that was used last, so that surplus ones grow old."""
        free = [instance for instance in self._serving if instance in self._idle_since]
        if not free:
            return None
        instance = max(free, key=self._idle_since.__getitem__)
        del self._idle_since[instance]
        instance.in_flight = 1
        return instance

    async def _wait(self) -> Instance:
        """The next container that is ready; starts one unless enough are starting."""
        future: asyncio.Future[Instance] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            if len(self._starting) < len(self._waiting):
                self._start_one()
            return await future
        except BaseException:
            if future in self._waiting:
                self._waiting.remove(future)
            elif future.done() and not future.cancelled() and future.exception() is None:
                # given a container in the very moment when it gave up
                instance = future.result()
                super().release(instance)
                if instance.state == "InService":
                    self._freed(instance)
            raise

    def _freed(self, instance: Instance) -> None:
        """Give a container to who waits longest, or keep it warm."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                instance.in_flight = 1
                future.set_result(instance)
                return
        self._idle_since[instance] = time.monotonic()

    def _set_state(self, instance: Instance, state: str) -> None:
        super()._set_state(instance, state)
        if state != "InService":
            self._idle_since.pop(instance, None)
        elif not instance.in_flight:
            self._freed(instance)

    def _start_one(self) -> None:
        """Start a container in the background.

        Raises:
            StartFailed: One did not start just now; it is too early to try again.
            NoCapacity: The sandbox's limit of processes is reached.
        """
        self._backoff.check()
        exceeded = self._slots.exceeded_by(len(self._plans))
        if exceeded is not None:
            raise NoCapacity(exceeded)
        task = asyncio.create_task(self._cold_start(), name=f"cold start {self.endpoint_name}")
        self._starting.add(task)

    async def _cold_start(self) -> None:
        begun = time.monotonic()
        failure: StartFailed | None = None
        try:
            instance = await self._launch()
        except StandUpFailed as error:
            failure = NotReady(error.reason) if error.late else StartFailed(error.reason)
        except FleetFailed as error:
            failure = StartFailed(error.reason)
        except Exception as error:
            log.exception("a container of endpoint %s could not be started", self.endpoint_name)
            failure = StartFailed(f"Internal error of the sandbox, see its log: {error}")
        finally:
            self._starting.discard(asyncio.current_task())
        if failure is None:
            self._backoff.succeeded()
            self._measures.set_up(time.monotonic() - begun)
            self._take_in(instance)
            return
        log.warning("endpoint %s: no container: %s", self.endpoint_name, failure)
        self._backoff.failed(failure)
        while len(self._waiting) > len(self._starting):
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(failure)

    async def _launch(self) -> Instance:
        """Start a container within the time that serverless ones have.

        Raises:
            StandUpFailed: It did not get ready.
            FleetFailed: The sandbox's limit of processes is reached.
        """
        exceeded = self._slots.exceeded_by(len(self._plans))
        if exceeded is not None:
            raise FleetFailed(exceeded)
        try:
            async with asyncio.timeout(self.start_window):
                return await super()._launch()
        except TimeoutError:
            raise StandUpFailed("GET /ping was not answered until then.", late=True) from None
        except FleetFailed as error:
            raise StandUpFailed(error.reason) from error

    async def _tend(self) -> None:
        """Look after the containers: measure them, end those that are idle or too large."""
        while True:
            await asyncio.sleep(_TICK)
            try:
                if self.instances or self.executing:
                    self._measures.utilization(self.executing, self.size)
                self._check_memory()
                self._end_idle()
            except Exception:  # serving goes on
                log.exception("the containers of endpoint %s could not be checked", self.endpoint_name)

    def _check_memory(self) -> None:
        now = time.monotonic()
        due = now >= self._memory_due
        if due:
            self._memory_due = now + self._memory_period
        for instance in list(self._serving):
            percent = self._memory.percent(instance)
            if percent is None:
                continue
            if due:
                self._measures.memory(percent)
            if percent > 100:
                instance.log(
                    f"The container takes {percent:.0f} % of its memory, which is {self.size.memory_mb} MB "
                    "(MemorySizeInMB): it is ended. Raise MemorySizeInMB, or make the model smaller."
                )
                self._end(instance, 0)

    def _end_idle(self) -> None:
        """End containers that were not used for a while, oldest first; the provisioned ones stay."""
        now = time.monotonic()
        for instance, since in sorted(self._idle_since.items(), key=lambda item: item[1]):
            surplus = self.warm > self.size.max_concurrency
            if self.warm <= self.size.provisioned or (now - since < self.keep_warm and not surplus):
                return
            self._end(instance, STOP_GRACE)

    def _end(self, instance: Instance, grace: float) -> None:
        """End a container in the background; from now on it gets no request."""
        if instance.state not in ("InService", "Suspect"):
            return
        self._set_state(instance, "Draining")
        self._memory.forget(instance)
        task = asyncio.create_task(self._ended(instance, grace))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _ended(self, instance: Instance, grace: float) -> None:
        await self._retire(instance, False, grace)
        self._repair()


class StandUpFailed(FleetFailed):
    """A container did not get ready.

    Args:
        why: What happened.
        late: Whether it might have, with more time.
    """

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(f"{_STAND_UP} {why}")
        self.late = late
