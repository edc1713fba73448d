"""An execution environment: one process that imports a function's handler and answers one event at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sandbox.functions.calls import Fault, FunctionVersion, Invocation, now_ms
from sandbox.functions.images import Image
from sandbox.functions.layout import TASK_ROOT
from sandbox.functions.output import LinePipe

_CLIENT = Path(__file__).with_name("runtime_client.py")
_TAIL_LINES = 512
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Lambda's own (Developer Guide, configuration-envvars): a function cannot set them
_OWN_PATHS = re.compile(rf"(?<![\w/]){TASK_ROOT}(?=/|:|\Z)")


class Environment:
    """A process behind the Runtime API.

    Args:
        version: What it runs.
        image: Its image.
        provisioned: It is started ahead.
        address: The Runtime API, ``host:port``.
        aws: Variables with which the function finds the sandbox's AWS.
        work_dir: Where its own folder is made.
        lifeline: Read end of a pipe; the process ends when nobody holds the other end any more.
        write_log: Takes each line of its log stream.
        on_end: Called on the loop when the process has ended, or could not be started.
    """

    def __init__(
        self,
        version: FunctionVersion,
        image: Image,
        *,
        provisioned: bool,
        address: str,
        aws: Mapping[str, str],
        work_dir: Path,
        lifeline: int,
        write_log: Callable[[str, str], None],
        on_end: Callable[[Environment], None],
    ) -> None:
        self.version = version
        self.provisioned = provisioned
        self.token = secrets.token_urlsafe(24)
        self.log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{version.version}]{uuid.uuid4().hex}"
        self.pid = 0
        self.init_seconds = 0.0
        self.calls = 0
        self.idle_since = time.monotonic()
        self.peak_memory_kb = 0
        self.lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._image = image
        self._address = address
        self._aws = aws
        self._work_dir = work_dir
        self._lifeline = lifeline
        self._write_log = write_log
        self._on_end = on_end
        self._folder: Path | None = None
        self._output: LinePipe | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: Fault | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._event: asyncio.Future[Invocation] | None = None
        self._answer: asyncio.Future[tuple[bytes, str]] | None = None
        self._current: Invocation | None = None
        self._deadline_ms = 0
        self._started = 0.0
        self._gone = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        """Whether its process runs, as far as is known."""
        return self._process is not None and self._ended is None

    @property
    def is_ready(self) -> bool:
        """Whether its handler is imported, and its process runs."""
        ready = self._ready
        return self.is_alive and ready.done() and not ready.cancelled() and ready.exception() is None

    @property
    def is_busy(self) -> bool:
        """Whether it works on an event."""
        return self._current is not None

    @property
    def log_tail(self) -> str:
        """The last 4 KB of what it has logged since its last call began, or since its start."""
        return "\n".join(self.lines).encode()[-4096:].decode("utf-8", "ignore")

    def start(self) -> None:
        """Start the process.

        Raises:
            Fault: It cannot be started.
        """
        try:
            self._start()
        except Fault:
            self._finish()
            raise

    def _start(self) -> None:
        if self.version.entry_point and self.version.entry_point != ("/lambda-entrypoint.sh",):
            raise Fault(
                "Runtime.InvalidEntrypoint",
                f"the sandbox starts no other program: EntryPoint {list(self.version.entry_point)}",
            )
        if not self.version.handler:
            raise Fault(
                "Runtime.InvalidEntrypoint",
                'neither the image\'s CMD nor ImageConfig.Command names a handler, such as ["app.handler"]',
            )
        loop = asyncio.get_running_loop()
        self._folder = Path(tempfile.mkdtemp(dir=self._work_dir, prefix="environment-"))
        self._output = LinePipe(self.log)
        self._started = time.monotonic()
        try:
            # -P and -s: neither this folder nor the user's own packages are on the path of the function
            self._process = subprocess.Popen(  # noqa: S603 - a list of words, never a shell
                [sys.executable, "-P", "-s", str(_CLIENT), str(self._folder)],  # tells whose process it is
                stdin=self._lifeline,
                stdout=self._output.write_end,
                stderr=subprocess.STDOUT,
                cwd=self._real(self.version.work_dir or self._image.config.work_dir),
                env=self._environment(),
                start_new_session=True,  # so that it can be killed with all that it started
            )
        except OSError as error:
            raise Fault("Runtime.InvalidWorkingDir", f"the process cannot be started: {error}") from error
        finally:
            os.close(self._output.write_end)
        self.pid = self._process.pid
        threading.Thread(
            target=self._wait, args=(loop, self._process), name=f"{self.version.name} exit", daemon=True
        ).start()

    async def initialise(self, limit: float) -> None:
        """Wait until the handler is imported.

        Args:
            limit: Seconds.

        Raises:
            Fault: It cannot be imported; the process is ended.
            TimeoutError: It takes longer; the process is ended.
        """
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self.kill(Fault("Sandbox.Timedout", "the initialisation took too long"))
            raise
        finally:
            self.init_seconds = time.monotonic() - self._started
            self._drain()

    async def invoke(self, call: Invocation) -> tuple[bytes, str]:
        """Answer one event.

        Returns:
            The answer, and the type of the handler's error; empty when there was none.

        Raises:
            Fault: The process ended, or took longer than the function's timeout; it is not used again.
        """
        if self._ended is not None:
            raise self._ended
        self.calls += 1
        self._deadline_ms = now_ms() + self.version.timeout * 1000
        self._answer = asyncio.get_running_loop().create_future()
        self._current = call
        if self._event is not None and not self._event.done():
            self._event.set_result(call)
        try:
            async with asyncio.timeout(self.version.timeout):
                return await self._answer
        except TimeoutError:
            fault = Fault("Sandbox.Timedout", f"Task timed out after {self.version.timeout:.2f} seconds")
            self.kill(fault)
            raise fault from None
        finally:
            self._current = self._answer = None
            self.idle_since = time.monotonic()
            self._drain()

    async def next(self) -> tuple[Invocation, int]:
        """The Runtime API's ``next``: waits for an event; also its deadline, milliseconds since 1970."""
        if not self._ready.done():
            self._ready.set_result(None)
        if self._current is None:
            self._event = asyncio.get_running_loop().create_future()
            await self._event
        assert self._current is not None  # noqa: S101 - set before the event is
        return self._current, self._deadline_ms

    def answered(self, request_id: str, body: bytes, error_type: str) -> bool:
        """The Runtime API's ``response`` and ``error``; False when no such request is being worked on."""
        if self._current is None or self._current.request_id != request_id or self._answer is None:
            return False
        if not self._answer.done():
            self._event = None
            self._answer.set_result((body, error_type))
        return True

    def failed_to_start(self, body: bytes, error_type: str) -> None:
        """The Runtime API's ``init/error``."""
        if not self._ready.done():
            self._ready.set_exception(Fault(error_type, "", body))

    def kill(self, fault: Fault | None = None) -> None:
        """End the process and all that it started, at once.

        Args:
            fault: What the call that it works on fails with.
        """
        if self._ended is None:
            self._ended = fault or Fault("Runtime.ExitError", "Runtime exited with error: signal: killed")
        self._signal()

    async def wait_until_gone(self) -> None:
        """Wait until its process has ended and nothing of it is left."""
        await self._gone.wait()

    def log(self, line: str) -> None:
        """Write a line to its log stream."""
        self.lines.append(line)
        self._write_log(self.log_stream, line)

    def _environment(self) -> dict[str, str]:
        """The whole environment: nothing of the developer's own gets in."""
        version, config = self.version, self._image.config
        python = str(Path(sys.executable).parent)
        # the image's own paths do not exist here
        of_image = {
            name: self._mapped(value)
            for name, value in config.environment.items()
            if name not in {"PATH", "LD_LIBRARY_PATH", "LANG", "TZ"}
        }
        assert self._folder is not None  # noqa: S101 - made before
        return {
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            **dict.fromkeys(_THREADS, "1"),  # several environments share the machine
            **of_image,
            **{name: self._mapped(value) for name, value in version.variables},
            **self._aws,
            "PATH": os.pathsep.join([python, "/usr/local/bin", "/usr/bin", "/bin"]),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self._folder),
            "HOME": str(self._folder),
            "LAMBDA_TASK_ROOT": self._real(TASK_ROOT),
            "LAMBDA_RUNTIME_DIR": str(_CLIENT.parent),
            "_HANDLER": version.handler,
            "AWS_LAMBDA_RUNTIME_API": f"{self._address}/{self.token}",
            "AWS_LAMBDA_FUNCTION_NAME": version.name,
            "AWS_LAMBDA_FUNCTION_VERSION": version.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if self.provisioned else "on-demand",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{config.python}",
        }

    def _mapped(self, value: str) -> str:
        """A path below the task root as it is here."""
        return _OWN_PATHS.sub(lambda _: self._real(TASK_ROOT), value)

    def _real(self, path: str) -> str:
        return str(self._image.root / path.lstrip("/"))

    def _wait(self, loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
            loop.call_soon_threadsafe(self._on_exit, status)

    def _on_exit(self, status: int) -> None:
        if self._ended is None:
            self._ended = Fault("Runtime.ExitError", _how_it_ended(status))
        self._signal()  # what it started must not live on
        for waiting in (self._ready, self._answer):
            if waiting is not None and not waiting.done():
                waiting.set_exception(self._ended)
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # nobody may be waiting any more
        if self._event is not None and not self._event.done():
            self._event.cancel()
        self._finish()

    def _signal(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
                os.killpg(self.pid, signal.SIGKILL)

    def _drain(self) -> None:
        if self._output is not None:
            self._output.drain()

    def _finish(self) -> None:
        if self._output is not None:
            self._output.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._gone.set()
        self._on_end(self)


def _how_it_ended(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-status).name
        words = {
            "SIGKILL": "killed",
            "SIGSEGV": "segmentation fault",
            "SIGABRT": "aborted",
            "SIGTERM": "terminated",
        }
        return f"Runtime exited with error: signal: {words.get(name, name)}"
    return f"Runtime exited with error: signal {-status}"
