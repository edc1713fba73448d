"""References in a definition: ``Get``, ``Std:Join`` and ``Std:JsonGet``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.pipelines.records import StepFailed

GET, JOIN, JSON_GET = "Get", "Std:Join", "Std:JsonGet"

EXECUTION_VARIABLES = {
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "StartDateTime",
    "TrainingJobName",
    "ProcessingJobName",
}
"""Names after ``Execution.``."""

# members by which a list's elements are named, as in ``Outputs['train']``
_NAMES = (
    "OutputName",
    "InputName",
    "ChannelName",
    "MetricName",
    "PropertyFileName",
    "Name",
    "ContainerHostname",
)
_PART = re.compile(r"""\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\[['"]([^'"\]]*)['"]\]""")
_DEEPEST = 100

Part = str | int


class BadPath(ValueError):
    """The text is no path."""


@dataclass(frozen=True)
class Reference:
    """What a ``Get`` or ``Std:JsonGet`` refers to.

    Args:
        source: ``Parameters``, ``Steps`` or ``Execution``.
        name: Name of the parameter, step or variable.
        rest: The path within it.
    """

    source: str
    name: str
    rest: tuple[Part, ...]

    @classmethod
    def parse(cls, text: Any) -> Reference:
        """Read the value of a ``Get``.

        Raises:
            BadPath: It is none.
        """
        head, dot, after = text.partition(".") if isinstance(text, str) else ("", "", "")
        name, rest = _split_name(after)
        if head not in ("Parameters", "Steps", "Execution") or not dot or not name:
            raise BadPath(
                f"{text!r} is no reference; it must begin with Parameters., Steps. or Execution., "
                "followed by a name"
            )
        return cls(head, name, parse_path(rest))


def _split_name(text: str) -> tuple[str, str]:
    match = re.match(r"[\w-]+", text)
    return (match[0], text[match.end() :]) if match else ("", text)


def parse_path(text: str) -> tuple[Part, ...]:
    """Parts of a path such as ``.Outputs['train'].S3Output.S3Uri`` or ``metrics.accuracy[0]``.

    Raises:
        BadPath: It is none.
    """
    parts: list[Part] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise BadPath(f"the path {text!r} cannot be read from {text[at:]!r} on")
        name, index, key = match.groups()
        parts.append(int(index) if index is not None else name if name is not None else key)
        at = match.end()
    return tuple(parts)


def walk(value: Any, parts: tuple[Part, ...]) -> Any:
    """What is at a path; elements of lists are found by position or by their name.

    Raises:
        LookupError: Nothing is there.
    """
    for part in parts:
        if isinstance(value, list) and isinstance(part, str):
            value = next(
                item
                for item in [*value, None]
                if item is None or any(isinstance(item, dict) and item.get(name) == part for name in _NAMES)
            )
            if value is None:
                raise LookupError(part)
        elif isinstance(value, dict):
            value = value[str(part)] if str(part) in value else value[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        else:
            raise LookupError(part)
    return value


def references(value: Any, depth: int = 0) -> Iterator[Reference]:
    """All references in a part of a definition.

    Raises:
        BadPath: One of them cannot be read, or the part is nested too deep.
    """
    if depth > _DEEPEST:
        raise BadPath(f"the definition is nested deeper than {_DEEPEST} levels")
    if isinstance(value, list):
        for item in value:
            yield from references(item, depth + 1)
    elif isinstance(value, dict):
        if set(value) == {GET}:
            yield Reference.parse(value[GET])
            return
        if set(value) == {JOIN}:
            _check_join(value[JOIN])
        elif set(value) == {JSON_GET}:
            _check_json_get(value[JSON_GET])
        for item in value.values():
            yield from references(item, depth + 1)


def _check_join(join: Any) -> None:
    if not isinstance(join, dict) or not isinstance(join.get("Values"), list):
        raise BadPath(f'{JOIN} must be {{"On": "...", "Values": [...]}}')
    if not isinstance(join.get("On", ""), str):
        raise BadPath(f"On of {JOIN} must be a string")


def _check_json_get(given: Any) -> None:
    sources = {"PropertyFile", "S3Uri"} & set(given) if isinstance(given, dict) else set()
    if len(sources) != 1 or "Path" not in given:
        raise BadPath(f"{JSON_GET} must have PropertyFile (or S3Uri) and Path")
    if isinstance(given["Path"], str):
        parse_path(given["Path"])
    if "PropertyFile" in given:
        reference = _property_file(given["PropertyFile"])
        if reference.source != "Steps" or len(reference.rest) != 2 or reference.rest[0] != "PropertyFiles":
            raise BadPath(f"PropertyFile of {JSON_GET} must be Steps.<step>.PropertyFiles.<name>")


def _property_file(given: Any) -> Reference:
    return Reference.parse(given.get(GET) if isinstance(given, dict) else given)


class Resolver:
    """Replaces references by values.

    Args:
        get: Value of a ``Get``; raises LookupError when there is none.
        property_file: URI of a property file: step and name.
        read: Content of an object by its URI; raises StepFailed when it cannot be had. Blocking.
    """

    def __init__(
        self,
        get: Callable[[Reference], Any],
        property_file: Callable[[str, str], str],
        read: Callable[[str], bytes],
    ) -> None:
        self._get = get
        self._property_file = property_file
        self._read = read

    def resolve(self, value: Any) -> Any:
        """A part of a definition without references. Blocking.

        Raises:
            StepFailed: A reference leads nowhere.
        """
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {GET}:
            return self._value(value[GET])
        if set(value) == {JOIN}:
            join = value[JOIN]
            return str(join.get("On", "")).join(as_text(self.resolve(item)) for item in join["Values"])
        if set(value) == {JSON_GET}:
            return self._json_get(value[JSON_GET])
        return {key: self.resolve(item) for key, item in value.items()}

    def _value(self, text: str) -> Any:
        try:
            return self._get(Reference.parse(text))
        except LookupError as error:
            raise StepFailed(
                f"Unable to resolve the reference {text!r}: there is no {error.args[0]!r} in what it refers "
                "to."
            ) from error

    def _json_get(self, given: Any) -> Any:
        path = as_text(self.resolve(given["Path"]))
        if "PropertyFile" in given:
            reference = _property_file(given["PropertyFile"])
            where = f"property file {reference.rest[1]!r} of step {reference.name!r}"
            uri = self._property_file(reference.name, str(reference.rest[1]))
        else:
            uri = as_text(self.resolve(given["S3Uri"]))
            where = "the JSON file"
        try:
            content = json.loads(self._read(uri))
        except (ValueError, RecursionError) as error:
            raise StepFailed(f"JsonGet failed: {where} ({uri}) is not valid JSON: {error}.") from error
        try:
            return walk(content, parse_path(path))
        except (BadPath, LookupError) as error:
            raise StepFailed(f"JsonGet failed: {where} ({uri}) has nothing at path {path!r}.") from error


def as_text(value: Any) -> str:
    """A value as part of a string."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
