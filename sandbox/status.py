"""What is going on in a sandbox: its process, its endpoints, its model servers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from sandbox import processes, supervisor
from sandbox.home import ACCOUNT, REGION, Home, State

Report = dict[str, Any]


def report(home: Home) -> Report:
    """A sandbox as JSON: ``{"running": false}`` when it is not, else its ports, endpoints and processes."""
    state = supervisor.running(home)
    if state is None:
        return {"running": False, "home": str(home.path)}
    running = list(_processes(state))
    healthy = supervisor.is_healthy(state)
    return {
        "running": True,
        "healthy": healthy,
        "home": str(home.path),
        "log": str(home.log_file),
        "pid": state.pid,
        "gateway": state.gateway_url,
        "runtime": state.runtime_url,
        "account": ACCOUNT,
        "region": REGION,
        "time_scale": state.time_scale,
        "max_model_servers": state.max_model_servers,
        "started": state.started,
        "endpoints": list(_endpoints(state)) if healthy else [],
        "processes": running,
        "memory_bytes": sum(process["memory_bytes"] for process in running),
    }


def _endpoints(state: State) -> Iterator[Report]:
    from sandbox.aws import LocalAws
    from sandbox.store import Scope

    sagemaker = LocalAws(state.gateway_url).client("sagemaker", Scope(ACCOUNT, REGION))
    for page in sagemaker.get_paginator("list_endpoints").paginate(SortBy="Name", SortOrder="Ascending"):
        for summary in page["Endpoints"]:
            with contextlib.suppress(sagemaker.exceptions.ClientError):  # deleted meanwhile
                yield _endpoint(sagemaker.describe_endpoint(EndpointName=summary["EndpointName"]))


def _endpoint(described: Report) -> Report:
    return {
        "name": described["EndpointName"],
        "status": described["EndpointStatus"],
        "failure_reason": described.get("FailureReason"),
        "variants": [
            {
                "name": variant["VariantName"],
                "instances": variant.get("CurrentInstanceCount"),
                "desired_instances": variant.get("DesiredInstanceCount"),
                "serverless": variant.get("CurrentServerlessConfig"),
                "weight": variant.get("CurrentWeight"),
            }
            for member in ("ProductionVariants", "ShadowProductionVariants")
            for variant in described.get(member, [])
        ],
    }


def _processes(state: State) -> Iterator[Report]:
    """The main process first, then what it has started."""
    with contextlib.suppress(psutil.Error):
        for process in [psutil.Process(state.pid), *processes.descendants(state)]:
            with contextlib.suppress(psutil.Error):
                kind = _kind(process, state)
                yield {
                    "pid": process.pid,
                    "kind": kind,
                    "endpoint": _endpoint_of(process) if kind == "model server" else None,
                    "memory_bytes": process.memory_info().rss,
                }


def _kind(process: psutil.Process, state: State) -> str:
    if process.pid == state.pid:
        return "sandbox"
    command = process.cmdline()
    if any("model_server" in word for word in command):
        return "model server"
    if f"{os.sep}work{os.sep}jobs{os.sep}" in process.cwd():
        return "job"
    return Path(command[0]).name if command else process.name()


def _endpoint_of(process: psutil.Process) -> str:
    """The endpoint that a model server works for: its folder is ``<endpoint>-i-<digits>/<container>``."""
    return Path(process.cwd()).parent.name.rpartition("-i-")[0]
