"""Models that are described once, in config/models/<name>.yaml, and chosen by name: ``model: koelectra``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sagemaker_serving.errors import Finding, Findings
from sagemaker_serving.limits import suggest

FOLDER = "models"
"""Folder beside the environments' files."""

FUNCTION_PATTERN = "lambda"
"""The pattern whose model runs in a function, not in a SageMaker container."""

CONTAINER, FUNCTION = "container", "function"
"""The two parts of a model's file: what SageMaker's containers run, and what a function's image holds."""

_MODEL, _VERSIONS = "model", "versions"


def expand(document: Any, folder: Path, parse: Callable[[Path], object]) -> Any:
    """A copy of a configuration in which each model that is a name is what its file says.

    Args:
        document: The configuration; what has another shape than it should is left for its validation.
        folder: Where the environments' files are.
        parse: Reads a YAML file.

    Raises:
        InvalidConfiguration: There is no such model, or it cannot run where it is named.
    """
    patterns = document.get("patterns") if isinstance(document, dict) else None
    if not isinstance(patterns, dict):
        return document
    document = copy.deepcopy(document)
    there = {path.stem: path for path in sorted((folder / FOLDER).glob("*.yaml"))}
    findings = Findings("models that are named")
    for place, holder, key in list(_named(document["patterns"])):
        part = FUNCTION if place.startswith(f"patterns.{FUNCTION_PATTERN}.") else CONTAINER
        described = _described(findings, place, holder[key], there, parse, part)
        if described is not None:
            holder[key] = described
    findings.raise_if_any()
    return document


def _described(
    findings: Findings,
    place: str,
    name: str,
    there: Mapping[str, Path],
    parse: Callable[[Path], object],
    part: str,
) -> dict[str, Any] | None:
    if name not in there:
        findings.require(
            False,
            place,
            name,
            f"is none of the models in config/{FOLDER}: {', '.join(there) or 'there are none'}",
            suggest(name, there) if there else f"describe it in config/{FOLDER}/{name}.yaml",
        )
        return None
    content = parse(there[name])
    described = content.get(part) if isinstance(content, dict) else None
    if not isinstance(described, dict):
        findings.found.append(
            Finding(
                place,
                name,
                f"config/{FOLDER}/{name}.yaml has no section {part}, so this pattern cannot run it",
                f"add it, or name another of {', '.join(there)}",
            )
        )
        return None
    return dict(described)


def _named(patterns: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Places where a model is a name: where it is, what holds it, and under which key."""
    for pattern, section in patterns.items():
        if not isinstance(section, dict):
            continue
        holders = [(f"patterns.{pattern}", section)]
        holders += [
            (f"patterns.{pattern}.{name}", one)
            for name, one in section.items()
            if name == "shadow" and isinstance(one, dict)
        ]
        variants = section.get("variants")
        if isinstance(variants, dict):
            holders += [
                (f"patterns.{pattern}.variants.{name}", one)
                for name, one in variants.items()
                if isinstance(one, dict)
            ]
        for place, holder in holders:
            if isinstance(holder.get(_MODEL), str):
                yield f"{place}.{_MODEL}", holder, _MODEL
        versions = section.get(_VERSIONS)
        if isinstance(versions, dict):
            for name, one in versions.items():
                if isinstance(one, str):
                    yield f"patterns.{pattern}.{_VERSIONS}.{name}", versions, name
