"""Instances: the containers of a model, started together, healthy together, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import Awaitable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.clock import Clock
from sandbox.fleet.artifacts import ArtifactStore
from sandbox.fleet.containers import Container, ContainerPlan
from sandbox.fleet.failures import FleetFailed
from sandbox.fleet.output import Output
from sandbox.fleet.safe_ports import SafePorts
from sandbox.logs import LogPublisher
from sandbox.store import Params, Scope

# starting a process is real work: a fast clock must not leave it no time at all
_SHORTEST_WINDOW = 5.0
# the windows of the developer guide and of the API when the variant names none, in seconds of AWS time
_HEALTH_CHECK_WINDOW = 240
_DOWNLOAD_WINDOW = 3600


@dataclass(eq=False)
class Instance:
    """One machine of a variant, as far as a laptop has such a thing.

    Args:
        id: ``i-`` and 17 hexadecimal digits.
        root: Its own folder.
        state: ``Pending``, ``InService``, ``Suspect`` (being checked), ``Restarting`` (one of its containers
            is), ``Draining``, ``Failed`` or ``Terminated``.
        containers: Its model servers, in the order of the model's containers.
        in_flight: Invocations that it is working on.
        started_at: When it came into service, by time.monotonic().
        crashes: How often in a row its predecessors were lost soon after they had started.
        wake: Set when somebody should look at it: a process ended, or an invocation could not reach it.
        idle: Set while nothing is in flight after draining began.
    """

    id: str
    root: Path
    state: str = "Pending"
    containers: list[Container] = field(default_factory=list)
    in_flight: int = 0
    started_at: float = 0.0
    crashes: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def dead(self) -> list[Container]:
        """The containers whose process has ended."""
        return [container for container in self.containers if container.exit_status is not None]

    async def silent(self) -> list[Container]:
        """The containers that do not answer their ping."""
        containers = list(self.containers)
        answered = await asyncio.gather(*(container.ping() for container in containers))
        return [container for container, pong in zip(containers, answered, strict=True) if not pong]

    async def healthy(self) -> bool:
        """Whether every container answers its ping."""
        return not await self.silent()

    def log(self, line: str) -> None:
        """Add a line of the sandbox's own to the logs of its containers."""
        for container in self.containers:
            container.output.write(line)

    async def terminate(self, grace: float) -> None:
        """End its processes, giving each the grace period in seconds, and remove its files."""
        self.state = "Terminated"
        await asyncio.gather(*(container.stop(grace) for container in self.containers))
        await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)


