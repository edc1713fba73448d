"""Set up `.cache/koelectra`: the environment that turns a Hugging Face model into ONNX.

Run by `make koelectra` and `make test`; skips what is done. torch is large, and nothing of it is needed to
serve a model, so it stays out of `.venv`. On Linux, PyPI's torch for x86_64 is built for CUDA and brings some
gigabytes along; the build for processors alone comes from PyTorch's own index:

    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make koelectra
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from setup_environment import ROOT, SetupFailed, call, run_step

ENVIRONMENT = ROOT / ".cache" / "koelectra"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = "requirements-koelectra.txt"


def main() -> int:
    """Set up what is missing; 0 when the environment is ready."""
    ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    try:
        # two at a time would install into each other's files
        with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run_step("KoELECTRA export", [REQUIREMENTS], make_environment, ENVIRONMENT / ".stamps")
    except SetupFailed as failure:
        print(f"setup: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again", file=sys.stderr)
        return 130
    return 0


def make_environment() -> None:
    """Make the environment anew, and install the pinned packages with pip.

    With pip, because it also looks where its own configuration says (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS): a
    build of torch for processors alone is preferred wherever it is found.
    """
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupFailed(f"cannot make a virtual environment in {ENVIRONMENT}: {error}") from error
    pip: list[str | Path] = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    call(
        [*pip, "--no-compile", "-r", ROOT / REQUIREMENTS],
        "install torch, transformers and onnx",
        network="PyPI (or the index that pip is set up for)",
    )


if __name__ == "__main__":
    sys.exit(main())
