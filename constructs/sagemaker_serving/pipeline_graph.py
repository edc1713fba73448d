"""How the steps of a pipeline's definition hang together: names, branches, references and order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .errors import Findings, is_token
from .limits import suggest
from .pipeline_references import EXECUTION_VARIABLES, Reference, find_references
from .pipeline_steps import check_step, objects, output_parameters, property_files

NAME_PATTERN = r"[A-Za-z0-9\-_]{1,64}"
"""Names of steps and parameters (pipeline definition schema)."""

_SCHEMA = "pipeline definition schema"
_BRANCHES = "developer guide, condition step"


def check_name(findings: Findings, where: str, name: object) -> bool:
    """Note a finding unless the name of a step or parameter is legal; tokens pass.

    Args:
        findings: Where to note it.
        where: The member that holds the name.
        name: The name.

    Returns:
        Whether it passed.
    """
    return findings.require(
        lambda: isinstance(name, str) and re.fullmatch(NAME_PATTERN, name, re.ASCII) is not None,
        where,
        name,
        f"a name has 1 to 64 letters a-z A-Z, digits, hyphens and underscores ({_SCHEMA})",
        "use for example 'Train'",
    )


def check_graph(findings: Findings, content: Mapping[str, Any], parameters: set[str] | None) -> None:
    """Note a finding for everything that is wrong with the steps of a definition.

    Args:
        findings: Where to note it.
        content: The definition.
        parameters: Names of its parameters; None when they are not all known yet.
    """
    graph = _Graph(findings, parameters)
    graph.add(content["Steps"], "Steps", None)
    graph.connect()
    for reference in find_references(content.get("PipelineExperimentConfig"), "PipelineExperimentConfig"):
        graph.check_reference(reference)
    graph.check_order()


@dataclass
class _Step:
    body: dict[str, Any]
    # the condition step and its branch, IfSteps or ElseSteps
    branch: tuple[str, str] | None
    # names of the steps that must run before
    needs: set[str]


@dataclass
class _Graph:
    findings: Findings
    parameters: set[str] | None
    steps: dict[str, _Step] = field(default_factory=dict)
    # whether a step's name is a token, so that any name may exist
    unknown: bool = False

    def add(self, bodies: Any, where: str, branch: tuple[str, str] | None) -> None:
        """Take in the steps of a list, and those in their branches."""
        for place, body in objects(self.findings, where, bodies, "steps"):
            name: Any = body.get("Name")
            if is_token(name):
                self.unknown = True
                check_step(self.findings, place, body)
            elif not check_name(self.findings, f"{place}.Name", name):
                continue
            elif self._is_new(f"{place}.Name", name, branch):
                self.steps[name] = _Step(body, branch, {branch[0]} if branch else set())
                check_step(self.findings, f"Steps.{name}", body)
                self._add_branches(name, body, branch)

    def _is_new(self, where: str, name: str, branch: tuple[str, str] | None) -> bool:
        before = self.steps.get(name)
        other = before.branch if before else None
        rule, fix = f"no two steps have the same name ({_SCHEMA})", "rename one of them"
        if branch and other and branch[0] == other[0] and branch[1] != other[1]:
            rule = f"a step is in one branch of a condition only ({_BRANCHES})"
            fix = "give the other branch a step of another name"
        return self.findings.require(before is None, where, name, rule, fix)

    def _add_branches(self, name: str, body: dict[str, Any], branch: tuple[str, str] | None) -> None:
        arguments = body.get("Arguments")
        if body.get("Type") != "Condition" or not isinstance(arguments, dict):
            return
        self.findings.require(
            branch is None,
            f"Steps.{name}",
            f"in {'.'.join(branch or ())}",
            f"a condition step cannot be in a branch of another ({_BRANCHES})",
            "put both conditions into one step, or the second after the first",
        )
        for member in ("IfSteps", "ElseSteps"):
            self.add(arguments.get(member), f"Steps.{name}.Arguments.{member}", (name, member))

    def connect(self) -> None:
        """Find what every step waits for."""
        for name, step in self.steps.items():
            where = f"Steps.{name}.DependsOn"
            depends = step.body.get("DependsOn", [])
            if self.findings.require(
                isinstance(depends, list),
                where,
                depends,
                f"must be a list ({_SCHEMA})",
                "give names of steps",
            ):
                for index, before in enumerate(depends):
                    if self._exists(f"{where}[{index}]", before, before):
                        step.needs.add(before)
            for reference in _own_references(name, step.body):
                self.check_reference(reference)
                if reference.source == "Steps" and reference.name in self.steps:
                    step.needs.add(reference.name)

    def check_reference(self, reference: Reference) -> None:
        """Note a finding unless there is what a reference refers to."""
        where, text, name = reference.field, reference.text, reference.name
        match reference.source:
            case "Parameters":
                if self.parameters is not None:
                    rule = "refers to a parameter that the definition does not have"
                    fix = _closest(name, self.parameters, "declare the parameter")
                    self.findings.require(name in self.parameters, where, text, rule, fix)
            case "Execution":
                rule = "refers to a variable that an execution does not have (developer guide)"
                fix = suggest(name, EXECUTION_VARIABLES)
                self.findings.require(name in EXECUTION_VARIABLES, where, text, rule, fix)
            case "Steps":
                if self._exists(where, text, name) and name in self.steps:
                    self._check_path(reference, self.steps[name].body)
            case _:
                self.findings.require(
                    False,
                    where,
                    text,
                    f"a reference begins with Parameters., Steps. or Execution. and a name ({_SCHEMA})",
                    "write for example Parameters.InputData",
                )

    def _exists(self, where: str, text: object, name: object) -> bool:
        known = isinstance(name, str) and (self.unknown or name in self.steps)
        fix = _closest(str(name), self.steps, "add the step")
        return self.findings.require(
            known, where, text, "refers to a step that the definition does not have", fix
        )

    def _check_path(self, reference: Reference, body: dict[str, Any]) -> None:
        """What a reference takes of a step, as far as the definition says what there is."""
        where, text, path = reference.field, reference.text, reference.path
        rule = "refers to a step, but to nothing of it"
        self.findings.require(
            bool(path), where, text, rule, f"write for example {text}.ModelArtifacts.S3ModelArtifacts"
        )
        for member, what, names in (
            ("PropertyFiles", "a property file", property_files(body)),
            ("OutputParameters", "an output parameter", output_parameters(body)),
        ):
            if path[:1] == (member,):
                given = path[1] if len(path) > 1 else ""
                self.findings.require(
                    given in names or any(is_token(name) for name in names),
                    where,
                    text,
                    f"refers to {what} that step {reference.name} does not have",
                    _closest(given, names, f"give the step {what} of this name"),
                )

    def check_order(self) -> None:
        """Note a finding for every cycle."""
        left = {name: sorted(step.needs & set(self.steps)) for name, step in self.steps.items()}
        while cycle := _cycle(left):
            self.findings.require(
                False,
                "Steps",
                " -> ".join(cycle),
                "each of these steps waits for the one before, so that none can begin",
                "take one DependsOn or reference away",
            )
            # one finding for each step is enough
            left = {name: needs for name, needs in left.items() if name not in cycle}


def _cycle(needs: dict[str, list[str]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _own_references(name: str, body: dict[str, Any]) -> list[Reference]:
    """References of a step, without those of the steps in its branches."""
    found: list[Reference] = []
    for member, value in body.items():
        where, part = f"Steps.{name}.{member}", value
        if member == "Arguments" and body.get("Type") == "Condition" and isinstance(value, dict):
            where, part = f"{where}.Conditions", value.get("Conditions")
        found += find_references(part, where)
    return found


def _closest(name: str, known: Any, otherwise: str) -> str:
    return suggest(name, sorted(known)) if known else otherwise
