"""Answers that a model gives piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.sandbox_fleet.world import ECHO, Server, wait_for

Serve = Callable[..., Server]


def test_an_iterator_is_streamed_as_it_comes(serve: Serve, tmp_path: Path) -> None:
    # GIVEN a model that gives its second piece only when told to
    go = tmp_path / "go"
    code = f"""
import os, time
def output_fn(prediction, accept):
    def pieces():
        yield b"first "
        while not os.path.exists({str(go)!r}): time.sleep(0.01)
        yield "second"
    return pieces()
"""
    server = serve(ECHO + code)
    with server.client.stream("POST", "/invocations", content=b"{}") as answer:
        pieces = answer.iter_bytes()
        # WHEN the first piece is there, THEN it arrived before the second was made
        assert next(pieces) == b"first "
        go.touch()
        assert b"".join(pieces) == b"second"


def test_an_iterator_that_fails_at_once_is_an_error(serve: Serve) -> None:
    code = """
def output_fn(prediction, accept):
    def pieces():
        raise ValueError("no piece")
        yield b""
    return pieces()
"""
    answer = serve(ECHO + code).invoke(b"{}")
    assert answer.status_code == 500
    assert answer.text.startswith("no piece\n")


def test_a_stream_that_breaks_is_seen_to_be_broken(serve: Serve) -> None:
    code = """
def output_fn(prediction, accept):
    def pieces():
        yield b"first"
        raise ValueError("broken")
    return pieces()
"""
    server = serve(ECHO + code)
    with pytest.raises(httpx.RemoteProtocolError):
        server.invoke(b"{}")
    assert server.client.get("/ping").status_code == 200


def test_a_stream_ends_when_the_caller_leaves(serve: Serve, tmp_path: Path) -> None:
    # GIVEN an endless stream that notes when it is closed
    closed = tmp_path / "closed"
    code = f"""
import time
def output_fn(prediction, accept):
    def pieces():
        try:
            while True:
                yield b"x"
                time.sleep(0.01)
        finally:
            open({str(closed)!r}, "w").close()
    return pieces()
"""
    server = serve(ECHO + code)
    # WHEN the caller hangs up
    with server.client.stream("POST", "/invocations", content=b"{}") as answer:
        assert next(answer.iter_bytes()) == b"x"
    # THEN the model is told, and the worker is free again
    wait_for(closed.exists)
    assert server.client.get("/ping").status_code == 200
