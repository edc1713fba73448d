"""Settings on the command line: ``cdk deploy STACK -c patterns.blue-green.version=v2``.

A key of the CDK context that begins with a key of the configuration is a path into it. Its value is read as
YAML; ``null`` removes the key.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

import yaml

from sagemaker_serving.errors import Finding, Findings
from sagemaker_serving.limits import suggest

Overrides = Mapping[tuple[str, ...], Any]

# how alike a key of the context and one of the configuration are, of 1, to be taken for a slip of the pen
_MISTYPED = 0.8


def settings_in(context: Mapping[str, object], keys: Iterable[str]) -> Overrides:
    """What the context says of settings: path to value.

    Args:
        context: The app's context.
        keys: The configuration's own keys.

    Raises:
        InvalidConfiguration: A value is no YAML, a path has an empty part, or it begins with what looks like
            a mistyped key of the configuration.
    """
    known = list(keys)
    findings = Findings("the command line (-c)")
    found: dict[tuple[str, ...], Any] = {}
    for key, text in context.items():
        path = tuple(key.split("."))
        if path[0] not in known:
            meant = difflib.get_close_matches(path[0], known, n=1, cutoff=_MISTYPED)
            findings.require(
                not meant,
                key,
                text,
                f"begins with no key of the configuration; these are {', '.join(known)}",
                f"did you mean {'.'.join([*meant, *path[1:]])}",
            )
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


def outer_first(overrides: Overrides) -> tuple[Overrides, Overrides]:
    """The overrides in whose values others go, and the rest.

    Args:
        overrides: See `settings_in`.
    """
    outer = {
        path: value
        for path, value in overrides.items()
        if any(len(other) > len(path) and other[: len(path)] == path for other in overrides)
    }
    return outer, {path: value for path, value in overrides.items() if path not in outer}


def apply(document: Any, overrides: Overrides, *, may_be_left_out: Callable[[tuple[str, ...]], bool]) -> Any:
    """A copy of the document with the overrides in it.

    Args:
        document: What the file holds; without keys it stays as it is.
        overrides: See `settings_in`; shorter paths first, so that a section can be given and then changed.
        may_be_left_out: Whether a path is a key of the configuration, which can be removed even if it is not
            there, and no entry that somebody named.

    Raises:
        InvalidConfiguration: A path goes through a value that has no keys, or removes an entry that is not
            there.
    """
    if not isinstance(document, dict):
        return document
    document = copy.deepcopy(document)
    findings = Findings("the command line (-c)")
    for path, value in sorted(overrides.items(), key=lambda item: len(item[0])):
        if value is None:
            _remove(findings, document, path, may_be_left_out)
        else:
            _set(findings, document, path, value)
    findings.raise_if_any()
    return document


def _set(findings: Findings, document: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    section = document
    for depth, step in enumerate(path[:-1], start=1):
        if section.get(step) is None:
            section[step] = {}
        section = section[step]
        if not _has_keys(findings, section, path, depth, value):
            return
    section[path[-1]] = value


def _remove(
    findings: Findings,
    document: dict[str, Any],
    path: tuple[str, ...],
    may_be_left_out: Callable[[tuple[str, ...]], bool],
) -> None:
    section = document
    for depth, step in enumerate(path, start=1):
        if step not in section:
            findings.require(
                may_be_left_out(path),
                ".".join(path),
                None,
                f"there is no {'.'.join(path[:depth])} to remove",
                suggest(step, map(str, section)) if section else "leave it out",
            )
            return
        if depth == len(path):
            del section[step]
            return
        section = {} if section[step] is None else section[step]
        if not _has_keys(findings, section, path, depth, None):
            return


def _has_keys(
    findings: Findings, section: object, path: tuple[str, ...], depth: int, value: object
) -> TypeGuard[dict[str, Any]]:
    return findings.require(
        isinstance(section, dict),
        ".".join(path),
        value,
        f"{'.'.join(path[:depth])} is {section!r} and has no keys",
        "give the key that holds the value",
    )


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
