"""Paths that pick parts of a record before and after a transform job's model."""

from __future__ import annotations

import re

from .errors import Findings, is_token

MAX_PATH_LENGTH = 63
"""Characters of a filter (API shape JsonPath)."""

_NAME = r"'[^'\[\]]+'|\"[^\"\[\]]+\""
_INDEX = r"-?\d+"
_SLICE = r"(?:-?\d+)?:(?:-?\d+)?"
_CHOICE = rf"\s*(?:(?:{_NAME})(?:\s*,\s*(?:{_NAME}))*|{_INDEX}(?:\s*,\s*{_INDEX})*|{_SLICE}|\*)\s*"
_PATH = re.compile(rf"\$(?:\.(?:[^\s.\[\]$'\"*?@()]+|\*)|\[{_CHOICE}\])*")
_CSV_PATH = re.compile(rf"\$(?:\[\s*(?:{_INDEX}(?:\s*,\s*{_INDEX})*|{_SLICE})\s*\])?")
_SOURCE = "developer guide, associate prediction results with input records"


def check_filter(findings: Findings, field: str, value: str | None, *, csv: bool) -> None:
    """Note a finding unless a transform job can use a path as its filter; None and tokens pass.

    Args:
        findings: Where to note it.
        field: The argument that holds the path.
        value: The path.
        csv: Whether it picks columns of a delimited record, by position.
    """
    if value is None or is_token(value):
        return
    findings.require(
        len(value) <= MAX_PATH_LENGTH,
        field,
        value,
        f"has at most {MAX_PATH_LENGTH} characters (API shape JsonPath)",
        "pick fewer parts, or rename them",
    )
    if not findings.require(
        value.startswith("$"),
        field,
        value,
        f"starts with $, the whole record ({_SOURCE})",
        f"write $.{value}",
    ):
        return
    findings.require(
        not csv or _CSV_PATH.fullmatch(value) is not None,
        field,
        value,
        f"picks columns of a CSV record by their positions only, counted from 0 ({_SOURCE})",
        "write for example $[0], $[1:] or $[0,-1]",
    )
    findings.require(
        csv or _PATH.fullmatch(value) is not None,
        field,
        value,
        "may use $, .name, *, ['name','name'], [i,j], [-1] and [start:end], and no other operator "
        f"({_SOURCE})",
        "write for example $.text or $['id','SageMakerOutput']",
    )
