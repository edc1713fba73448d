"""A newcomer's laptop for end-to-end tests: a copy of the project, a sandbox of its own, the real CDK CLI."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psutil
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[2]
REVIEWS = ["불후의 명작입니다. 눈물이 앞을 가려요", "저런...5점 만점에 1점 주기도 힘들어요."]
STACK = "RealtimeInference"
STACKS = {
    "realtime": STACK,
    "multi-container": "MultiContainerEndpoint",
    "inference-pipeline": "InferencePipeline",
    "ab-test": "AbTest",
    "blue-green": "BlueGreenDeployment",
    "batch": "BatchInference",
    "async": "AsyncInference",
    "serverless": "ServerlessInference",
    "lambda": "LambdaInference",
    "ml-pipeline": "MlPipeline",
}
T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, probe: Callable[[], T | None], *, seconds: float = 60) -> T:
    """Ask again and again until the probe gives something true; fail with what was last seen."""
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s; last seen: {seen!r}")
        time.sleep(0.1)


class Laptop:
    """The project in a folder of its own, and a sandbox that belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.home = folder / "home"
        self._clients: dict[str, Any] = {}
        self.project.mkdir(parents=True)
        for name in ("app.py", "cdk.json", "package.json"):
            shutil.copy(ROOT / name, self.project / name)
        for name in ("config", "model_code"):
            shutil.copytree(ROOT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in (".venv", "node_modules", "stacks", "constructs", "sandbox", "client"):
            (self.project / name).symlink_to(ROOT / name)

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """`python -m ...` in the project's folder."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.project,
            env={**os.environ, "SANDBOX_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def sandbox(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("sandbox", *arguments, check=check)

    def client(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The client, pointed at the sandbox as the README says."""
        return self.sandbox("run", "--", sys.executable, "-m", "client", *arguments, check=check)

    def environment(self) -> dict[str, str]:
        return dict(json.loads(self.sandbox("env", "--json").stdout))

    def boto(self, service: str) -> Any:
        """A boto3 client as a user of the sandbox would make it."""
        if service in self._clients:
            return self._clients[service]
        env = self.environment()
        url = env.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", env["AWS_ENDPOINT_URL"])
        self._clients[service] = boto3.client(
            service,
            endpoint_url=url,
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            # a retry would hide a failed request from the tests
            config=Config(retries={"total_max_attempts": 1}, read_timeout=70, max_pool_connections=16),
        )
        return self._clients[service]

    def close(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients.values():
            client.close()

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change config/dev.yaml as a user would."""
        path = self.project / "config" / "dev.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(settings)
        path.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def outputs(self, pattern: str = "realtime") -> dict[str, str]:
        stack = self.boto("cloudformation").describe_stacks(StackName=STACKS[pattern])["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def model_servers(self, endpoint: str | None = None) -> list[psutil.Process]:
        """The model-server processes of an endpoint, or of all that this sandbox has."""
        state = json.loads(self.sandbox("status", "--json").stdout)
        return [
            psutil.Process(row["pid"])
            for row in state["processes"]
            if row["kind"] == "model server" and endpoint in (None, row["endpoint"])
        ]

    @property
    def model(self) -> Path:
        return self.project / "model_code" / "sentiment"

    def change_model(self, addition: str) -> None:
        """Give the model another version: the handler with an addition at its end."""
        original = (ROOT / "model_code" / "sentiment" / "inference.py").read_text(encoding="utf-8")
        (self.model / "inference.py").write_text(f"{original}\n\n{addition}\n", encoding="utf-8")

    def restore(self) -> None:
        """Bring model and configuration back to what is committed."""
        shutil.copy(ROOT / "model_code" / "sentiment" / "inference.py", self.model / "inference.py")
        shutil.copy(ROOT / "config" / "dev.yaml", self.project / "config" / "dev.yaml")


SECOND_VERSION = """
_predict_first_version = predict_fn


def predict_fn(data, model):
    return [{**answer, "label": answer["label"].upper()} for answer in _predict_first_version(data, model)]
"""

BROKEN_ON_LOAD = """
def model_fn(model_dir):
    raise RuntimeError("the weights of this version are corrupt")
"""


class Traffic:
    """Constant load by boto3 from a few threads; counts what came back."""

    def __init__(self, runtime: Any, endpoint: str, *, threads: int = 4) -> None:
        self._runtime, self._endpoint = runtime, endpoint
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.labels: Counter[str] = Counter()
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        for thread in self._threads:
            thread.start()
        try:
            wait_for("the first answer", lambda: self.total)
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(timeout=75)

    @property
    def total(self) -> int:
        return sum(self.labels.values()) + len(self.failures)

    def _work(self) -> None:
        body = json.dumps({"inputs": REVIEWS})
        while not self._stop.is_set():
            try:
                label = invoke(self._runtime, self._endpoint, body)[0]["label"]
            except Exception as error:
                with self._lock:
                    self.failures.append(repr(error))
            else:
                with self._lock:
                    self.labels[label] += 1


def invoke(runtime: Any, endpoint: str, body: str | None = None, **arguments: Any) -> list[dict[str, Any]]:
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint,
        ContentType="application/json",
        Body=body or json.dumps({"inputs": REVIEWS}),
        **arguments,
    )
    return list(json.loads(answer["Body"].read()))


def exists(laptop: Laptop, pattern: str = "realtime") -> bool:
    try:
        stack = laptop.boto("cloudformation").describe_stacks(StackName=STACKS[pattern])["Stacks"][0]
    except ClientError:
        return False
    return str(stack["StackStatus"]).endswith("_COMPLETE") and stack["StackStatus"] != "DELETE_COMPLETE"
