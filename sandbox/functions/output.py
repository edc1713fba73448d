"""What an execution environment prints, line by line, read without waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

# a longer line is cut into pieces, as CloudWatch Logs takes events of 256 KB
_LONGEST_LINE = 256 * 1024 - 26
_READ = 64 * 1024
_READS_AT_A_TIME = 4
_READS_AT_MOST = 64


class LinePipe:
    """The read end of a pipe, on the running loop.

    Args:
        write: Takes each line; must be quick.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._descriptor, self.write_end = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._loop.add_reader(self._descriptor, self._on_readable)
        self._open = True

    def drain(self) -> None:
        """Read what has been printed so far; a line without its end is a line."""
        self._read(_READS_AT_MOST)
        self._end_line()

    def close(self) -> None:
        """Read what is left, and end."""
        if self._open:
            self.drain()
            self._close()

    def _on_readable(self) -> None:
        self._read(_READS_AT_A_TIME)  # others are waiting

    def _read(self, times: int) -> None:
        for _ in range(times):
            if not self._open:
                return
            try:
                part = os.read(self._descriptor, _READ)
            except BlockingIOError:
                return
            except OSError:
                part = b""
            if not part:
                self._end_line()
                self._close()
                return
            *lines, self._rest = (self._rest + part).split(b"\n")
            for line in lines:
                self._tell(line)
            while len(self._rest) > _LONGEST_LINE:
                self._tell(self._rest[:_LONGEST_LINE])
                self._rest = self._rest[_LONGEST_LINE:]

    def _end_line(self) -> None:
        rest, self._rest = self._rest, b""
        self._tell(rest)

    def _tell(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text:
            self._write(text)

    def _close(self) -> None:
        self._open = False
        self._loop.remove_reader(self._descriptor)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
