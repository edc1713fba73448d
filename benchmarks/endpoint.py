"""Invocations through the sandbox against the model server alone: the same process, the same bytes."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil

from benchmarks.http_load import Load, drive, signed
from benchmarks.processes import BenchmarkFailed, free_port, own_sandbox, sandbox_status, seconds
from benchmarks.report import Figure, paired

BODY = json.dumps(
    {"inputs": ["불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요."]}
).encode()
SIGNED = signed("sagemaker")
ROUND_SECONDS = 3.0
Rounds = list[tuple[Load, Load]]


def measure(runs: int) -> list[Figure]:
    """Deploy the real-time pattern and alternate rounds against the listener and against its model server."""
    sandbox = [sys.executable, "-m", "sandbox"]
    with own_sandbox() as environment:
        seconds([*sandbox, "up", "--port", str(free_port())], environment=environment)
        seconds([*sandbox, "deploy", "realtime"], environment=environment)
        state = sandbox_status(environment)
        through = f"{state['runtime']}/endpoints/{state['endpoints'][0]['name']}/invocations"
        direct = f"http://127.0.0.1:{_listening_port(state)}/invocations"
        for url in (through, direct):
            drive(url, BODY, SIGNED, connections=1, seconds=1)
        rounds = {
            connections: [(_round(through, connections), _round(direct, connections)) for _ in range(runs)]
            for connections in (1, 8)
        }
    one, eight = rounds[1], rounds[8]
    return [
        Figure(
            "invoke, added p50 at 1 connection",
            statistics.median(sandbox.p50 - alone.p50 for sandbox, alone in one),
            "ms",
            target=3,
        ),
        _compared("invoke, p50 at 1 connection", "ms", one, lambda load: load.p50),
        _compared("invoke, p99 at 1 connection", "ms", one, lambda load: load.p99),
        _compared("invoke, 1 connection", "requests/s", one, lambda load: load.rate),
        _compared("invoke, p50 at 8 connections", "ms", eight, lambda load: load.p50),
        _compared("invoke, p99 at 8 connections", "ms", eight, lambda load: load.p99),
        replace(
            _compared("invoke, 8 connections", "requests/s", eight, lambda load: load.rate),
            target=1000,
            at_most=False,
        ),
    ]


def _round(url: str, connections: int) -> Load:
    return drive(url, BODY, SIGNED, connections=connections, seconds=ROUND_SECONDS)


def _compared(name: str, unit: str, rounds: Rounds, pick: Callable[[Load], float]) -> Figure:
    through = [pick(sandbox) for sandbox, _ in rounds]
    direct = [pick(alone) for _, alone in rounds]
    return paired(name, through, direct, unit=unit, baseline_name="(model server)")


def _listening_port(state: dict[str, Any]) -> int:
    """The port of the one model server of a sandbox."""
    for process in state["processes"]:
        if process["kind"] == "model server":
            for connection in psutil.Process(int(str(process["pid"]))).net_connections(kind="tcp4"):
                if connection.status == psutil.CONN_LISTEN:
                    return int(connection.laddr.port)
    raise BenchmarkFailed("no model server listens although the endpoint is deployed")
