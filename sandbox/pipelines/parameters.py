"""Parameters of pipelines: types, defaults, and values given at the start."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sandbox.store import Params

TYPES = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
_LONGEST_DEFAULT = 4_096  # definition schema, sagemaker-rules 10.1


def default_problems(parameter: Params) -> Iterator[str]:
    """What is wrong with type and default of a parameter of a definition."""
    name, kind = parameter["Name"], parameter.get("Type", "String")
    if str(kind) not in TYPES:
        yield f"parameter {name!r} has the unknown type {kind!r}; types are {', '.join(TYPES)}"
        return
    if "DefaultValue" not in parameter:
        return
    default = parameter["DefaultValue"]
    if not _fits(default, kind):
        yield (
            f"the default {default!r} of parameter {name!r} is of type {type(default).__name__}, the "
            f"parameter of type {kind}"
        )
        return
    if isinstance(default, str) and len(default) > _LONGEST_DEFAULT:
        yield (
            f"the default of parameter {name!r} has {len(default)} characters; {_LONGEST_DEFAULT} are allowed"
        )
    allowed = parameter.get("EnumValues")
    if isinstance(allowed, list) and default not in allowed:
        yield f"the default {default!r} of parameter {name!r} is none of its values {allowed}"


def values_of(declared: list[Params], given: list[Params]) -> tuple[dict[str, Any], list[str]]:
    """Values of all parameters of an execution.

    Args:
        declared: Parameters of the definition.
        given: PipelineParameters of the request.

    Returns:
        Values by name, and what is wrong.
    """
    findings: list[str] = []
    by_name = {parameter["Name"]: parameter for parameter in declared}
    values = {
        name: parameter["DefaultValue"] for name, parameter in by_name.items() if "DefaultValue" in parameter
    }
    names = [item["Name"] for item in given]
    findings += [
        f"parameter {name!r} is given more than once" for name in sorted(set(names)) if names.count(name) > 1
    ]
    for item in given:
        name, text = item["Name"], item["Value"]
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            findings.append(f"the pipeline has no parameter {name!r}; it has {known}")
            continue
        kind, allowed = by_name[name].get("Type", "String"), by_name[name].get("EnumValues")
        try:
            values[name] = _typed(text, kind)
        except ValueError:
            findings.append(f"the value {text!r} of parameter {name!r} is not of type {kind}")
            continue
        if isinstance(allowed, list) and values[name] not in allowed:
            findings.append(f"the value {text!r} of parameter {name!r} is none of {allowed}")
    missing = [name for name in by_name if name not in values and name not in names]
    findings += [f"parameter {name!r} has no default and needs a value" for name in missing]
    return values, findings


def _fits(value: Any, kind: str) -> bool:
    if kind == "Float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "Integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def _typed(text: str, kind: str) -> Any:
    if kind == "Integer":
        return int(text)
    if kind == "Float":
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value
    if kind == "Boolean":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return text
