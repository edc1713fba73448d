"""Command lines: those that hints name, as this person would have to type them, and those that demos run."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def python() -> str:
    """The running interpreter: relative where it is below the current folder, else ``python``."""
    executable = Path(sys.executable)
    try:
        return str(executable.relative_to(Path.cwd()))
    except ValueError:
        return "python"


def client_command(arguments: str, *, in_sandbox: bool = False) -> str:
    """A call of this client.

    Args:
        arguments: What follows ``python -m client``.
        in_sandbox: Whether to point it at the sandbox.
    """
    command = f"{python()} -m client {arguments}"
    return f"{sandbox_command('run')} -- {command}" if in_sandbox else command


def sandbox_command(arguments: str) -> str:
    """A call of the sandbox."""
    return f"{python()} -m sandbox {arguments}"


def deploy_command(pattern: str, *, in_sandbox: bool) -> str:
    """How to deploy a pattern to where the client looks."""
    if in_sandbox:
        return sandbox_command(f"deploy {pattern}")
    return ".venv/bin/cdk deploy STACK (`.venv/bin/cdk list` names the stacks)"


def redeploy_command(pattern: str, stack_name: str, settings: Sequence[str] = (), *, in_sandbox: bool) -> str:
    """How to deploy a stack that exists with other settings."""
    words = [shlex.quote(word) for setting in settings for word in ("-c", setting)]
    if in_sandbox:
        return sandbox_command(" ".join(["deploy", pattern, *words]))
    return " ".join([".venv/bin/cdk deploy", stack_name, *words])


def redeploy_words(pattern: str, stack_name: str, settings: Sequence[str], *, in_sandbox: bool) -> list[str]:
    """The same as words of a command to run, without a shell.

    Args:
        pattern: The pattern.
        stack_name: Its stack.
        settings: ``key=value`` for the CDK app.
        in_sandbox: Whether it goes to the sandbox.
    """
    context = [word for setting in settings for word in ("-c", setting)]
    if in_sandbox:
        return [sys.executable, "-m", "sandbox", "deploy", pattern, *context]
    beside = Path(sys.prefix) / "bin" / "cdk"
    cdk = str(beside) if beside.is_file() else shutil.which("cdk") or "cdk"
    return [cdk, "deploy", stack_name, *context, "--require-approval=never", "--progress=events"]
