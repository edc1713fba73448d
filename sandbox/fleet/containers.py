"""Containers as processes: what a model's definition asks for, and the model server that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.fleet.artifacts import ArtifactStore, ModelSource
from sandbox.fleet.failures import FleetFailed
from sandbox.fleet.images import Framework, framework_of, missing_packages, missing_requirements
from sandbox.fleet.output import Output
from sandbox.model_server import EXIT_LOAD_FAILED
from sandbox.store import Params, Scope

_MODEL_SERVER = Path(__file__).parents[1] / "model_server" / "__main__.py"
_PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

PING_TIMEOUT = 2.0
"""Seconds that each GET /ping may take (developer guide, your-algorithms-inference-code)."""


@dataclass(frozen=True)
class ContainerPlan:
    """What one container of a model is to be, checked.

    Args:
        hostname: ContainerHostname, ``primary`` for a PrimaryContainer, else ``container-<n>``.
        image: Image URI.
        framework: What runs it.
        environment: The definition's Environment.
        source: Its model artifact, if any.
        isolated: The model has EnableNetworkIsolation.
    """

    hostname: str
    image: str
    framework: Framework
    environment: dict[str, str]
    source: ModelSource | None
    isolated: bool

    @property
    def program(self) -> str:
        """File name of the script with the handler functions."""
        program = self.environment.get("SAGEMAKER_PROGRAM", "inference.py")
        return program if program.endswith(".py") else f"{program}.py"


def definitions(model: Params) -> list[Params]:
    """The ContainerDefinitions of a CreateModel request, in order."""
    primary = model.get("PrimaryContainer")
    return [primary] if primary else list(model.get("Containers", []))


def plan(model: Params) -> list[ContainerPlan]:
    """The containers of a CreateModel request.

    Raises:
        FleetFailed: A container is of a kind that the sandbox does not run here.
    """
    plans, containers = [], definitions(model)
    for number, definition in enumerate(containers, 1):
        hostname = definition.get("ContainerHostname") or f"container-{number}"
        if "Image" not in definition:
            raise FleetFailed(
                "The sandbox needs the Image of each container, its own or that of its model package."
            )
        if definition.get("Mode") == "MultiModel":
            raise FleetFailed("The sandbox does not run multi-model containers (Mode MultiModel).")
        plans.append(
            ContainerPlan(
                hostname="primary" if "PrimaryContainer" in model else hostname,
                image=definition["Image"],
                framework=framework_of(definition["Image"], among_several=len(containers) > 1),
                environment=dict(definition.get("Environment", {})),
                source=ModelSource.of(definition),
                isolated=bool(model.get("EnableNetworkIsolation")),
            )
        )
    return plans


class Container:
    """A model server on loopback.

    Args:
        plan: What it runs.
        root: Its own folder, which holds its ``/opt/ml``; made by `prepare`.
        output: Where its lines go.
        on_exit: Called on the loop when the process has ended.
    """

    def __init__(self, plan: ContainerPlan, root: Path, output: Output, on_exit: Callable[[], None]) -> None:
        self.plan = plan
        self.hostname = plan.hostname
        self.port = 0
        self.url = ""
        self.pid = 0
        self.exit_status: int | None = None
        self.exited = asyncio.Event()
        self.started_at = 0.0
        self.is_replacement = False
        self.output = output
        self._on_exit = on_exit
        self._root = root
        self._base = root / "opt" / "ml"
        self._code = self._base / "model" / "code"
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, artifacts: ArtifactStore, scope: Scope) -> None:
        """Lay out the container's files. Blocking.

        Raises:
            FleetFailed: The artifact cannot be had, or is not what the image needs.
        """
        for name in ("root", "tmp"):
            (self._root / name).mkdir(parents=True)
        model_dir = self._base / "model"
        if self.plan.source is None:
            model_dir.mkdir(parents=True)
        else:
            artifacts.copy_to(model_dir, self.plan.source, scope, self.hostname)
        submitted = self.plan.environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        if submitted.startswith("s3://"):
            self._code = self._base / "code"
            artifacts.copy_to(self._code, ModelSource(submitted), scope, self.hostname)
        elif submitted:
            self._code = Path(self._inside(submitted))
        self._check_code(model_dir)

    def _check_code(self, model_dir: Path) -> None:
        program = self.plan.program
        data = self.plan.source.uri if self.plan.source else "(no model data)"
        if not (self._code / program).is_file():
            hint = " It is there, but not in code/: move it." if (model_dir / program).is_file() else ""
            raise FleetFailed(
                f"The model data at {data} of container {self.hostname} has no code/{program}, the script "
                f"with model_fn and predict_fn (SAGEMAKER_PROGRAM names it, default inference.py).{hint}"
            )
        absent = missing_packages(self.plan.framework, self._code)
        if absent:
            raise FleetFailed(
                f"The code of container {self.hostname} imports {', '.join(absent)} of its image, not "
                f"installed in the sandbox's environment. Install with: python -m pip install "
                f"{' '.join(absent)}, and deploy again."
            )
        missing = missing_requirements(self._code / "requirements.txt")
        if missing:
            raise FleetFailed(
                f"code/requirements.txt of container {self.hostname} asks for {', '.join(missing)}, which "
                "the sandbox's environment does not have and the sandbox does not install. "
                f"Install with: python -m pip install {' '.join(repr(line) for line in missing)}"
            )

    def start(self, gateway_url: str, scope: Scope, lifeline: int, safe_ports: range) -> None:
        """Start the process; it answers /ping when its model is loaded.

        Args:
            gateway_url: The AWS that the model may call.
            scope: Account and Region that it calls as.
            lifeline: Read end of a pipe; the process ends when nobody holds the other end any more.
            safe_ports: Ports that it may listen on besides.
        """
        loop = asyncio.get_running_loop()
        # bound and listening before the process starts: no race for the port, and callers wait in its queue
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.port = listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
            environment = self._environment(gateway_url, scope, safe_ports)
            # on this thread: it takes a millisecond, and a cancelled task must not lose a process
            process = self._spawn(listener.fileno(), lifeline, environment)
        # our copy of the socket is closed: connections are refused from the moment the process is gone
        self._process, self.pid, self.started_at = process, process.pid, time.monotonic()
        name = f"{self.output.name} exit"
        self.output.read_from(process.stdout)
        threading.Thread(target=self._wait, args=(loop, process), name=name, daemon=True).start()

    def _spawn(self, listener: int, lifeline: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        # -P and -s: neither this folder nor the user's own packages are on the path of the model's code
        command = [sys.executable, "-P", "-s", str(_MODEL_SERVER), "--lifeline", f"--fd={listener}"]
        command += [f"--code-dir={self._code}", f"--framework={self.plan.framework.name}"]
        command += ["--network-isolation"] if self.plan.isolated else []
        return subprocess.Popen(  # noqa: S603  (a list, no shell)
            command,
            stdin=lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._root,
            env=environment,
            pass_fds=[listener],
            start_new_session=True,  # so that it can be killed with all that it started
        )

    def _environment(self, gateway_url: str, scope: Scope, safe_ports: range) -> dict[str, str]:
        """The whole environment: nothing of the developer's own gets in."""
        python = str(Path(sys.executable).parent)
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        environment = {
            "PATH": os.pathsep.join([python, "/usr/local/bin", "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "AWS_REGION": scope.region,
            "AWS_DEFAULT_REGION": scope.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **dict.fromkeys(threads, "1"),  # several servers share the machine
        }
        if not self.plan.isolated:
            environment["AWS_ENDPOINT_URL"] = gateway_url
            environment["AWS_ACCESS_KEY_ID"] = scope.account  # a 12-digit key tells the gateway the account
            environment["AWS_SECRET_ACCESS_KEY"] = "sandbox"  # noqa: S105  (nobody checks it)
        environment |= {name: self._inside(value) for name, value in self.plan.environment.items()}
        return environment | {
            "HOME": str(self._root / "root"),
            "TMPDIR": str(self._root / "tmp"),
            "SAGEMAKER_BASE_DIR": str(self._base),
            "SM_MODEL_DIR": str(self._base / "model"),
            "SAGEMAKER_PROGRAM": self.plan.program,
            "SAGEMAKER_SUBMIT_DIRECTORY": str(self._code),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "SAGEMAKER_SAFE_PORT_RANGE": f"{safe_ports.start}-{safe_ports.stop - 1}",
        }

    def _inside(self, value: str) -> str:
        """A path below /opt/ml as it is in this container's own tree."""
        return re.sub(r"\A/opt/ml(?=/|\Z)", lambda _: str(self._base), value)

    def _wait(self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
            loop.call_soon_threadsafe(self._set_exited, status)

    def _set_exited(self, status: int) -> None:
        self.exit_status = status
        self.exited.set()
        self._signal(signal.SIGKILL)  # what it started must not live on
        self._on_exit()

    async def ping(self) -> bool:
        """Whether GET /ping is answered by 200 within `PING_TIMEOUT`."""
        try:
            async with asyncio.timeout(PING_TIMEOUT):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(_PING)
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def wait_until_healthy(self) -> None:
        """Return when /ping is answered, or when the process has ended."""
        exited = asyncio.create_task(self.exited.wait())
        healthy = asyncio.create_task(self._ping_until_healthy())
        try:
            await asyncio.wait([exited, healthy], return_when=asyncio.FIRST_COMPLETED)
        finally:
            exited.cancel()
            healthy.cancel()

    async def _ping_until_healthy(self) -> None:
        while not await self.ping():
            await asyncio.sleep(0.05)

    async def why_it_ended(self) -> str:
        """One sentence on a process that has ended."""
        await asyncio.to_thread(self.output.finish)
        error = self.output.last_error()
        status = self.exit_status or 0
        if status == EXIT_LOAD_FAILED:
            return f"The model did not load: {error}"
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        return f"The model server {ended}.{' Last output: ' if error else ''}{error}"

    async def stop(self, grace: float) -> None:
        """End the process: SIGTERM, which lets it finish invocations, and SIGKILL after the grace period.

        Args:
            grace: Seconds; SageMaker gives 30.
        """
        if self._process is None:
            return
        if grace > 0:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.exited.wait(), grace)
        self._signal(signal.SIGKILL)
        await self.exited.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(self.pid, number)
