"""A fleet: the instances of one variant, kept at their number and healthy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sandbox.fleet.containers import Container, ContainerPlan, definitions, plan
from sandbox.fleet.failures import FleetFailed
from sandbox.fleet.images import resolved_image
from sandbox.fleet.instances import Instance, Launcher
from sandbox.fleet.slots import Slots
from sandbox.store import Params, Record, Scope

log = logging.getLogger(__name__)

# real seconds: machines do not get faster with the sandbox's clock
PING_INTERVAL = 5.0
SUSPECT_PING_INTERVAL = 0.2
UNHEALTHY_AFTER = 3
DRAIN_LIMIT = 30.0
STOP_GRACE = 30.0
QUICK_STOP_GRACE = 2.0
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
# an instance that served this long was no crash loop
STABLE_AFTER = 60.0


class FleetStopped(TimeoutError):
    """The fleet was stopped: no instance will come any more."""


class Fleet:
    """The instances of one variant. Used on the engine's loop only.

    Args:
        endpoint_name: Name of the endpoint.
        production_variant: The ProductionVariant of the endpoint configuration.
        model: The model that it serves.
        scope: Account and Region.
        launcher: Starts its instances.
        slots: Counts model servers against the sandbox's limit.

    Its attribute `asynchronous` says that it serves an asynchronous endpoint, whose metrics are others, and
    `has_instances` that it has instances, whose use of the machine and whose concurrency are measured.
    """

    has_instances = True

    def __init__(
        self,
        endpoint_name: str,
        production_variant: Params,
        model: Record,
        scope: Scope,
        launcher: Launcher,
        slots: Slots,
    ) -> None:
        self.endpoint_name = endpoint_name
        self.variant_name: str = production_variant["VariantName"]
        self.production_variant = production_variant
        self.model = model
        self.scope = scope
        self.instances: list[Instance] = []
        self.asynchronous = False
        self.deployed_images: list[Params] = [
            {
                "SpecifiedImage": definition["Image"],
                "ResolvedImage": resolved_image(definition["Image"]),
                "ResolutionTime": datetime.now(UTC),
            }
            for definition in definitions(model.request)
            if "Image" in definition
        ]
        self._launcher = launcher
        self._slots = slots
        self._plans: list[ContainerPlan] = []
        self._serving: list[Instance] = []
        self._available = asyncio.Event()
        self._stopped = False
        self._scaling = asyncio.Lock()
        self._desired = 0
        self._watches: dict[Instance, asyncio.Task[None]] = {}
        self._launching: set[asyncio.Task[Instance]] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        strategy = production_variant.get("RoutingConfig", {}).get("RoutingStrategy")
        self._pick = self._any if strategy == "RANDOM" else self._least_busy
        self.on_started: Callable[[Fleet], None] = lambda fleet: None
        self.on_stopped: Callable[[Fleet], None] = lambda fleet: None

    def in_service(self) -> list[Instance]:
        """Instances that take invocations now."""
        return list(self._serving)

    async def start(self, count: int) -> None:
        """Bring the fleet to its first instances; returns when `count` of them pass the health check.

        Raises:
            FleetFailed: With the FailureReason; nothing is left running.
        """
        self.on_started(self)
        try:
            self._plans = self._planned()
            await self.scale_to(count)
        except BaseException:
            await self.stop(drain=False)
            raise

    async def scale_to(self, count: int) -> None:
        """Add instances and wait until they are healthy, or drain and end some.

        Raises:
            FleetFailed: Instances did not start; those that served before still do.
        """
        async with self._scaling:
            if self._stopped:
                raise FleetFailed(f"The fleet of production variant {self.variant_name} was stopped.")
            await self._end_replacing()
            missing = count - len(self.instances)
            try:
                if missing > 0:
                    await self._add(missing)
                elif missing < 0:
                    await self._remove(-missing)
                self._desired = count
            finally:
                self._repair()

    async def stop(self, *, drain: bool = True) -> None:
        """End all instances.

        Args:
            drain: Let invocations in flight end first, for at most 30 seconds.
        """
        self._stopped = True
        self._available.set()  # waiters learn that nobody will come
        for task in self._launching:
            task.cancel()
        await self._end_replacing()
        async with self._scaling:
            grace = STOP_GRACE if drain else QUICK_STOP_GRACE
            await asyncio.gather(*(self._retire(instance, drain, grace) for instance in list(self.instances)))
        self.on_stopped(self)

    async def acquire(self, deadline: float) -> Instance:
        """The instance for one invocation, counted as in flight until `release`.

        Args:
            deadline: Until when to wait while none is in service, by the loop's time().

        Raises:
            TimeoutError: None came into service, or the fleet was stopped.
        """
        while not self._serving:
            if self._stopped:
                raise FleetStopped(f"the fleet of variant {self.variant_name} was stopped")
            async with asyncio.timeout_at(deadline):
                await self._available.wait()
        instance = self._pick()
        instance.in_flight += 1
        return instance

    def try_acquire(self, limit: int, places: int = 1) -> Instance | None:
        """The least busy instance, counted as `acquire` does; None if it has no room.

        Args:
            limit: Invocations that an instance may work on at a time.
            places: For how many of them this one counts; `limit` makes it the only one.
        """
        if not self._serving:
            return None
        instance = self._least_busy()
        if instance.in_flight + places > limit:
            return None
        instance.in_flight += places
        return instance

    def release(self, instance: Instance, places: int = 1) -> None:
        """The invocation that got this instance has ended."""
        instance.in_flight -= places
        if instance.in_flight == 0:
            instance.idle.set()

    def report_failure(self, instance: Instance) -> None:
        """An invocation found the connection refused or reset.

        The instance takes no invocations until a ping has shown, within milliseconds, that it lives.
        """
        if instance.state == "InService":
            self._set_state(instance, "Suspect")
            instance.wake.set()

    def _planned(self) -> list[ContainerPlan]:
        """What the containers of an instance are to be.

        Raises:
            FleetFailed: They are of a kind that the sandbox does not run here.
        """
        return plan(self.model.request)

    def _any(self) -> Instance:
        return self._serving[int(random.random() * len(self._serving))]  # noqa: S311  (no secret)

    def _least_busy(self) -> Instance:
        serving = self._serving
        if len(serving) == 1:
            return serving[0]
        least = min(instance.in_flight for instance in serving)
        equals = [instance for instance in serving if instance.in_flight == least]
        return equals[int(random.random() * len(equals))]  # noqa: S311  (no secret)

    def _set_state(self, instance: Instance, state: str) -> None:
        instance.state = state
        self._serving = [each for each in self.instances if each.state == "InService"]
        if self._serving or self._stopped:
            self._available.set()
        else:
            self._available.clear()

    async def _add(self, count: int) -> None:
        """Launch so many instances together; all of them come into service or none."""
        tasks = [asyncio.create_task(self._launch()) for _ in range(count)]
        self._launching.update(tasks)
        try:
            added = await asyncio.gather(*tasks)
        except BaseException as error:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            healthy = [result for result in results if isinstance(result, Instance)]
            await asyncio.gather(*(self._discard(instance, QUICK_STOP_GRACE) for instance in healthy))
            if self._stopped and isinstance(error, asyncio.CancelledError):
                raise FleetFailed(
                    f"The fleet of production variant {self.variant_name} was stopped."
                ) from None
            raise
        finally:
            self._launching.difference_update(tasks)
        for instance in added:
            self._take_in(instance)

    async def _launch(self) -> Instance:
        self._slots.take(len(self._plans))
        try:
            return await self._launcher.launch(self._plans)
        except BaseException:
            self._slots.give_back(len(self._plans))
            raise

    def _take_in(self, instance: Instance) -> None:
        self.instances.append(instance)
        self._set_state(instance, "InService")
        self._watches[instance] = asyncio.create_task(self._watch(instance))

    async def _remove(self, count: int) -> None:
        least_busy_first = sorted(self.instances, key=lambda instance: instance.in_flight)
        await asyncio.gather(*(self._retire(each, True, STOP_GRACE) for each in least_busy_first[:count]))

    async def _retire(self, instance: Instance, drain: bool, grace: float) -> None:
        """Take an instance out of service, let it finish, end it."""
        watch = self._watches.pop(instance, None)
        if watch is not None:
            watch.cancel()
        self._set_state(instance, "Draining")
        if drain:
            await _idle(instance)
        if instance in self.instances:
            self.instances.remove(instance)
        await self._discard(instance, grace)

    async def _discard(self, instance: Instance, grace: float) -> None:
        try:
            await instance.terminate(grace)
        finally:
            self._slots.give_back(len(instance.containers))

    async def _watch(self, instance: Instance) -> None:
        """Look after one instance: start lost containers anew, or have all of it replaced."""
        lost = await self._lost(instance)
        while await self._restarted(instance, lost):
            lost = await self._lost(instance)
        self.instances.remove(instance)
        self._set_state(instance, "Failed")
        del self._watches[instance]
        crashes = 1 if time.monotonic() - instance.started_at >= STABLE_AFTER else instance.crashes + 1
        self._repair(crashes)
        await self._bury(instance, lost)

    async def _lost(self, instance: Instance) -> list[Container]:
        """Wait until containers of an instance have ended or do not answer any more."""
        failures = 0
        while not instance.dead():
            pause = SUSPECT_PING_INTERVAL if instance.state == "Suspect" and failures else PING_INTERVAL
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(instance.wake.wait(), pause)
            instance.wake.clear()
            if instance.dead():
                break
            silent = await instance.silent()
            if not silent:
                failures = 0
                if instance.state == "Suspect":
                    self._set_state(instance, "InService")
                continue
            failures += 1
            if failures >= UNHEALTHY_AFTER and not instance.dead():
                return silent
        return instance.dead()

    async def _restarted(self, instance: Instance, lost: list[Container]) -> bool:
        """Start some of several containers anew, while the others finish what they work on.

        The instance takes no invocations meanwhile: it is in service only when all its containers are. A
        container that is lost again soon takes its instance with it, which slows crash loops down.
        """
        if len(lost) == len(instance.containers) or any(map(_lost_again, lost)):
            return False
        self._set_state(instance, "Restarting")
        for container in lost:
            text = (
                f"Container {container.hostname} of instance {instance.id} of variant {self.variant_name} is "
                f"replaced: {await _why_lost(container)}"
            )
            log.warning("endpoint %s: %s", self.endpoint_name, text)
            container.output.write(text)
        try:
            await self._launcher.restart(instance, lost)
        except FleetFailed as failure:
            log.warning("endpoint %s: %s", self.endpoint_name, failure.reason)
            return False
        self._set_state(instance, "InService")
        return True

    async def _bury(self, instance: Instance, lost: list[Container]) -> None:
        reasons = [f"container {each.hostname}: {await _why_lost(each)}" for each in lost]
        text = f"Instance {instance.id} of variant {self.variant_name} is replaced: {'; '.join(reasons)}"
        log.warning("endpoint %s: %s", self.endpoint_name, text)
        instance.log(text)
        if len(lost) < len(instance.containers):
            await _idle(instance)
        await self._discard(instance, 0)

    def _repair(self, crashes: int = 1) -> None:
        """Have instances started in the background for those that are missing."""
        if self._stopped:
            return
        for _ in range(self._desired - len(self.instances) - len(self._replacing)):
            task = asyncio.create_task(self._replace(crashes))
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _replace(self, crashes: int) -> None:
        """Start one instance, however often that takes; each crash in a row doubles the pause before."""
        while True:
            if crashes > 1:
                await asyncio.sleep(min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (crashes - 2)))
            try:
                instance = await self._launch()
            except FleetFailed as failure:
                crashes += 1
                log.warning("endpoint %s: no replacement yet: %s", self.endpoint_name, failure.reason)
            else:
                instance.crashes = crashes
                self._take_in(instance)
                return

    async def _end_replacing(self) -> None:
        tasks = list(self._replacing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _idle(instance: Instance) -> None:
    """Let an instance that gets no more invocations finish those it has, for at most 30 seconds."""
    instance.idle.clear()
    if instance.in_flight:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(instance.idle.wait(), DRAIN_LIMIT)


def _lost_again(container: Container) -> bool:
    """Whether a container that is lost had only just taken the place of another one."""
    return container.is_replacement and time.monotonic() - container.started_at < STABLE_AFTER


async def _why_lost(container: Container) -> str:
    if container.exit_status is None:
        return f"it did not answer {UNHEALTHY_AFTER} health checks in a row"
    return await container.why_it_ended()
