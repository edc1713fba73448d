"""The definition of an ML pipeline: a committed template, filled in and checked before anything is deployed.

The template is a JSON file of ``{"source": ..., "definition": ...}``. In the texts of its definition,
``@@NAME@@`` stands for what only the stack knows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from constructs import IConstruct

from .errors import Findings, is_token
from .limits import suggest
from .pipeline_graph import check_graph, check_name
from .pipeline_steps import VALUE_TYPES, objects

MAX_BODY_LENGTH = 1_048_576
"""Characters of a definition (API shape PipelineDefinition)."""

MAX_PARAMETERS = 200
"""Parameters of a pipeline, all of which a start may give (API shape ParameterList)."""

MAX_DEFAULT_LENGTH = 4096
"""Characters of a parameter's default (pipeline definition schema)."""

VERSION = "2020-12-01"
"""The only version of the definition schema."""

_SCHEMA = "pipeline definition schema"
_PLACEHOLDER = re.compile(r"@@(\w+)@@", re.ASCII)
_TOKEN = re.compile(r"\$\{Token\[[^\]]*\]\}")
_MAX_DEPTH = 100
# beyond it a number is another one after it went through JavaScript, in which CDK runs
_MAX_INTEGER = 2**53 - 1


@dataclass(frozen=True)
class PipelineDefinition:
    """A definition that passed every check that is possible before deployment.

    Args:
        content: The definition as parsed JSON; its texts may hold tokens, which no check looks into.

    Raises:
        InvalidConfiguration: With everything that is wrong with it.
    """

    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        findings = Findings("PipelineDefinition")
        _check(findings, self.content)
        findings.raise_if_any()

    @classmethod
    def from_template(cls, path: Path, values: Mapping[str, str]) -> PipelineDefinition:
        """Read a template and put values in the place of its placeholders.

        Args:
            path: The file.
            values: Name of a placeholder, without the ``@@``, to its text or token.

        Raises:
            InvalidConfiguration: The file is no template, a placeholder has no value or a value no
                placeholder, or anything is wrong with the definition.
        """
        findings = Findings(f"PipelineDefinition of {path.name}")
        definition = _read(findings, path)
        findings.raise_if_any()
        _check_values(findings, definition, values)
        content = _fill(definition, values)
        _check(findings, content)
        findings.raise_if_any()
        return cls(content)

    def body(self, scope: IConstruct) -> str:
        """The definition as the text that CloudFormation deploys, with its tokens resolved there.

        Args:
            scope: A construct of the stack that holds the pipeline.
        """
        stack = cdk.Stack.of(scope)
        # CDK leaves null members out, but null is how a pipeline switches its experiment off
        members = (
            f"{json.dumps(name)}:{'null' if value is None else stack.to_json_string(value)}"
            for name, value in self.content.items()
        )
        return "{" + ",".join(members) + "}"


def _read(findings: Findings, path: Path) -> Any:
    """The definition in a template, or findings."""
    fix = "generate the template again"
    try:
        template = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        findings.require(False, "path", str(path), f"cannot be read: {error.strerror}", fix)
        return None
    except (ValueError, RecursionError) as error:
        findings.require(False, "path", str(path), f"must hold JSON: {error}", fix)
        return None
    definition = template.get("definition") if isinstance(template, dict) else None
    rule = "must hold an object with the member definition, an object nested at most 100 levels deep"
    usable = isinstance(definition, dict) and not _is_deep(definition)
    findings.require(usable, "path", str(path), rule, fix)
    return definition


def _check_values(findings: Findings, definition: Any, values: Mapping[str, str]) -> None:
    """Every placeholder needs a value, and every value a placeholder."""
    places: dict[str, str] = {}
    for field, text in _texts(definition, ""):
        for name in _PLACEHOLDER.findall(text):
            places.setdefault(name, field.removeprefix("."))
    for name, field in places.items():
        findings.require(
            name in values,
            field,
            f"@@{name}@@",
            "every placeholder of the template needs a value",
            f"give {name} a value",
        )
    for name, value in values.items():
        findings.require(
            name in places,
            f"values[{name!r}]",
            name,
            "the template has no such placeholder",
            suggest(name, places) if places else "leave the value out",
        )
        findings.require(
            isinstance(value, str) and bool(value),
            f"values[{name!r}]",
            value,
            "takes the place of a placeholder within a text",
            "give a text that is not empty, or a token of one",
        )


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """All texts, names of members included, each with where it stands."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{field}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{field}.{key}", key
            yield from _texts(item, f"{field}.{key}")


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    """The same with values for placeholders; a value is not searched for placeholders again."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), value)
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    if isinstance(value, dict):
        return {_fill(key, values): _fill(item, values) for key, item in value.items()}
    return value


