"""Reads a pipeline's definition: its parameters, and which step waits for which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from client.errors import UserError

_BRANCHES = {"IfSteps": True, "ElseSteps": False}
_STEP_REFERENCE = re.compile(r"Steps\.([\w-]+)")


@dataclass(frozen=True)
class Step:
    """A step of a definition.

    Args:
        name: Its name.
        type: Its type, for example ``Training``.
        needs: Names of the steps that it waits for: those that it refers to, and its ``DependsOn``.
        branch: Condition step that it stands in, and the outcome at which it runs; None for none.
    """

    name: str
    type: str
    needs: frozenset[str] = frozenset()
    branch: tuple[str, bool] | None = None


@dataclass(frozen=True)
class Edge:
    """One step comes before another.

    Args:
        before: Name of the step that comes first.
        after: Name of the other.
        outcome: The condition's outcome that leads from one to the other; None if `before` is no condition
            in one of whose branches `after` stands.
    """

    before: str
    after: str
    outcome: bool | None = None


@dataclass(frozen=True)
class Definition:
    """What a pipeline does.

    Args:
        parameters: As the definition declares them.
        steps: By name; each after all that it waits for.
    """

    parameters: tuple[Mapping[str, Any], ...]
    steps: Mapping[str, Step]

    @classmethod
    def parse(cls, text: str) -> Definition:
        """Read ``PipelineDefinition`` of the API.

        Raises:
            UserError: It is no definition, or its steps wait for each other in a circle.
        """
        try:
            document = json.loads(text)
            steps = {step.name: step for step in _steps(document["Steps"], None)}
            parameters = tuple(document.get("Parameters") or ())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"The pipeline's definition cannot be read: {type(error).__name__}: {error}",
                "Deploy the pattern again, or update the pipeline with a definition of version 2020-12-01.",
            ) from error
        known = {
            name: Step(name, step.type, step.needs & steps.keys() - {name}, step.branch)
            for name, step in steps.items()
        }
        return cls(parameters, {name: known[name] for name in _in_order(known)})

    def edges(self) -> list[Edge]:
        """What comes directly before what; nothing that follows from other edges."""
        before = {name: _before(step) for name, step in self.steps.items()}
        all_before: dict[str, set[str]] = {}
        for name in self.steps:
            all_before[name] = set(before[name]).union(*(all_before[one] for one in before[name]))
        found = []
        for name, step in self.steps.items():
            for one in sorted(before[name], key=list(self.steps).index):
                if any(one in all_before[other] for other in before[name]):
                    continue
                taken = step.branch[1] if step.branch and step.branch[0] == one else None
                found.append(Edge(one, name, taken))
        return found

    def not_taken(self, outcomes: Mapping[str, bool]) -> set[str]:
        """Names of the steps that no longer can run, because a condition went the other way.

        Args:
            outcomes: Outcome of each condition step that is known.
        """
        found: set[str] = set()
        for name, step in self.steps.items():
            other_way = step.branch and outcomes.get(step.branch[0], step.branch[1]) != step.branch[1]
            if other_way or _before(step) & found:
                found.add(name)
        return found


def _before(step: Step) -> frozenset[str]:
    return step.needs | ({step.branch[0]} if step.branch else frozenset())


def _steps(bodies: list[Any], branch: tuple[str, bool] | None) -> Iterator[Step]:
    for body in bodies:
        name, kind, arguments = body["Name"], body["Type"], body.get("Arguments") or {}
        own = {key: value for key, value in arguments.items() if kind != "Condition" or key not in _BRANCHES}
        needs = {*_references(own), *body.get("DependsOn", ())}
        yield Step(name, kind, frozenset(needs), branch)
        if kind == "Condition":
            for key, outcome in _BRANCHES.items():
                yield from _steps(arguments.get(key) or [], (name, outcome))


def _references(value: Any) -> Iterator[str]:
    """Names of the steps that a value refers to."""
    if isinstance(value, dict):
        match = _STEP_REFERENCE.match(str(value.get("Get", "")))
        if match:
            yield match[1]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def _in_order(steps: Mapping[str, Step]) -> list[str]:
    try:
        # every name first and the rest sorted: steps that could be in either order stay as they were written
        sorter = TopologicalSorter({name: () for name in steps})
        for name, step in steps.items():
            sorter.add(name, *sorted(_before(step)))
        return list(sorter.static_order())
    except CycleError as error:
        raise UserError(
            f"The pipeline's steps wait for each other: {' -> '.join(error.args[1])}",
            "Correct the definition: take one of these references away.",
        ) from error
