"""Variables that a transform job gives to its container: fewer and longer ones than a model's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import Findings
from .naming import ENVIRONMENT_KEY_PATTERN, MAX_ENVIRONMENT_TEXT, RESERVED_ENVIRONMENT

MAX_ENTRIES = 16
"""Variables (API shape TransformEnvironmentMap)."""

MAX_VALUE_LENGTH = 10_240
"""Characters of a value (API shape TransformEnvironmentValue)."""

SET_BY_JOB = RESERVED_ENVIRONMENT | {
    "SAGEMAKER_BATCH_STRATEGY",
    "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB",
}
"""What SageMaker sets in a transform job's container (developer guide, your own inference code with batch
transform)."""


def check_transform_environment(
    findings: Findings, environment: Mapping[str, str], field: str = "environment"
) -> None:
    """Note a finding for every breach of the rules for a transform job's variables.

    Args:
        findings: Where to note them.
        environment: The variables; values may be tokens.
        field: The argument that holds them.
    """
    findings.require(
        len(environment) <= MAX_ENTRIES,
        field,
        f"{len(environment)} entries",
        f"a transform job takes at most {MAX_ENTRIES} (API shape TransformEnvironmentMap)",
        "set the others at the model, which takes 100",
    )
    for name, value in environment.items():
        place = f"{field}[{name!r}]"
        findings.require(
            re.fullmatch(ENVIRONMENT_KEY_PATTERN, name, re.ASCII) is not None
            and len(name) <= MAX_ENVIRONMENT_TEXT,
            place,
            name,
            f"a variable's name has 1 to {MAX_ENVIRONMENT_TEXT} letters a-z A-Z, digits and underscores and "
            "does not start with a digit (API shape TransformEnvironmentKey)",
            "rename it",
        )
        findings.require(
            name not in SET_BY_JOB, place, name, "SageMaker sets this variable itself", "remove it"
        )
        findings.require(
            len(value) <= MAX_VALUE_LENGTH,
            place,
            f"{len(value)} characters",
            f"a value has at most {MAX_VALUE_LENGTH} characters (API shape TransformEnvironmentValue)",
            "put a long one into a file of the model artifact",
        )
