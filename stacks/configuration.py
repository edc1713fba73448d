"""Reads config/<environment>.yaml; whatever is wrong with it comes back as one message."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic
import yaml
from pydantic import BaseModel, Field, create_model

from sagemaker_serving.errors import Finding, Findings, InvalidConfiguration
from sagemaker_serving.limits import suggest

from . import named_models, overrides
from .base import Target
from .registry import PATTERNS
from .settings import DataSettings, PatternSettings, Section

DEFAULT_ENVIRONMENT = "dev"

Patterns: type[Section] = create_model(  # one optional section for each registered pattern
    "Patterns",
    __base__=Section,
    **{  # type: ignore[call-overload]
        name.replace("-", "_"): (stack.settings_type | None, Field(default=None, alias=name))
        for name, stack in PATTERNS.items()
    },
)


class Configuration(Section):
    """One environment: where to deploy, what becomes of data, and which patterns.

    Account and Region come from the CDK CLI unless the file names them.
    """

    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")] | None = None
    termination_protection: bool = False
    alarm_emails: list[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]] = Field(default_factory=list)
    data: DataSettings
    patterns: Patterns  # type: ignore[valid-type]

    def enabled(self) -> Iterator[tuple[str, PatternSettings]]:
        """Name and settings of each pattern that is to be deployed."""
        for name in PATTERNS:
            settings = getattr(self.patterns, name.replace("-", "_"))
            if settings is not None and settings.enabled:
                yield name, settings

    def chosen(self, only: str | None) -> dict[str, PatternSettings]:
        """Name and settings of each pattern that the app is to make.

        Args:
            only: Names of patterns, separated by commas; None for all that are enabled.

        Raises:
            InvalidConfiguration: One of them is not enabled.
        """
        enabled = dict(self.enabled())
        if only is None:
            return enabled
        names = [name.strip() for name in only.split(",") if name.strip()]
        findings = Findings("the command line (-c)")
        findings.require(bool(names), "only", only, "names no pattern", f"name one of {', '.join(enabled)}")
        for name in names:
            findings.require(
                name in enabled,
                "only",
                name,
                f"the patterns that are enabled are {', '.join(enabled) or 'none'}",
                "switch it on in the configuration" if name in PATTERNS else suggest(name, enabled),
            )
        findings.raise_if_any()
        return {name: enabled[name] for name in enabled if name in names}

    def target(self, environment: str, *, root: Path, account: str | None, region: str | None) -> Target:
        """Where and how the patterns are deployed.

        Args:
            environment: The environment's name.
            root: The project's folder.
            account: The CDK CLI's account, for a file that names none.
            region: The CDK CLI's Region, for a file that names none.
        """
        return Target(
            environment=environment,
            root=root,
            account=self.account or account,
            region=self.region or region,
            retention=self.data.build(),
            termination_protection=self.termination_protection,
            alarm_emails=tuple(self.alarm_emails),
        )


def load(environment: str, folder: Path, context: Mapping[str, object] | None = None) -> Configuration:
    """Read an environment's file.

    Args:
        environment: Name of the file without ``.yaml``.
        folder: Where the files are.
        context: The app's context; what it says of settings wins over the file (`overrides`).

    Raises:
        InvalidConfiguration: No such file, not YAML, or anything wrong in it or in the context; all findings
            at once.
    """
    path = _find(environment, folder)
    where = f"{folder.name}/{path.name}"
    given = overrides.settings_in(context or {}, tuple(Configuration.model_fields))

    def expanded(document: object) -> object:
        return named_models.expand(document, folder, lambda file: _parse(file, f"{folder.name}/{file.name}"))

    # before and between, so that keys of a named model can be overridden, wherever it is named
    document = expanded(_parse(path, where))
    for part in overrides.outer_first(given):
        document = expanded(overrides.apply(document, part, may_be_left_out=_is_own_key))
    try:
        return Configuration.model_validate(document)
    except pydantic.ValidationError as error:
        findings = [found for item in error.errors() for found in _findings(item)]
        findings += _hidden(document, error, findings)
        raise InvalidConfiguration(where, overrides.name_origin(findings, given)) from None


def _hidden(document: object, error: pydantic.ValidationError, told: list[Finding]) -> list[Finding]:
    """What the library says of sections in which a mistyped key or a wrong type kept it from being asked.

    Every wrong key that is not needed is left out, so that its section counts with the rest.
    """
    document = copy.deepcopy(document)
    for item in error.errors():
        _leave_out(document, item["loc"])
    try:
        Configuration.model_validate(document)
    except pydantic.ValidationError as second:
        return [
            found
            for item in second.errors()
            if item["type"] != "missing"
            for found in _findings(item)
            if found.field not in {finding.field for finding in told}
        ]
    return []


def _leave_out(document: Any, location: Sequence[str | int]) -> None:
    place = _Place(Configuration)
    for depth, step in enumerate(location):
        if not isinstance(document, dict) or step not in document:
            return
        needed = place.needs(str(step))
        inner = place.inner(str(step))
        if inner is None or depth == len(location) - 1:  # a value, or a key that does not exist
            if not needed:
                del document[step]
            return
        document, place = document[step], inner


def _find(environment: str, folder: Path) -> Path:
    there = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if environment not in there:
        fix = suggest(environment, there) if there else f"add {folder.name}/{DEFAULT_ENVIRONMENT}.yaml"
        rule = f"there are these environments: {', '.join(there) or 'none'} ({folder.name}/*.yaml)"
        raise InvalidConfiguration("the environment (-c env=...)", [Finding("env", environment, rule, fix)])
    return there[environment]


class _Loader(yaml.SafeLoader):
    """A safe loader that notices when a key is there twice; YAML's own takes the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[object, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, str | int | float | bool) and seen.setdefault(key, line) != line:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is in line {seen[key]} already", key_node.start_mark
                )
        return super().construct_mapping(node, deep)


