"""Starts and ends the sandbox's process, and cleans up after one that did not end by itself."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from sandbox import ports, processes
from sandbox.errors import SandboxError
from sandbox.home import PROJECT, Home, State, tools_path

START_LIMIT = 60.0
STOP_GRACE = 20.0
PORT_TAKEN = 98
"""Exit status of the server when a port that looked free was taken meanwhile."""

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a sandbox is started with.

    Args:
        time_scale: AWS seconds in a real second; None is 1.
        port: Port of the gateway; None is 4566 or the next free one.
        max_model_servers: Model-server processes at most; None is 24.
    """

    time_scale: float | None = None
    port: int | None = None
    max_model_servers: int | None = None


def up(home: Home, options: Options, notify: Notify) -> tuple[State, bool]:
    """Start the sandbox, or find it started.

    Returns:
        The sandbox, and whether this call has started it.

    Raises:
        SandboxError: It runs with other settings, a port is taken, or it did not come up.
    """
    with home.locked("process", notify):
        state = running(home)
        if state is not None:
            _require_same(state, options)
            if not is_healthy(state):
                raise SandboxError(
                    f"The sandbox's process {state.pid} lives but does not answer on {state.gateway_url}. "
                    "Restart it: python -m sandbox down, then up."
                )
            return state, False
        _clean_up(home, notify)
        return _start(home, options, notify), True


def down(home: Home, notify: Notify) -> bool:
    """End the sandbox and all its processes.

    Returns:
        Whether there was something to end.

    Raises:
        SandboxError: Something did not end.
    """
    if not home.path.exists():
        return False
    with home.locked("process", notify):
        ended = _clean_up(home, notify)
        # what a killed process has left there is for the next one after it, but this ends the account
        shutil.rmtree(home.queue_dir, ignore_errors=True)
        return ended


def running(home: Home) -> State | None:
    """The sandbox of this folder, if its process lives."""
    state = home.read_state()
    return state if state is not None and processes.main_process(state) else None


def require_running(home: Home) -> State:
    """The sandbox of this folder.

    Raises:
        SandboxError: It is not running.
    """
    state = running(home)
    if state is None:
        raise SandboxError("The sandbox is not running. Start it: python -m sandbox up")
    return state


def is_healthy(state: State, timeout: float = 5.0) -> bool:
    """Whether the gateway answers."""
    connection = http.client.HTTPConnection("127.0.0.1", state.gateway_port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _require_same(state: State, options: Options) -> None:
    asked = {
        "--port": (options.port, state.gateway_port),
        "--time-scale": (options.time_scale, state.time_scale),
        "--max-model-servers": (options.max_model_servers, state.max_model_servers),
    }
    different = [f"{name} {is_}" for name, (want, is_) in asked.items() if want is not None and want != is_]
    if different:
        raise SandboxError(
            f"The sandbox is already running, with {', '.join(different)}. To change that, stop it first "
            "(everything in it is deleted): python -m sandbox down"
        )


def _start(home: Home, options: Options, notify: Notify) -> State:
    for attempt in range(3):
        gateway_port, runtime_port = ports.choose_ports(options.port)
        notify(f"starting on port {gateway_port}")
        state = _start_on(home, options, gateway_port, runtime_port)
        if state is not None:
            return state
        notify(f"port {gateway_port} or {runtime_port} was taken meanwhile (attempt {attempt + 1})")
    raise SandboxError("No port stayed free long enough. Give one: python -m sandbox up --port PORT")


def _start_on(home: Home, options: Options, gateway_port: int, runtime_port: int) -> State | None:
    """Start the process on these ports and wait until it is ready; None when a port was taken after all.

    Raises:
        SandboxError: It did not come up; nothing of it is left.
    """
    for folder in (home.assembly, home.tmp_dir):
        shutil.rmtree(folder, ignore_errors=True)
    home.make()
    scale, servers = options.time_scale or 1.0, options.max_model_servers or 24
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "sandbox.server", f"--home={home.path}"]
    command += [f"--gateway-port={gateway_port}", f"--runtime-port={runtime_port}"]
    command += [f"--time-scale={scale}", f"--max-model-servers={servers}", f"--ready-fd={writer}"]
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reader)
        with home.log_file.open("wb") as log, contextlib.closing(os.fdopen(writer, "wb")):
            process = subprocess.Popen(  # noqa: S603 - our own list of words, never a shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home.path,
                env=_server_environment(home),
                pass_fds=[writer],
                start_new_session=True,
            )
        state = State(
            pid=process.pid,
            created=psutil.Process(process.pid).create_time(),
            gateway_port=gateway_port,
            runtime_port=runtime_port,
            time_scale=scale,
            max_model_servers=servers,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            home.write_state(state)
            if _wait_until_ready(process, reader) and is_healthy(state):
                process.returncode = 0  # it outlives us; Popen need not warn of that
                return state
            status = process.poll()
        except BaseException:
            _discard(home, state, process)
            raise
        _discard(home, state, process)
        if status == PORT_TAKEN and options.port is None:
            return None
        raise SandboxError(_why_not(home, status))


def _server_environment(home: Home) -> dict[str, str]:
    """All that the process gets of its caller's environment: where programs are, and the language."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    path = dict.fromkeys([*tools_path(), *os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/bin"])
    return kept | {
        "PATH": os.pathsep.join(part for part in path if part),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "HOME": str(home.user_home),
        "TMPDIR": str(home.tmp_dir),
    }


def _wait_until_ready(process: subprocess.Popen[bytes], reader: int) -> bool:
    """Whether the process says that it is ready, before it ends or the time is over."""
    deadline = time.monotonic() + START_LIMIT
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reader], [], [], min(left, 1.0))[0]:
            said = os.read(reader, 16)
            if not said:  # closed: it ends, or has
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
            return said.startswith(b"ready")
    return False


def _why_not(home: Home, status: int | None) -> str:
    ended = "did not get ready in time" if status is None else f"ended with status {status}"
    lines = home.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    log = "\n    ".join(lines) or "(empty)"
    return f"The sandbox {ended}. The last lines of {home.log_file}:\n    {log}"


def _discard(home: Home, state: State, process: subprocess.Popen[bytes]) -> None:
    """End a process that has not come up, and reap it."""
    main = processes.main_process(state)
    processes.end([*([main] if main else []), *processes.left_over(home, state)], grace=1.0)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    home.forget_state()


def _clean_up(home: Home, notify: Notify) -> bool:
    """End what an earlier start has left, whatever state it is in.

    Raises:
        SandboxError: A process or a port is still there.
    """
    state = home.read_state()
    if state is None:
        home.forget_state()
        return False
    main = processes.main_process(state)
    # found before the main process ends: afterwards nobody knows whose children they were
    family = [*([main] if main else []), *processes.descendants(state)]
    if main:
        notify(f"stopping (process {main.pid})")
        processes.end([main], grace=STOP_GRACE)
    left = [*family, *processes.left_over(home, state)]
    processes.end(left, grace=2.0)
    alive = [str(process.pid) for process in dict.fromkeys(left) if processes.lives(process)]
    if alive:
        raise SandboxError(f"These processes of the sandbox do not end: {', '.join(alive)}.")
    if main:
        ports.wait_until_free((state.gateway_port, state.runtime_port))
    home.forget_state()
    return bool(main or left)
