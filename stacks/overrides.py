"""Settings on the command line: ``cdk deploy STACK -c patterns.blue-green.version=v2``.

A key of the CDK context that begins with a key of the configuration is a path into it. Its value is read as
YAML; ``null`` removes the key.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from sagemaker_serving.errors import Finding, Findings

Overrides = Mapping[tuple[str, ...], Any]


def settings_in(context: Mapping[str, object], keys: Iterable[str]) -> Overrides:
    """What the context says of settings: path to value.

    Args:
        context: The app's context.
        keys: The configuration's own keys.

    Raises:
        InvalidConfiguration: A value is no YAML, or a path has an empty part.
    """
    known = set(keys)
    findings = Findings("the command line (-c)")
    found: dict[tuple[str, ...], Any] = {}
    for key, text in context.items():
        path = tuple(key.split("."))
        if path[0] not in known:
            continue
        findings.require(
            all(path), key, text, "a part of the path is empty", "write for example patterns.realtime.enabled"
        )
        try:
            found[path] = yaml.safe_load(text) if isinstance(text, str) else text
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or error
            findings.require(False, key, text, f"not valid YAML: {problem}", "quote or correct the value")
    findings.raise_if_any()
    return found


def apply(document: Any, overrides: Overrides) -> Any:
    """A copy of the document with the overrides in it.

    Args:
        document: What the file holds; without keys it stays as it is.
        overrides: See `settings_in`; shorter paths first, so that a section can be given and then changed.

    Raises:
        InvalidConfiguration: A path goes through a value that has no keys.
    """
    if not isinstance(document, dict):
        return document
    document = copy.deepcopy(document)
    findings = Findings("the command line (-c)")
    for path, value in sorted(overrides.items(), key=lambda item: len(item[0])):
        *way, key = path
        section = document
        for depth, step in enumerate(way):
            if section.get(step) is None:
                section[step] = {}
            section = section[step]
            if not isinstance(section, dict):
                findings.require(
                    False,
                    ".".join(path),
                    value,
                    f"{'.'.join(way[: depth + 1])} is {section!r} and has no keys",
                    "give the key that holds the value",
                )
                break
        else:
            if value is None:
                section.pop(key, None)
            else:
                section[key] = value
    findings.raise_if_any()
    return document


def name_origin(findings: Iterable[Finding], overrides: Overrides) -> list[Finding]:
    """The findings; those on the command line say so.

    Args:
        findings: What is wrong with the document.
        overrides: What came from the command line.
    """
    paths = [".".join(path) for path in overrides]
    return [
        replace(found, rule=f"{found.rule} (changed on the command line with -c)")
        if any(_one_holds_the_other(found.field, path) for path in paths)
        else found
        for found in findings
    ]


def _one_holds_the_other(field: str, path: str) -> bool:
    return f"{field}.".startswith((f"{path}.", f"{path}[")) or path.startswith(f"{field}.")
