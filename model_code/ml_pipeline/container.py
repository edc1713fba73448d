"""Where the files of a SageMaker job are, and how its scripts give up."""

from __future__ import annotations

import os
from pathlib import Path


class JobError(Exception):
    """The job cannot be done; the message says why and what to do."""


def base_directory() -> Path:
    """The container's ``/opt/ml``; the variable SAGEMAKER_BASE_DIR puts it elsewhere."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
