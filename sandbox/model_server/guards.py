"""Bounds of a model-server process: it ends with its parent and obeys network isolation."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import Any


def end_with_parent() -> None:
    """End this process and its children as soon as standard input is closed.

    The parent holds the other end of the pipe, so it closes however the parent ends, SIGKILL included.
    The model's code gets an empty standard input instead.
    """
    lifeline = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def wait() -> None:
        while os.read(lifeline, 1024):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def isolate_network() -> None:
    """Refuse connections and name look-ups of Python code, as EnableNetworkIsolation does for a container."""

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" or (
            event in ("socket.connect", "socket.sendto")
            and args[0].family in (socket.AF_INET, socket.AF_INET6)
        ):
            raise PermissionError("the model has EnableNetworkIsolation: its container has no network")

    sys.addaudithook(refuse)
