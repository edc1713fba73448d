"""The command lines that hints name, as this person would have to type them."""

from __future__ import annotations

import sys
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
