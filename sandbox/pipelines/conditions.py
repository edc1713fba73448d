"""Conditions of a condition step; several must all be true."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.pipelines.records import StepFailed
from sandbox.store import Params

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_QUERY = {"QueryValue", "Value"}
_EQUALITY = {"Equals", "NotEquals"}
TYPES = {*_ORDER, *_EQUALITY, "In", "NotIn", "Or", "Not"}


def problems(condition: Any) -> Iterator[str]:
    """What is wrong with the structure of a condition."""
    kind = condition.get("Type") if isinstance(condition, dict) else None
    if str(kind) not in TYPES:
        yield f"the condition type {kind!r} is unknown; types are {', '.join(sorted(TYPES))}"
    elif kind == "Or":
        parts = condition.get("Conditions")
        if not isinstance(parts, list) or not parts:
            yield "a condition Or needs Conditions"
            return
        for part in parts:
            yield from problems(part)
    elif kind == "Not":
        yield from problems(condition.get("Condition"))
    elif kind in ("In", "NotIn"):
        if not _QUERY & set(condition) or not isinstance(_values(condition), list):
            yield f"a condition {kind} needs QueryValue and the list Values"
    elif "LeftValue" not in condition or "RightValue" not in condition:
        yield f"a condition {kind} needs LeftValue and RightValue"


def holds(condition: Params) -> bool:
    """Whether a condition, whose references are resolved, is true.

    Raises:
        StepFailed: Its values cannot be compared.
    """
    kind = condition["Type"]
    if kind == "Or":
        return any([holds(part) for part in condition["Conditions"]])
    if kind == "Not":
        return not holds(condition["Condition"])
    if kind in ("In", "NotIn"):
        value = next(condition[name] for name in sorted(_QUERY) if name in condition)
        found = any(_equal(value, item) for item in _values(condition))
        return found if kind == "In" else not found
    left, right = condition["LeftValue"], condition["RightValue"]
    if kind in _EQUALITY:
        return _equal(left, right) if kind == "Equals" else not _equal(left, right)
    if not (_is_number(left) and _is_number(right)) and not (
        isinstance(left, str) and isinstance(right, str)
    ):
        raise StepFailed(
            f"The condition {kind} cannot compare {left!r} with {right!r}: both must be numbers or both "
            "strings."
        )
    return _ORDER[kind](left, right)


def _values(condition: Params) -> Any:
    """The list of In and NotIn: the SDK writes QueryValue and Values, the published schema Value and In."""
    return condition.get("Values", condition.get("In"))


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
