"""Parameters of an execution, checked against the definition before anything is started."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from client.errors import UserError

_LONGEST_VALUE = 1_024  # API Parameter, member Value
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FORMS = {
    "Integer": "a whole number such as 4",
    "Float": "a number such as 0.85",
    "Boolean": "true or false",
}


def check_parameters(declared: Sequence[Mapping[str, Any]], given: Sequence[str]) -> dict[str, str]:
    """Values for StartPipelineExecution by name.

    Args:
        declared: Parameters of the definition.
        given: ``NAME=VALUE`` each.

    Raises:
        UserError: Something is wrong; the message has all of it.
    """
    by_name = {str(one["Name"]): one for one in declared}
    pairs = [text.partition("=") for text in given]
    findings = [f"{name!r} has no value: write NAME=VALUE" for name, equals, _ in pairs if not equals]
    names = [name for name, equals, _ in pairs if equals]
    findings += [f"{name} is given more than once" for name in sorted(set(names)) if names.count(name) > 1]
    values: dict[str, str] = {}
    for name, equals, text in pairs:
        if not equals:
            continue
        if name not in by_name:
            near = get_close_matches(name, by_name, n=1)
            findings.append(
                f"there is no parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
            continue
        findings += _value_problems(by_name[name], text)
        values[name] = text.lower() if by_name[name].get("Type") == "Boolean" else text
    mentioned = {name for name, _, _ in pairs}
    findings += [
        f"{name} has no default and needs a value"
        for name, one in by_name.items()
        if "DefaultValue" not in one and name not in mentioned
    ]
    if findings:
        raise UserError(f"Nothing was started: {'; '.join(findings)}", _described(declared))
    return values


def _value_problems(declared: Mapping[str, Any], text: str) -> Iterator[str]:
    name, kind = declared["Name"], str(declared.get("Type", "String"))
    if len(text) > _LONGEST_VALUE:
        yield f"the value of {name} has {len(text):,} characters; {_LONGEST_VALUE:,} are allowed"
        return
    try:
        value = _typed(text, kind)
    except ValueError:
        yield f"{name}={text} is not of type {kind}: write {_FORMS[kind]}"
        return
    allowed = declared.get("EnumValues")
    if isinstance(allowed, list) and value not in allowed:
        yield f"{name}={text} is not allowed: one of {', '.join(map(str, allowed))}"


def _typed(text: str, kind: str) -> object:
    if kind == "Integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "Float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if kind == "Boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in _FORMS:
        raise ValueError(text)
    return text


def _described(declared: Sequence[Mapping[str, Any]]) -> str:
    if not declared:
        return "The pipeline has no parameters."
    lines = ["Parameters, with their defaults:"]
    for one in declared:
        default = f" = {one['DefaultValue']}" if "DefaultValue" in one else ", needed"
        lines.append(f"  {one['Name']} ({one.get('Type', 'String')}){default}")
    return "\n".join(lines)