def _parse(path: Path, where: str) -> object:
    fix = "correct the file"
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = f"not valid YAML: {error.problem or error.context}"
        finding = Finding(f"line {line}", _line(path, line), problem, fix)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        finding = Finding("file", path.name, f"not valid YAML in UTF-8: {error}", fix)
    except OSError as error:
        finding = Finding("file", path.name, f"cannot be read: {error.strerror}", "make it readable")
    raise InvalidConfiguration(where, [finding])


def _line(path: Path, number: int) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""


def _findings(item: Any) -> Iterable[Finding]:
    """What pydantic says, in our words: the path as in the file, what is allowed, and what to do."""
    location: Sequence[str | int] = item["loc"]
    path = _dotted(location)
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InvalidConfiguration):
        return [replace(finding, field=_dotted([*location, finding.field])) for finding in cause.findings]
    match item["type"]:
        case "extra_forbidden":
            keys = _place_at(location[:-1]).keys
            rule = f"there is no such key here; the keys are {', '.join(keys)}"
            return [Finding(path, item["input"], rule, suggest(str(location[-1]), keys))]
        case "missing":
            return [Finding(path, None, "is needed", "add the key")]
        case "literal_error":
            expected = str(item["ctx"]["expected"])
            return [
                Finding(
                    path,
                    item["input"],
                    f"must be {expected}",
                    suggest(str(item["input"]), re.findall(r"'([^']+)'", expected)),
                )
            ]
        case "model_type":
            return [Finding(path or "file", item["input"], "must be keys with values", "see config/dev.yaml")]
        case "string_pattern_mismatch" | "string_type" if _key(location) in _EXAMPLES:
            rule, fix = _EXAMPLES[_key(location)]
            return [Finding(path, item["input"], rule, fix)]
        case "string_type" if isinstance(item["input"], int | float):
            return [Finding(path, item["input"], "must be a text", "put it in quotes")]
        case "bool_type":
            return [Finding(path, item["input"], "must be true or false", "write it without quotes")]
    rule = re.sub(r"^Input should", "must", item["msg"])
    return [Finding(path, item["input"], rule, "correct the value")]


_EXAMPLES = {
    "account": ("must be 12 digits in quotes", 'write for example "123456789012"'),
    "region": ("must be an AWS Region", "write for example ap-northeast-2"),
    "alarm_emails": ("must be an e-mail address", "write for example team@example.com"),
}


def _key(location: Sequence[str | int]) -> str:
    """The last key on the way to a place in the file."""
    return next((step for step in reversed(location) if isinstance(step, str)), "")


class _Place:
    """A section of the file, or the keys of a mapping of sections.

    Args:
        section: The section; of a mapping, that of its values.
        is_mapping: Whether the next key is one that the file may choose.
    """

    def __init__(self, section: type[BaseModel], *, is_mapping: bool = False) -> None:
        self._section = section
        self._is_mapping = is_mapping
        self._fields = {field.alias or name: field for name, field in section.model_fields.items()}

    @property
    def keys(self) -> list[str]:
        """The keys that may be here."""
        return sorted(self._fields)

    def has(self, key: str) -> bool:
        """Whether the key is one of the section's own, and none that the file chose."""
        return not self._is_mapping and key in self._fields

    def needs(self, key: str) -> bool:
        """Whether what is here says nothing without the key; a setting may name a mapping's entry."""
        return self._is_mapping or (self.has(key) and self._fields[key].is_required())

    def inner(self, key: str) -> _Place | None:
        """What is below a key; None for a value, and for a key that cannot be here."""
        if self._is_mapping:
            return _Place(self._section)
        field = self._fields.get(key)
        for kind in _kinds(field.annotation) if field else ():
            if _is_section(kind):
                return _Place(kind)
            if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
                value = get_args(kind)[1]
                return _Place(value, is_mapping=True) if _is_section(value) else None
        return None


def _place_at(location: Sequence[str | int]) -> _Place:
    """The deepest section on the way to a place in the file."""
    place = _Place(Configuration)
    for step in location:
        inner = place.inner(str(step))
        if inner is None:
            break
        place = inner
    return place


def _is_own_key(path: Sequence[str]) -> bool:
    """Whether a path ends in a key of the configuration's own."""
    place: _Place | None = _Place(Configuration)
    for step in path[:-1]:
        place = place.inner(step) if place else None
    return place is not None and place.has(path[-1])


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _dotted(location: Iterable[str | int]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
