"""The real CDK CLI, pointed at the sandbox: bootstrap, synth, deploy, destroy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sandbox.aws import LocalAws
from sandbox.errors import SandboxError
from sandbox.home import ACCOUNT, PROJECT, REGION, Home, State, tools_path
from sandbox.store import Scope

PATTERN_TAG = "sagemaker-serving:pattern"
"""The stack tag that carries a pattern's name; the sandbox knows nothing else about the app."""

_DOCKER = """#!/bin/sh
# Called by the CDK CLI in place of docker (CDK_DOCKER): images are laid out, not built.
PYTHONPATH={project} exec {python} -P -s -m sandbox.functions.docker --store {store} --gateway {gateway} "$@"
"""

CACHE = Path(sys.prefix) / ".cache"
"""What stays the same from sandbox to sandbox; goes with the virtual environment."""

BOOTSTRAP_STACK = "CDKToolkit"
BOOTSTRAP_LIMIT = 60.0

Notify = Callable[[str], None]


class Cdk:
    """Runs the CDK CLI for the app around the current folder.

    Args:
        home: The sandbox's folder.
        state: The running sandbox.
        project: The folder with cdk.json.
        notify: Told what is going on.

    Raises:
        SandboxError: There is no app, or the CDK CLI is not installed.
    """

    def __init__(self, home: Home, state: State, project: Path, notify: Notify) -> None:
        self._home = home
        self._state = state
        self._project = project
        self._notify = notify
        self._cli = str(Path(sys.prefix) / "bin" / "cdk")
        if not (project / "cdk.json").is_file():
            raise SandboxError(
                f"There is no CDK app here: {project} has no cdk.json. Go to the project's folder."
            )
        if not Path(self._cli).is_file():
            raise SandboxError(f"The CDK CLI is not installed ({self._cli}). Install it: make setup")

    def deploy(self, patterns: Sequence[str], context: Iterable[str]) -> None:
        """Synthesise the app and deploy the stacks of patterns.

        Args:
            patterns: Names of patterns.
            context: ``key=value`` for the app.

        Raises:
            SandboxError: No such pattern, or a command of the CDK CLI failed.
        """
        with self._home.locked("deploy", self._notify):
            # an app that does not know the key makes all its stacks, which only takes longer
            self._bootstrap_and_synthesise([*context, f"only={','.join(patterns)}"])
            stacks = self._stacks(patterns)
            self._run(
                "deploy",
                *stacks,
                f"--app={self._home.assembly}",
                "--require-approval=never",
                "--progress=events",
            )

    def destroy(self, patterns: Sequence[str]) -> None:
        """Delete the stacks of patterns; what is not deployed counts as deleted.

        Raises:
            SandboxError: No such pattern, or a command of the CDK CLI failed.
        """
        with self._home.locked("deploy", self._notify):
            # what was deployed last knows its stacks, whatever the configuration says by now
            if not set(patterns) <= self._patterns().keys():
                self._synthesise(())
            stacks = self._stacks(patterns)
            self._run("destroy", *stacks, f"--app={self._home.assembly}", "--force")

    def _bootstrap_and_synthesise(self, context: Iterable[str]) -> None:
        if self._home.bootstrapped_file.exists():
            self._synthesise(context)
            return
        self._notify("bootstrapping the sandbox's account while the app is being synthesised")
        synth = self._start(*self._synth(context))
        try:
            bootstrap(self._state.gateway_url, self._bootstrap_template())
            self._home.bootstrapped_file.touch()
            self._finish("synth", synth)
        finally:
            _end(synth)

    def _synthesise(self, context: Iterable[str]) -> None:
        self._notify("cdk synth")
        self._run(*self._synth(context))

    def _synth(self, context: Iterable[str]) -> list[str]:
        words = [word for item in context for word in ("--context", item)]
        return ["synth", "--quiet", f"--output={self._home.assembly}", *words]

    def _bootstrap_template(self) -> str:
        """The CLI's own bootstrap template; kept, as it stays the same until the CLI changes.

        Raises:
            SandboxError: The CLI does not give it.
        """
        package = (Path(sys.prefix).parent / "node_modules" / "aws-cdk" / "package.json").read_bytes()
        kept = CACHE / f"bootstrap-{hashlib.sha256(package).hexdigest()[:16]}.yaml"
        if kept.is_file():
            return kept.read_text(encoding="utf-8")
        given = subprocess.run(  # noqa: S603 - our own list of words, never a shell
            self._command("bootstrap", "--show-template"),
            cwd=self._home.user_home,  # in the app's folder the CLI would synthesise first
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if given.returncode != 0 or "Resources:" not in given.stdout:
            raise SandboxError(f"cdk bootstrap --show-template failed:\n{given.stderr[-2000:]}")
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(f".{os.getpid()}")
        draft.write_text(given.stdout, encoding="utf-8")
        draft.replace(kept)
        return given.stdout

    def _stacks(self, patterns: Sequence[str]) -> list[str]:
        """Stack ids of patterns, in the given order.

        Raises:
            SandboxError: A pattern is not in the app; says which are.
        """
        known = self._patterns()
        unknown = [pattern for pattern in patterns if pattern not in known]
        if unknown:
            there_are = ", ".join(sorted(known)) or "none; switch one on in config/"
            plural = "s" if len(unknown) > 1 else ""
            raise SandboxError(
                f"The app has no pattern{plural} {', '.join(unknown)}. Patterns in it: {there_are}."
            )
        return [known[pattern] for pattern in dict.fromkeys(patterns)]

    def _patterns(self) -> dict[str, str]:
        """Pattern to stack id, as the cloud assembly has them; empty when there is none yet."""
        try:
            manifest = json.loads((self._home.assembly / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        artifacts: dict[str, Any] = manifest.get("artifacts", {})
        return {
            artifact["properties"]["tags"][PATTERN_TAG]: artifact.get("displayName", name)
            for name, artifact in artifacts.items()
            if artifact.get("type") == "aws:cloudformation:stack"
            and PATTERN_TAG in artifact.get("properties", {}).get("tags", {})
        }

    def _run(self, *arguments: str) -> None:
        """Run the CLI with its output passed through.

        Raises:
            SandboxError: It failed.
        """
        process = self._start(*arguments)
        try:
            self._finish(arguments[0], process)
        finally:
            _end(process)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own list of words, never a shell
            self._command(*arguments),
            cwd=self._project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is ours to handle; the app would answer it with a traceback
        )

    def _finish(self, command: str, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        if status != 0:
            raise SandboxError(f"cdk {command} ended with status {status}; its own words are above.")

    def _command(self, *arguments: str) -> list[str]:
        return [self._cli, *arguments, "--no-notices", "--no-version-reporting"]

    def _environment(self) -> dict[str, str]:
        """The caller's environment without AWS and with a home of the sandbox's own."""
        environment = self._home.child_environment(self._state)
        path = [*tools_path(), environment.get("PATH", "")]
        return environment | {
            "PATH": os.pathsep.join(path),
            "HOME": str(self._home.user_home),
            "TMPDIR": str(self._home.tmp_dir),
            "CDK_DOCKER": str(self._docker()),
            "CDK_DISABLE_CLI_TELEMETRY": "1",
            "CDK_DISABLE_VERSION_CHECK": "1",
            # unpacking the library again for every new home would take three seconds
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(CACHE / "jsii"),
        }

    def _docker(self) -> Path:
        """The program that stands in for docker."""
        words = {
            "project": PROJECT,
            "python": sys.executable,
            "store": self._home.image_dir,
            "gateway": self._state.gateway_url,
        }
        docker = self._home.path / "docker"
        quoted = {name: shlex.quote(str(word)) for name, word in words.items()}
        docker.write_text(_DOCKER.format(**quoted), encoding="utf-8")
        docker.chmod(0o700)
        return docker


def bootstrap(gateway_url: str, template: str) -> None:
    """Make what `cdk bootstrap` makes, in a second and not in seven: the CLI looks every 5 s only.

    Args:
        gateway_url: The sandbox's gateway.
        template: What `cdk bootstrap --show-template` prints.

    Raises:
        SandboxError: The stack does not come up.
    """
    cloudformation = LocalAws(gateway_url).client("cloudformation", Scope(ACCOUNT, REGION))
    # an interrupted deploy may have made it
    with contextlib.suppress(cloudformation.exceptions.AlreadyExistsException):
        cloudformation.create_stack(
            StackName=BOOTSTRAP_STACK,
            TemplateBody=template,
            # as the CLI sets it: the bucket gets S3's own encryption and no key that would cost money
            Parameters=[{"ParameterKey": "FileAssetsBucketKmsKeyId", "ParameterValue": "AWS_MANAGED_KEY"}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
    deadline = time.monotonic() + BOOTSTRAP_LIMIT
    status = "CREATE_IN_PROGRESS"
    while status.endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.05)
        stack = cloudformation.describe_stacks(StackName=BOOTSTRAP_STACK)["Stacks"][0]
        status = stack["StackStatus"]
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        reason = stack.get("StackStatusReason") or "no reason given"
        raise SandboxError(f"The sandbox could not be bootstrapped: {BOOTSTRAP_STACK} is {status}, {reason}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that an error or an interruption has left behind, with the app that it runs."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
