"""What a container prints: line by line to CloudWatch Logs and to a file, and its last lines kept."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

_KEPT_LINES = 200
# a longer line is cut into pieces
_LONGEST_LINE = 16 * 1024
_LARGEST_FILE = 8 * 1024 * 1024


class Output:
    """Reads one process's output on a thread of its own, so that a chatty model does not hold up the engine.

    Args:
        name: Name of the container, for its threads.
        file: The local file; when it is full it becomes ``<file>.1`` and a new one begins.
        publish: Takes each line; must be quick and callable from any thread.
    """

    def __init__(self, name: str, file: Path, publish: Callable[[str], None]) -> None:
        self.name = name
        self.file = file
        self._publish = publish
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)
        self._thread: threading.Thread | None = None

    def read_from(self, pipe: IO[bytes] | None) -> None:
        """Read until the process closes its end."""
        name = f"{self.name} output"
        self._thread = threading.Thread(target=self._read, args=(pipe,), name=name, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Add a line of the sandbox's own."""
        self._publish(line)
        self._append(f"{line}\n".encode())

    def finish(self) -> None:
        """Wait until everything that an ended process printed is read, at most a second."""
        if self._thread is not None:
            self._thread.join(1.0)

    def last_error(self) -> str:
        """The last exception that was printed, else the last line, else nothing."""
        lines = list(self._tail)
        starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        if starts:
            message = [line for line in lines[starts[-1] + 1 :] if line and not line.startswith(" ")]
            if message:
                return " ".join(message)[:600]
        return next((line for line in reversed(lines) if line.strip()), "")[:600]

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while raw := pipe.readline(_LONGEST_LINE):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self._tail.append(line)
                self._append(raw if raw.endswith(b"\n") else raw + b"\n")
                if line:  # CloudWatch Logs refuses empty messages
                    self._publish(line)

    def _append(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the model
            with self.file.open("ab") as file:
                file.write(line)
                size = file.tell()
            if size > _LARGEST_FILE:
                self.file.replace(self.file.with_name(f"{self.file.name}.1"))
