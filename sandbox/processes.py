"""Processes of a sandbox: found, told from strangers, ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

from sandbox.home import Home, State


def main_process(state: State) -> psutil.Process | None:
    """The process that the state names, unless it has ended or its pid is somebody else's by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(state.pid)
        is_ours = abs(process.create_time() - state.created) < 1.0
        if is_ours and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def descendants(state: State) -> list[psutil.Process]:
    """Processes that the sandbox has started, directly or not, without itself."""
    main = main_process(state)
    with contextlib.suppress(psutil.Error):
        return main.children(recursive=True) if main else []
    return []


def left_over(home: Home, state: State) -> list[psutil.Process]:
    """Processes of a sandbox whose main process has ended: of its session, or servers of its folder.

    No other process gets the number of a session that still has members, so the first is safe even when
    the state is old.
    """
    reused = psutil.pid_exists(state.pid) and main_process(state) is None and not _is_zombie(state.pid)
    work = f"{home.work_dir}{os.sep}"
    found = []
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            in_session = not reused and os.getsid(pid) == state.pid
            if in_session or _is_ours(process, work):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    """Whether a process runs still; one whose number is somebody else's by now does not."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end(found: Iterable[psutil.Process], *, grace: float) -> None:
    """SIGTERM, some time, SIGKILL to what is left and to the groups that those lead.

    psutil looks first whether the number still means the same process.
    """
    started = list(dict.fromkeys(found))
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(started, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.Error, OSError):
            if process.is_running() and os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _is_ours(process: psutil.Process, work: str) -> bool:
    command = process.cmdline()
    programs = ("model_server", "runtime_client")
    return any(program in word for word in command for program in programs) and any(
        work in word for word in command
    )


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return False
