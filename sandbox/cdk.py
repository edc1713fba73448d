"""The real CDK CLI, pointed at the sandbox: bootstrap, synth, deploy, destroy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.home import ACCOUNT, REGION, Home, State, tools_path

PATTERN_TAG = "sagemaker-serving:pattern"
"""The stack tag that carries a pattern's name; the sandbox knows nothing else about the app."""

DOCKER_REFUSAL = """#!/bin/sh
# Called by the CDK CLI in place of docker (CDK_DOCKER).
echo "The sandbox does not build container images from a Dockerfile. Use one of AWS's framework images" >&2
echo "for this model (image: framework and version in the configuration), or deploy it to AWS." >&2
exit 1
"""

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
            self._bootstrap_and_synthesise(context)
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
        self._notify("bootstrapping the sandbox's account, once, while the app is being synthesised")
        log = self._home.path / "bootstrap.log"
        with log.open("wb") as output:
            # not in the app's folder, where the CLI would synthesise first
            bootstrap = subprocess.Popen(  # noqa: S603 - our own list of words, never a shell
                self._command("bootstrap", f"aws://{ACCOUNT}/{REGION}"),
                cwd=self._home.user_home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._synthesise(context)
                status = bootstrap.wait()
            finally:
                _end(bootstrap)
        if status != 0:
            lines = "\n    ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise SandboxError(f"cdk bootstrap ended with status {status}:\n    {lines}")
        self._home.bootstrapped_file.touch()

    def _synthesise(self, context: Iterable[str]) -> None:
        self._notify("cdk synth")
        words = [word for item in context for word in ("--context", item)]
        self._run("synth", "--quiet", f"--output={self._home.assembly}", *words)

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
        process = subprocess.Popen(  # noqa: S603 - our own list of words, never a shell
            self._command(*arguments),
            cwd=self._project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        )
        try:
            status = process.wait()
        finally:
            _end(process)
        if status != 0:
            raise SandboxError(f"cdk {arguments[0]} ended with status {status}; its own words are above.")

    def _command(self, *arguments: str) -> list[str]:
        return [self._cli, *arguments, "--no-notices", "--no-version-reporting"]

    def _environment(self) -> dict[str, str]:
        """The caller's environment without AWS and with a home of the sandbox's own."""
        docker = self._home.path / "docker-refusal"
        docker.write_text(DOCKER_REFUSAL, encoding="utf-8")
        docker.chmod(0o700)
        environment = self._home.child_environment(self._state)
        path = [*tools_path(), environment.get("PATH", "")]
        return environment | {
            "PATH": os.pathsep.join(path),
            "HOME": str(self._home.user_home),
            "TMPDIR": str(self._home.tmp_dir),
            "CDK_DOCKER": str(docker),
            "CDK_DISABLE_CLI_TELEMETRY": "1",
            "CDK_DISABLE_VERSION_CHECK": "1",
            # unpacking the library again for every new home would take three seconds
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path(sys.prefix) / ".cache" / "jsii"),
        }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that an error or an interruption has left behind."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
