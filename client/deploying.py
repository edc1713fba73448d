"""A deployment that runs beside: the CDK app's own deploy command, as a process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from client.commands import redeploy_words
from client.connection import Connection
from client.errors import UserError
from client.patterns import DeployedPattern

_MOMENT_SECONDS = 0.25
_LINES_KEPT = 200
_LINES_SHOWN = 12
_EVENT_CELLS = 6
# the CDK CLI ends its app and itself well within this
_PATIENCE_SECONDS = 20.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Deployment:
    """Deploys a stack again, with other settings, while the caller does something else.

    A context manager: whatever is still running at its end is interrupted, as by Ctrl-C.

    Args:
        connection: Where to: the sandbox or AWS.
        deployed: The stack.
        settings: ``key=value`` for the CDK app, for example ``patterns.blue-green.version=v2``; null removes.

    Raises:
        UserError: The command cannot be started.
    """

    def __init__(
        self, connection: Connection, deployed: DeployedPattern, settings: Sequence[str] = ()
    ) -> None:
        context = [*([f"env={deployed.environment}"] if deployed.environment else []), *settings]
        words = redeploy_words(
            deployed.pattern, deployed.stack_name, context, in_sandbox=connection.is_sandbox
        )
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._doing = ""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own list of words, never a shell
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            raise UserError(
                f"{words[0]} cannot be run: {error.strerror}", "Run `make setup` in the project's folder."
            ) from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(_PATIENCE_SECONDS)

    @property
    def running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._process.poll() is None

    @property
    def doing(self) -> str:
        """What it is about: the latest event of the stack; empty if it has not said."""
        return self._doing

    def pause(self) -> None:
        """Wait a moment, or until it ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_MOMENT_SECONDS)

    def wait(self) -> int:
        """Wait for its end; gives its exit status."""
        status = self._process.wait()
        self._reader.join(_PATIENCE_SECONDS)
        return status

    def words(self) -> str:
        """The end of what it said."""
        return "\n".join(list(self._lines)[-_LINES_SHOWN:])

    def _read(self) -> None:
        output = self._process.stdout
        if output is None:
            return
        with output:
            for line in output:
                said = _ESCAPES.sub("", line).strip()
                if said:
                    self._lines.append(said)
                    self._doing = _doing(said) or self._doing


def _doing(line: str) -> str:
    """What a line of the CDK CLI tells about progress; empty if it tells nothing."""
    cells = [cell.strip() for cell in line.split("|")]
    if len(cells) >= _EVENT_CELLS:  # stack | 3/16 | time | status | type | logical id, perhaps a reason
        return f"{cells[3]} {cells[4]} {cells[5].partition(' (')[0]}"
    return "synthesising the CDK app" if line.endswith("cdk synth") else ""


def deploy(connection: Connection, deployed: DeployedPattern, settings: Sequence[str] = ()) -> None:
    """Deploy and wait.

    Raises:
        UserError: The deployment failed; its last words are in the hint.
    """
    with Deployment(connection, deployed, settings) as deployment:
        if deployment.wait() != 0:
            raise UserError(f"Stack {deployed.stack_name} could not be deployed", deployment.words())