def _check(findings: Findings, content: Any) -> None:
    """Everything that is wrong with a definition."""
    if not findings.require(
        isinstance(content, dict) and not _is_deep(content),
        "definition",
        type(content).__name__,
        f"must be an object nested at most {_MAX_DEPTH} levels deep ({_SCHEMA})",
        "generate the definition again",
    ):
        return
    version = content.get("Version", VERSION)
    findings.require(
        version == VERSION, "Version", version, f"must be {VERSION} ({_SCHEMA})", f"give {VERSION!r}"
    )
    _check_numbers(findings, content, "")
    declared = _check_parameters(findings, content.get("Parameters"))
    steps = content.get("Steps")
    if findings.require(
        isinstance(steps, list) and bool(steps),
        "Steps",
        steps,
        f"must be a list of at least one step ({_SCHEMA})",
        "give the pipeline a step",
    ):
        check_graph(findings, content, declared)
    length = len(_TOKEN.sub("", json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str)))
    findings.require(
        length <= MAX_BODY_LENGTH,
        "definition",
        f"{length} characters",
        f"must have at most {MAX_BODY_LENGTH} characters (API shape PipelineDefinition)",
        "move what is long into files that the steps read",
    )


def _is_deep(value: Any, depth: int = 0) -> bool:
    if depth > _MAX_DEPTH:
        return True
    if isinstance(value, dict):
        return any(_is_deep(item, depth + 1) for item in value.values())
    return isinstance(value, list) and any(_is_deep(item, depth + 1) for item in value)


def _check_numbers(findings: Findings, value: Any, field: str) -> None:
    """JSON has no NaN and no infinity, and large whole numbers would become others."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(findings, item, f"{field}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_numbers(findings, item, f"{field}[{index}]")
    elif isinstance(value, int | float):
        findings.require(
            abs(value) <= _MAX_INTEGER if isinstance(value, int) else math.isfinite(value),
            field.removeprefix("."),
            value,
            f"must be a finite number, a whole one of at most {_MAX_INTEGER} (JSON)",
            "give such a number, or a text",
        )


def _check_parameters(findings: Findings, parameters: Any) -> set[str] | None:
    """The names of all parameters; None when one of them is a token."""
    names: list[str] = []
    unknown = False
    for field, parameter in objects(findings, "Parameters", parameters, "parameters"):
        name = parameter.get("Name")
        unknown = unknown or is_token(name)
        if not check_name(findings, f"{field}.Name", name) or is_token(name):
            continue
        findings.require(
            name not in names,
            f"{field}.Name",
            name,
            f"no two parameters have the same name ({_SCHEMA})",
            "rename one of them",
        )
        names.append(str(name))
        _check_parameter(findings, f"Parameters.{name}", parameter)
    findings.require(
        len(names) <= MAX_PARAMETERS,
        "Parameters",
        f"{len(names)} parameters",
        f"at most {MAX_PARAMETERS} (API shape ParameterList)",
        "put what is never changed into the steps",
    )
    return None if unknown else set(names)


def _check_parameter(findings: Findings, field: str, parameter: dict[str, Any]) -> None:
    """Type, default and choices of a parameter."""
    kind = parameter.get("Type", "String")
    rule = f"must be a type of parameter ({_SCHEMA})"
    if is_token(kind) or not findings.require(
        kind in tuple(VALUE_TYPES), f"{field}.Type", kind, rule, suggest(str(kind), VALUE_TYPES)
    ):
        return
    choices = parameter.get("EnumValues")
    given = [("DefaultValue", parameter["DefaultValue"])] if "DefaultValue" in parameter else []
    if isinstance(choices, list):
        given += [(f"EnumValues[{index}]", value) for index, value in enumerate(choices)]
    for member, value in given:
        if not findings.require(
            _fits(value, kind),
            f"{field}.{member}",
            value,
            f"must be of the parameter's type, {kind} ({_SCHEMA})",
            f"give a value of type {kind}, or correct the type",
        ):
            continue
        findings.require(
            not isinstance(value, str) or len(value) <= MAX_DEFAULT_LENGTH,
            f"{field}.{member}",
            f"{len(value)} characters" if isinstance(value, str) and not is_token(value) else value,
            f"must have at most {MAX_DEFAULT_LENGTH} characters ({_SCHEMA})",
            "put a long text into a file and give its address",
        )
        findings.require(
            member != "DefaultValue" or not isinstance(choices, list) or value in choices,
            f"{field}.{member}",
            value,
            f"must be one of the parameter's EnumValues ({_SCHEMA})",
            suggest(str(value), map(str, choices)) if isinstance(choices, list) else "",
        )


def _fits(value: Any, kind: str) -> bool:
    if kind == "Float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, VALUE_TYPES[kind]) and (kind == "Boolean" or not isinstance(value, bool))
