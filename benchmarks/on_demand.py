"""Patterns that run on demand: a warm serverless call beside a real-time one, and the Lambda function."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import boto3

from benchmarks.endpoint import BODY
from benchmarks.http_load import Load, drive, signed
from benchmarks.processes import ROOT, BenchmarkFailed, free_port, own_sandbox, sandbox_status, seconds
from benchmarks.report import Figure, paired

REGION = "ap-northeast-2"
# as the Dockerfile lays them over each other
FOLDERS = [
    ROOT / "model_code" / name for name in ("lambda_handler", "lambda_sentiment", "sentiment", "shared")
]
ROUND_SECONDS = 3.0


def measure(runs: int) -> list[Figure]:
    """Deploy the three patterns, alternate rounds with their baselines, and time the handler's import."""
    sandbox = [sys.executable, "-m", "sandbox"]
    with own_sandbox() as environment:
        # at the pace of AWS, containers and environments stay warm from round to round
        seconds([*sandbox, "up", "--port", str(free_port()), "--time-scale", "1"], environment=environment)
        seconds([*sandbox, "deploy", "realtime", "serverless", "lambda"], environment=environment)
        state = sandbox_status(environment)
        invoked = _function_rounds(state, runs)
        served = _endpoint_rounds(state, runs)
    return [
        Figure(
            "warm serverless call, added p50",
            statistics.median(on_demand.p50 - real_time.p50 for on_demand, real_time in served),
            "ms",
            target=3,
        ),
        paired(
            "warm serverless call, p50",
            [on_demand.p50 for on_demand, _ in served],
            [real_time.p50 for _, real_time in served],
            unit="ms",
            baseline_name="(real-time)",
        ),
        paired(
            "warm Lambda invocation, p50",
            [load.p50 for load, _ in invoked],
            [alone for _, alone in invoked],
            unit="ms",
            baseline_name="(handler alone)",
            target=10,
        ),
        *_start(runs),
    ]


def _endpoint_rounds(state: Mapping[str, Any], runs: int) -> list[tuple[Load, Load]]:
    """Rounds against the serverless endpoint and the real-time one, both through the listener."""
    urls: dict[bool, str] = {}
    for endpoint in state["endpoints"]:
        (variant,) = endpoint["variants"]
        urls[variant["serverless"] is not None] = (
            f"{state['runtime']}/endpoints/{endpoint['name']}/invocations"
        )
    if len(urls) != 2:
        raise BenchmarkFailed(f"a serverless and a real-time endpoint are wanted: {state['endpoints']}")
    for url in urls.values():
        drive(url, BODY, signed("sagemaker"), connections=1, seconds=1)

    def one(serverless: bool) -> Load:
        return drive(urls[serverless], BODY, signed("sagemaker"), connections=1, seconds=ROUND_SECONDS)

    return [(one(True), one(False)) for _ in range(runs)]


def _function_rounds(state: Mapping[str, Any], runs: int) -> list[tuple[Load, float]]:
    """Rounds through the Lambda API, and milliseconds of the handler alone, in this process."""
    lambda_ = boto3.client(
        "lambda",
        region_name=REGION,
        endpoint_url=state["gateway"],
        aws_access_key_id=state["account"],
        aws_secret_access_key="unused",  # noqa: S106 - the sandbox's
    )
    names = [
        each["FunctionName"]
        for each in lambda_.list_functions()["Functions"]
        if each["PackageType"] == "Image"
    ]
    if len(names) != 1:
        raise BenchmarkFailed(f"one function of an image is wanted, there are {names}")
    url = f"{state['gateway']}/2015-03-31/functions/{names[0]}:live/invocations"
    headers = signed("lambda")
    drive(url, BODY, headers, connections=1, seconds=1)
    handler, event = _handler(), json.loads(BODY)
    handler(event, None)
    return [
        (
            drive(url, BODY, headers, connections=1, seconds=ROUND_SECONDS),
            _p50(lambda: handler(event, None)),
        )
        for _ in range(runs)
    ]


def _handler() -> Callable[[Any, object], Any]:
    """The function's handler in this process."""
    folders = [str(folder) for folder in FOLDERS]
    sys.path[:0] = folders
    os.environ["LAMBDA_TASK_ROOT"] = str(ROOT / "model_code" / "sentiment")  # where the weights are
    try:
        return cast(Callable[[Any, object], Any], importlib.import_module("handler").handler)
    finally:
        del sys.path[: len(folders)], os.environ["LAMBDA_TASK_ROOT"]


def _p50(work: Callable[[], object]) -> float:
    """Median milliseconds of many calls."""
    found = []
    for _ in range(500):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found) * 1000


def _start(runs: int) -> list[Figure]:
    """A new process that imports the handler, which loads the model, beside one that does nothing."""
    python = [sys.executable, "-s", "-c"]
    environment = {
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in FOLDERS),
        "LAMBDA_TASK_ROOT": str(ROOT / "model_code" / "sentiment"),
    }
    seconds([*python, "import handler"], environment=environment)  # the image has byte code, too
    loaded, empty = [], []
    for _ in range(runs):
        loaded.append(seconds([*python, "import handler"], environment=environment))
        empty.append(seconds([*python, "pass"], environment=environment))
    return [
        Figure(
            "Lambda handler, import and model",
            statistics.median(whole - nothing for whole, nothing in zip(loaded, empty, strict=True)),
            "s",
            target=0.5,
        ),
        paired("Lambda handler, new process", loaded, empty, unit="s", baseline_name="(empty process)"),
    ]