@dataclass(frozen=True)
class Launcher:
    """Starts instances of one variant, or of what tells them other logs and other words.

    Args:
        endpoint_name: Name of the endpoint, for logs.
        variant: The ProductionVariant.
        scope: Account and Region.
        work_dir: Folder for instances and their log files.
        gateway_url: The AWS that models may call.
        clock: The time scale of the windows.
        artifacts: Gives model files.
        logs: Takes output.
        lifeline: Descriptor that each process gets as standard input.
        workers: Where blocking work is done.
        safe_ports: Gives each container ports of its own.
    """

    endpoint_name: str
    variant: Params
    scope: Scope
    work_dir: Path
    gateway_url: str
    clock: Clock
    artifacts: ArtifactStore
    logs: LogPublisher
    lifeline: int
    workers: Executor
    safe_ports: SafePorts

    @property
    def log_group(self) -> str:
        """Where the output of its containers goes."""
        return f"/aws/sagemaker/Endpoints/{self.endpoint_name}"

    @property
    def whose(self) -> str:
        """What its containers are for, in messages."""
        return f"production variant {self.variant['VariantName']}"

    @property
    def log_subject(self) -> str:
        """Whose logs a message points at."""
        return "endpoint"

    def stream(self, instance: Instance) -> str:
        """Log stream of an instance; each of several containers has one below it."""
        return f"{self.variant['VariantName']}/{instance.id}"

    async def launch(self, plans: list[ContainerPlan]) -> Instance:
        """An instance all of whose containers have passed the health check.

        Raises:
            FleetFailed: Files cannot be had, or a container does not become healthy in time. Nothing is left.
        """
        identity = f"i-{secrets.token_hex(9)[:17]}"
        # the folder's name tells `status`, and whoever looks with ps, whose process it is
        instance = Instance(identity, self.work_dir / "instances" / f"{self.endpoint_name}-{identity}")
        try:
            instance.containers = [self._container(plan, instance, len(plans)) for plan in plans]
            await self._start(instance.containers)
        except BaseException as error:
            if isinstance(error, FleetFailed):
                instance.log(error.reason)
            await _finish(instance.terminate(0))
            raise
        instance.started_at = time.monotonic()
        return instance

    async def restart(self, instance: Instance, lost: list[Container]) -> None:
        """Put fresh containers, with files of their own, in the place of some; the others are left alone.

        Args:
            instance: Their instance.
            lost: Those to replace; one that still runs is killed.

        Raises:
            FleetFailed: See `launch`. What did not become healthy is left in its place.
        """
        await asyncio.gather(*(container.stop(0) for container in lost))
        fresh: list[Container] = []
        for old in lost:
            new = self._container(old.plan, instance, len(instance.containers))
            new.is_replacement = True
            instance.containers[instance.containers.index(old)] = new
            fresh.append(new)
        for container in fresh:
            await asyncio.to_thread(shutil.rmtree, instance.root / container.hostname, ignore_errors=True)
        await self._start(fresh)

    async def _start(self, containers: list[Container]) -> None:
        """Prepare and start containers side by side; returns when all of them pass the health check."""
        await self._prepare(containers)
        window = self._window("ContainerStartupHealthCheckTimeoutInSeconds", _HEALTH_CHECK_WINDOW)
        try:
            for container in containers:
                container.start(self.gateway_url, self.scope, self.lifeline, self.safe_ports.take())
        except OSError as error:
            raise FleetFailed(f"The sandbox could not start a model server: {error}.") from error
        await self._wait_until_healthy(containers, window)

    def _container(self, plan: ContainerPlan, instance: Instance, count: int) -> Container:
        stream = f"{self.stream(instance)}/{plan.hostname}" if count > 1 else self.stream(instance)
        group = self.log_group
        file = self.work_dir / "logs" / self.endpoint_name / f"{stream.replace('/', '_')}.log"
        file.parent.mkdir(parents=True, exist_ok=True)

        def publish(line: str) -> None:
            self.logs.write(self.scope, group, stream, line)

        output = Output(f"{instance.id} {plan.hostname}", file, publish)
        return Container(plan, instance.root / plan.hostname, output, instance.wake.set)

    def _window(self, name: str, default: int) -> float:
        """Real seconds of a time limit that the variant may set."""
        return max(self.clock.real(self.variant.get(name, default)), _SHORTEST_WINDOW)

    async def _prepare(self, containers: list[Container]) -> None:
        loop = asyncio.get_running_loop()
        window = self._window("ModelDataDownloadTimeoutInSeconds", _DOWNLOAD_WINDOW)
        work = [
            loop.run_in_executor(self.workers, container.prepare, self.artifacts, self.scope)
            for container in containers
        ]
        try:
            late = await _late(work, window)
        except OSError as error:
            raise FleetFailed(f"The sandbox could not lay out a model server's files: {error}.") from error
        if late:
            raise FleetFailed(
                f"The model data of {self.whose} was not there within "
                "ModelDataDownloadTimeoutInSeconds. Raise it, or make the artifact smaller."
            )

    async def _wait_until_healthy(self, containers: list[Container], window: float) -> None:
        checks: dict[asyncio.Future[None], Container] = {
            asyncio.ensure_future(self._check(each)): each for each in containers
        }
        late = await _late(checks, window)
        if late:
            raise FleetFailed(self._not_healthy(checks[late[0]]))

    async def _check(self, container: Container) -> None:
        await container.wait_until_healthy()
        if container.exit_status is not None:
            raise FleetFailed(f"{self._not_healthy(container)} {await container.why_it_ended()}")

    def _not_healthy(self, container: Container) -> str:
        return (
            f"The {container.hostname} container for {self.whose} did not pass the ping health check. "
            f"Please check CloudWatch logs for this {self.log_subject}."
        )


async def _late(work: Collection[asyncio.Future[None]], window: float) -> list[asyncio.Future[None]]:
    """What is not done after so many seconds; the first error ends the wait, and nothing goes on after it."""
    try:
        done, _ = await asyncio.wait(work, timeout=window, return_when=asyncio.FIRST_EXCEPTION)
        for future in done:
            future.result()
        return [future for future in work if future not in done]
    finally:
        for future in work:
            future.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def _finish(work: Awaitable[None]) -> None:
    """Wait for clean-up to end although this task may be cancelled again meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()
