"""The program of a job, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sandbox.fleet.output import Output
from sandbox.jobs.failures import ALGORITHM_ERROR, JobFailed

STOP_GRACE = 120.0
"""AWS seconds between SIGTERM and SIGKILL (API_StopTrainingJob)."""
_LEAST_GRACE = 2.0  # real seconds: programs do not end faster with the clock

_PYTHON = re.compile(r"(?:/[\w.-]+)*/?python3?(?:\.\d+)?\Z")


class JobProcess:
    """A program that runs to its end or is stopped.

    Args:
        command: Program and arguments; ``python``, wherever the image has it, is this Python.
        environment: The whole environment.
        folder: Where it starts.
        output: Where its lines go.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, output: Output) -> None:
        self._command = command
        self._environment = environment
        self._folder = folder
        self.output = output

    async def run(self, limit: float, grace: float) -> int:
        """Run the program; its exit status, negative for a signal. Stops it when cancelled.

        Args:
            limit: Real seconds that it may take.
            grace: Real seconds between SIGTERM and SIGKILL.

        Raises:
            JobFailed: It cannot be started.
            TimeoutError: It took longer.
        """
        process = self._spawn()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_wait, args=(process, loop, ended), daemon=True).start()
        self.output.read_from(process.stdout)
        try:
            async with asyncio.timeout(limit):
                await ended.wait()
        except (TimeoutError, asyncio.CancelledError):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.shield(asyncio.wait_for(ended.wait(), max(grace, _LEAST_GRACE)))
            raise
        finally:
            _kill_group(process.pid)  # with what it started
            await ended.wait()
            await asyncio.to_thread(self.output.finish)
        return process.returncode

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = self._command[0]
        command = [sys.executable if _PYTHON.match(program) else program, *self._command[1:]]
        try:
            return subprocess.Popen(  # noqa: S603  (a list, no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                # a group of its own, to be killed with all that it started; the session is the sandbox's, by
                # which it is found when the sandbox itself was killed
                process_group=0,
            )
        except OSError as error:
            raise JobFailed(
                ALGORITHM_ERROR, f"The entrypoint {program!r} cannot be started: {error.strerror}."
            ) from error
        except ValueError as error:  # a null byte
            raise JobFailed(ALGORITHM_ERROR, f"The entrypoint cannot be started: {error}.") from error


def _wait(process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    process.wait()
    with contextlib.suppress(RuntimeError):  # the loop may be gone at the very end
        loop.call_soon_threadsafe(ended.set)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(pid, signal.SIGKILL)
