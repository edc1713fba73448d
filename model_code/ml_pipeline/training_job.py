"""Training job: the sentiment model's training, and an archive that AWS's scikit-learn image can serve.

Arguments and SageMaker's variables are those of `train`. Beside model.npz the model directory gets ``code/``
with the handler functions and all that they import: with SAGEMAKER_PROGRAM=inference.py and
SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/model/code the registered version needs nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import train

SERVED = ("inference", "classifier", "features", "polarity", "formats", "client_errors", "wire")
"""Modules of the served model."""


def add_code(model_dir: Path) -> None:
    """Copy the modules of the served model into ``code/`` of the model directory.

    Args:
        model_dir: Where model.npz is.

    Raises:
        FileNotFoundError: A module is not among the job's code.
    """
    folder = model_dir / "code"
    folder.mkdir(parents=True, exist_ok=True)
    for name in SERVED:
        shutil.copyfile(_source(name), folder / f"{name}.py")


def _source(name: str) -> Path:
    for place in sys.path:
        if (path := Path(place) / f"{name}.py").is_file():
            return path
    raise FileNotFoundError(f"{name}.py is not among the job's code: the archive must hold it")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    status = train.main(given)
    if status:
        return status
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    try:
        add_code(Path(parser.parse_known_args(given)[0].model_dir))
    except OSError as error:
        print(f"training_job.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
