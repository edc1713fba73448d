"""References of a pipeline's definition: every ``Get``, also those in ``Std:Join`` and ``Std:JsonGet``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import is_token

EXECUTION_VARIABLES = (
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "ProcessingJobName",
    "StartDateTime",
    "TrainingJobName",
)
"""Names after ``Execution.`` (developer guide, pipeline variables; SageMaker Python SDK)."""

_REFERENCE = re.compile(r"(Parameters|Steps|Execution)\.([A-Za-z0-9_-]+)(.*)", re.DOTALL)
_PART = r"""\.[A-Za-z_][\w-]*|\[\d+\]|\['[^'\]]*'\]|\["[^"\]]*"\]"""
_PATH = re.compile(rf"(?:{_PART})*")


@dataclass(frozen=True)
class Reference:
    """One ``Get`` of a definition.

    Args:
        field: Where it stands, for example ``Steps.Train.Arguments.RoleArn``.
        text: As it is written.
        source: ``Parameters``, ``Steps`` or ``Execution``; empty when the text is no reference.
        name: The parameter, step or variable; empty when the text is no reference.
        path: What follows the name, cut into names and positions.
    """

    field: str
    text: object
    source: str = ""
    name: str = ""
    path: tuple[str, ...] = ()

    @classmethod
    def parse(cls, field: str, text: object) -> Reference:
        """Read a ``Get``.

        Args:
            field: Where it stands.
            text: What it holds; anything.
        """
        match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if match is None or not _PATH.fullmatch(match[3]):
            return cls(field, text)
        path = tuple(part.strip(".[]'\"") for part in re.findall(_PART, match[3]))
        return cls(field, text, match[1], match[2], path)


def find_references(value: Any, field: str) -> Iterator[Reference]:
    """All references in a part of a definition; those that are tokens are left out.

    Args:
        value: The part.
        field: Where it stands.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_references(item, f"{field}[{index}]")
    elif isinstance(value, dict):
        if set(value) == {"Get"}:
            if not is_token(value["Get"]):
                yield Reference.parse(field, value["Get"])
            return
        for key, item in value.items():
            yield from find_references(item, f"{field}.{key}")


def is_reference(value: object) -> bool:
    """Whether a value is known only when the pipeline runs.

    Args:
        value: Any value of a definition.
    """
    return (
        isinstance(value, dict) and len(value) == 1 and bool({"Get", "Std:Join", "Std:JsonGet"} & set(value))
    )
