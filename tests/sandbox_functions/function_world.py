"""What tests of functions stand on: build contexts, images of them, and functions that run."""

from __future__ import annotations

import asyncio
import json
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox.clock import Clock
from sandbox.functions.calls import Outcome
from sandbox.functions.images import Image, ImageStore
from sandbox.functions.layout import Layout, lay_out
from sandbox.functions.service import Functions
from sandbox.store import Scope

SCOPE = Scope("000000000000", "ap-northeast-2")
BASE = "public.ecr.aws/lambda/python:3.12"
DOCKERFILE = f'FROM {BASE}\nCOPY *.py ./\nCMD ["app.handler"]\n'
DEADLINE = 30.0

WAITS = """
import os, time
def handler(event, context):
    while event and not os.path.exists(event):
        time.sleep(0.01)
    return os.getpid()
"""


class Context:
    """A build context in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def lay_out(self, work: Path, dockerfile: str, **options: Any) -> Layout:
        options.setdefault("build_arguments", {})
        return lay_out(self.folder, textwrap.dedent(dockerfile), work, **options)


class Metrics:
    """Values in place of CloudWatch."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, dict[str, str]]] = []

    def record(
        self, scope: Scope, namespace: str, name: str, unit: str, value: float, dimensions: Any
    ) -> None:
        assert namespace == "AWS/Lambda"
        self.values.append((name, value, dict(dimensions)))

    def of(self, name: str, **dimensions: str) -> list[float]:
        return [value for known, value, where in self.values if known == name and where == dimensions]


class Logs:
    """Lines in place of CloudWatch Logs."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def write(self, scope: Scope, group: str, stream: str, line: str) -> None:
        self.lines.append((group, stream, line))

    @property
    def text(self) -> str:
        return "\n".join(line for _, _, line in self.lines)


class World:
    """Functions on an event loop of their own."""

    def __init__(self, folder: Path, store: ImageStore, **options: Any) -> None:
        self.folder = folder
        self.store = store
        self.metrics, self.logs = Metrics(), Logs()
        settings: dict[str, Any] = {"clock": Clock(300), "init_seconds": 10.0} | options
        self.functions = Functions(
            folder / "functions",
            store,
            lambda scope: {"AWS_REGION": scope.region, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            metrics=self.metrics,  # type: ignore[arg-type]
            logs=self.logs,  # type: ignore[arg-type]
            **settings,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._callers = ThreadPoolExecutor(64)
        self._built = 0

    def __enter__(self) -> World:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.functions.start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.functions.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._callers.shutdown(wait=True)

    def image(self, code: str, dockerfile: str = DOCKERFILE) -> Image:
        """An image whose app.py is this code."""
        self._built += 1
        context = Context(self.folder / f"context-{self._built}")
        context.write({"app.py": code})
        layout = context.lay_out(self.store.work_dir(), dockerfile)
        return self.store.add(layout.root, layout.config)

    def config(self, code: str | Image, **members: Any) -> dict[str, Any]:
        """A function's configuration, as the Lambda API shows it."""
        image = code if isinstance(code, Image) else self.image(code)
        name = members.get("FunctionName", "task")
        arn = f"arn:aws:lambda:{SCOPE.region}:{SCOPE.account}:function:{name}"
        return {
            "FunctionName": name,
            "FunctionArn": arn,
            "Version": "$LATEST",
            "CodeSha256": image.digest.partition(":")[2],
            "MemorySize": 256,
            "Timeout": 10,
            **members,
        }

    def call(self, config: dict[str, Any], event: Any = None, *, reserved: int | None = None) -> Outcome:
        payload = json.dumps(event).encode()
        return self.functions.execute(config, SCOPE, payload, reserved=reserved)

    def call_later(
        self, config: dict[str, Any], event: Any = None, *, reserved: int | None = None
    ) -> Future[Outcome]:
        """The same on another thread."""
        return self._callers.submit(self.call, config, event, reserved=reserved)

    def work(self, config: dict[str, Any], count: int, **options: Any) -> tuple[list[Future[Outcome]], Path]:
        """So many calls of a `WAITS` function, all at work; they end when the file is made."""
        self._built += 1
        gate = self.folder / f"gate-{self._built}"
        before = self.logs.text.count("START RequestId")
        calls = [self.call_later(config, str(gate), **options) for _ in range(count)]
        self.until("all at work", lambda: self.logs.text.count("START RequestId") == before + count)
        return calls, gate

    @property
    def pids(self) -> list[int]:
        """Processes of all functions."""
        return [pid for pids in self.functions.processes().values() for pid in pids]

    def until(self, what: str, probe: Callable[[], Any], *, seconds: float = DEADLINE) -> Any:
        """Ask again and again until there is something true."""
        deadline = time.monotonic() + seconds
        while not (seen := probe()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
            time.sleep(0.02)
        return seen


def answer(outcome: Outcome) -> Any:
    """What a call has returned."""
    assert not outcome.error_type, outcome
    return json.loads(outcome.payload)


def error(outcome: Outcome) -> dict[str, Any]:
    """The error of a call."""
    assert outcome.error_type, outcome
    told = json.loads(outcome.payload)
    assert told["errorType"] == outcome.error_type
    return dict(told)
