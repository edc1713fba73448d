"""Input checks from botocore's service models, in the words that the services use.

SDKs check neither pattern nor range nor enum before they send (sagemaker-rules: "Cross-cutting facts"), so
the service has to. All findings of a request are told in one ValidationException.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import regex  # type: ignore[import-untyped]  # \p{L} and the like, which the models use; has no type stubs
from botocore.loaders import Loader

from sandbox.errors import ServiceError
from sandbox.store import Params

Shape = dict[str, Any]

_NUMBERS = {"integer": int, "long": int, "float": float, "double": float}
_LONGEST_MATCHED = 2_000_000  # no legal value is longer; longer ones are refused by their length alone
_SHOWN = 256


class ApiModel:
    """The inputs of a service's operations. Loaded at first use (60 ms); keeps only what those operations
    need.

    Args:
        service: botocore's name of the service, for example ``sagemaker``.
        operations: The operations that will be asked for.
    """

    def __init__(self, service: str, operations: Iterable[str]) -> None:
        self.service = service
        self._operations = tuple(operations)
        self._inputs: dict[str, str] = {}
        self._shapes: dict[str, Shape] = {}
        self._known: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def require(self, operation: str) -> None:
        """Refuse an operation that is not emulated.

        Raises:
            ServiceError: UnknownOperationException that says whether AWS has it.
        """
        self._load()
        if operation in self._inputs:
            return
        if operation in self._known:
            message = f"The sandbox does not have {operation} of {self.service} yet; AWS does."
        else:
            message = f"{self.service} has no operation {operation}."
        raise ServiceError("UnknownOperationException", message)

    def validate(self, operation: str, params: Params) -> Params:
        """A copy of the parameters: timestamps as aware datetimes, nulls left out, idempotency tokens
        filled in.

        Raises:
            ServiceError: ValidationException that names every finding.
        """
        clean, findings = self.examine(operation, params)
        raise_findings(findings)
        return clean

    def examine(self, operation: str, params: Params) -> tuple[Params, list[str]]:
        """The same copy, and every finding, for who has findings of its own to add."""
        self._load()
        check = _Check(self._shapes)
        clean = check.value(self._inputs[operation], params, "")
        return cast(Params, clean), check.findings

    def _load(self) -> None:
        with self._lock:
            if self._shapes:
                return
            model = Loader().load_service_model(self.service, "service-2")
            self._inputs = {name: model["operations"][name]["input"]["shape"] for name in self._operations}
            reached = set(_reachable(model["shapes"], self._inputs.values()))
            self._known = frozenset(model["operations"])
            self._shapes = {name: _bare(model["shapes"][name]) for name in reached}


def raise_findings(findings: list[str], code: str = "ValidationException") -> None:
    """Raise what was found, all at once.

    Args:
        findings: What was found; nothing is raised without any.
        code: The service's error code.

    Raises:
        ServiceError: That code, in the service's style.
    """
    if findings:
        count = len(findings)
        head = f"{count} validation error{'s' if count > 1 else ''} detected: "
        raise ServiceError(code, head + "; ".join(findings))


def _reachable(shapes: dict[str, Shape], roots: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        shape = shapes[name]
        waiting += [member["shape"] for member in shape.get("members", {}).values()]
        waiting += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]


def _bare(shape: Shape) -> Shape:
    """The shape without its documentation, which is most of its size."""
    if "members" in shape:
        members = {
            name: {key: member[key] for key in ("shape", "idempotencyToken") if key in member}
            for name, member in shape["members"].items()
        }
        return {"type": shape["type"], "members": members, "required": shape.get("required", [])}
    return {key: value for key, value in shape.items() if key != "documentation"}


@cache
def _pattern(pattern: str) -> Any:
    # the models write characters beyond 16 bits as Java does, as a range of surrogate pairs
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"))


def _show(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class _Check:
    """One walk through a request."""

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.shapes = shapes
        self.findings: list[str] = []

    def value(self, shape_name: str, value: object, path: str) -> object:
        shape = self.shapes[shape_name]
        match shape["type"]:
            case "structure":
                return self.structure(shape, value, path)
            case "list":
                return self.list(shape, value, path)
            case "map":
                return self.map(shape, value, path)
            case "timestamp":
                return self.timestamp(value, path)
        problem = _type_problem(shape, value)
        for constraint in [problem] if problem else _violations(shape, value):
            self.note(value, path, constraint)
        return value

    def note(self, value: object, path: str, constraint: str) -> None:
        shown = "null" if value is None else f"'{_show(value)}'"
        self.findings.append(f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}")

    def structure(self, shape: Shape, value: object, path: str) -> object:
        if not isinstance(value, dict):
            self.note(value, path, "Member must be a structure")
            return value
        members = shape["members"]
        given = {name: item for name, item in value.items() if item is not None}
        clean: Params = {}
        for name, member in members.items():
            if name not in given and member.get("idempotencyToken"):
                given[name] = str(uuid.uuid4())  # SDKs fill these in as well
        for name, item in given.items():
            inner = _join(path, str(name))
            if name in members:
                clean[name] = self.value(members[name]["shape"], item, inner)
            else:
                self.note(item, inner, f"Member must be one of [{', '.join(members)}]")
        for name in shape["required"]:
            if name not in given:
                self.note(None, _join(path, name), "Member must not be null")
        return clean

    def list(self, shape: Shape, value: object, path: str) -> object:
        if not isinstance(value, (list, tuple)):
            self.note(value, path, "Member must be a list")
            return value
        for constraint in _violations(shape, value):
            self.note(value, path, constraint)
        inner = shape["member"]["shape"]
        return [self.value(inner, item, f"{path}.{n}.member") for n, item in enumerate(value, start=1)]

    def map(self, shape: Shape, value: object, path: str) -> object:
        if not isinstance(value, dict):
            self.note(value, path, "Member must be a map")
            return value
        for constraint in _violations(shape, value):
            self.note(value, path, constraint)
        sides = (
            ("keys", shape["key"]["shape"], list(value)),
            ("value", shape["value"]["shape"], [*value.values()]),
        )
        for side, name, items in sides:
            inner = self.shapes[name]
            for item in items:
                problem = _type_problem(inner, item)
                broken = [problem] if problem else list(_violations(inner, item))
                if broken:
                    self.note(item, path, f"Map {side} must satisfy constraint: [{', '.join(broken)}]")
        return dict(value)

    def timestamp(self, value: object, path: str) -> object:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                return datetime.fromtimestamp(value, UTC)
            except (ValueError, OverflowError, OSError):
                pass
        self.note(value, path, "Member must be a timestamp in seconds since 1970-01-01T00:00:00Z")
        return value


def _join(path: str, name: str) -> str:
    head = name[:1].lower() + name[1:]
    return f"{path}.{head}" if path else head


def _type_problem(shape: Shape, value: object) -> str | None:
    kind = shape["type"]
    if kind in _NUMBERS:
        legal = (int,) if _NUMBERS[kind] is int else (int, float)
        fits = isinstance(value, legal) and not isinstance(value, bool)
    else:
        fits = isinstance(value, bool if kind == "boolean" else str)
    return None if fits else f"Member must be of type {kind}"


def _violations(shape: Shape, value: Any) -> Iterator[str]:
    """Constraints of a shape that a value of the right type breaks, in the service's words."""
    if shape["type"] in _NUMBERS:
        what, size = "value", value
    elif shape["type"] == "boolean":
        return
    else:
        what, size = "length", len(value)
    if "min" in shape and size < shape["min"]:
        yield f"Member must have {what} greater than or equal to {shape['min']}"
    if "max" in shape and size > shape["max"]:
        yield f"Member must have {what} less than or equal to {shape['max']}"
    if "enum" in shape and value not in shape["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"
    if "pattern" in shape and size <= _LONGEST_MATCHED and not _pattern(shape["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {shape['pattern']}"
