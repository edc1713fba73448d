"""Pipeline definitions: read and checked, all findings at once.

Schema: aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema, version 2020-12-01.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.errors import ServiceError
from sandbox.pipelines import conditions, parameters, retries
from sandbox.pipelines.caching import duration
from sandbox.pipelines.references import EXECUTION_VARIABLES, BadPath, Reference, references
from sandbox.store import Params

RUN_TYPES = {
    "Processing",
    "Training",
    "Transform",
    "Model",
    "RegisterModel",
    "Condition",
    "Lambda",
    "Fail",
}
"""Types that the sandbox runs."""
# types of the schema and of the API's step metadata besides
_OTHER_TYPES = {
    "AutoML",
    "BedrockCustomModel",
    "BedrockCustomModelDeployment",
    "BedrockModelImport",
    "BedrockProvisionedModelThroughput",
    "Callback",
    "ClarifyCheck",
    "Cleanup",
    "EMR",
    "EMRServerless",
    "Endpoint",
    "EndpointConfig",
    "ForEach",
    "HubContent",
    "InferenceComponent",
    "Job",
    "Lineage",
    "Athena",
    "QualityCheck",
    "Tuning",
}
_VERSION = "2020-12-01"
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_MOST_PARAMETERS = 200


@dataclass
class Step:
    """A step of a definition.

    Args:
        name: Its name.
        type: Its type.
        body: As it is in the definition.
        branch: Condition step and outcome that it waits for, if it is in a branch.
        needs: Names of the steps that must have succeeded before.
        references: What it refers to.
    """

    name: str
    type: str
    body: Params
    branch: tuple[str, bool] | None
    needs: set[str] = field(default_factory=set)
    references: list[Reference] = field(default_factory=list)


@dataclass
class Definition:
    """A definition.

    Args:
        parameters: Its Parameters.
        steps: All steps by name, those in branches included.
    """

    parameters: list[Params]
    steps: dict[str, Step]


def check_definition(text: str) -> Definition:
    """Read a definition.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"It is not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("Steps"), list):
        raise _refused("It must be an object with a list of Steps.")
    reader = _Reader()
    definition = reader.read(content)
    if reader.findings:
        raise _refused("; ".join(reader.findings) + ".")
    return definition


def _refused(what: str) -> ServiceError:
    return ServiceError("ValidationException", f"Unable to parse pipeline definition. {what}")


class _Reader:
    """One walk through a definition."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self._steps: dict[str, Step] = {}

    def read(self, content: Params) -> Definition:
        if content.get("Version", _VERSION) != _VERSION:
            self.findings.append(f"the Version {content['Version']!r} is unknown; it must be {_VERSION}")
        declared = self._parameters(content.get("Parameters", []))
        for body in content["Steps"]:
            self._step(body, None)
        for step in self._steps.values():
            self._connect(step, {parameter["Name"] for parameter in declared})
        self._experiment(content.get("PipelineExperimentConfig"), {each["Name"] for each in declared})
        self._cycles()
        return Definition(declared, self._steps)

    def _experiment(self, config: Any, declared: set[str]) -> None:
        """Names of an experiment and a trial; null for none. The sandbox makes neither."""
        where = "PipelineExperimentConfig"
        if config is None:
            return
        if not isinstance(config, dict):
            self.findings.append(f"{where} must be an object or null")
            return
        try:
            found = list(references(config))
        except BadPath as error:
            self.findings.append(f"{where}: {error}")
            return
        for reference in found:
            if reference.source == "Steps":
                self.findings.append(f"{where} refers to step {reference.name!r}; it is made before any step")
            else:
                self.findings += [f"{where} {finding}" for finding in self._dangling(reference, declared)]

    def _parameters(self, given: Any) -> list[Params]:
        if not isinstance(given, list):
            self.findings.append("Parameters must be a list")
            return []
        declared: dict[str, Params] = {}
        for parameter in given:
            name = parameter.get("Name") if isinstance(parameter, dict) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                self.findings.append(f"a parameter has the name {name!r}, which must match {_NAME.pattern}")
            elif name in declared:
                self.findings.append(f"the parameter name {name!r} comes twice")
            else:
                declared[name] = parameter
                self.findings += parameters.default_problems(parameter)
        if len(given) > _MOST_PARAMETERS:
            self.findings.append(f"there are {len(given)} parameters; {_MOST_PARAMETERS} are allowed")
        return list(declared.values())

    def _step(self, body: Any, branch: tuple[str, bool] | None) -> None:
        name = body.get("Name") if isinstance(body, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.findings.append(f"a step has the name {name!r}, which must match {_NAME.pattern}")
            return
        if name in self._steps:
            self.findings.append(f"the step name {name!r} comes twice; names of steps must be unique")
            return
        step = Step(name, str(body.get("Type")), body, branch)
        self._steps[name] = step
        self.findings += [f"step {name!r}: {finding}" for finding in _step_problems(step)]
        arguments = body.get("Arguments")
        if step.type == "Condition" and isinstance(arguments, dict):
            for member, outcome in (("IfSteps", True), ("ElseSteps", False)):
                inner = arguments.get(member, [])
                if not isinstance(inner, list):
                    self.findings.append(f"step {name!r}: {member} must be a list")
                    continue
                for each in inner:
                    self._step(each, (name, outcome))

    def _connect(self, step: Step, declared: set[str]) -> None:
        """Find what a step waits for."""
        where = f"step {step.name!r}"
        if step.branch is not None:
            step.needs.add(step.branch[0])
        depends = step.body.get("DependsOn", [])
        if not isinstance(depends, list):
            self.findings.append(f"{where}: DependsOn must be a list of names of steps")
            depends = []
        for name in depends:
            if isinstance(name, str) and name in self._steps:
                step.needs.add(name)
            else:
                self.findings.append(f"{where} depends on step {name!r}, which does not exist")
        try:
            step.references = list(references(_own_part(step)))
        except BadPath as error:
            self.findings.append(f"{where}: {error}")
        for reference in step.references:
            self.findings += [f"{where} {finding}" for finding in self._dangling(reference, declared)]
            if reference.source == "Steps" and reference.name in self._steps:
                step.needs.add(reference.name)

    def _dangling(self, reference: Reference, declared: set[str]) -> Iterator[str]:
        name = reference.name
        if reference.source == "Parameters" and name not in declared:
            yield f"refers to parameter {name!r}, which does not exist"
        elif reference.source == "Execution" and name not in EXECUTION_VARIABLES:
            yield (
                f"refers to Execution.{name}, which does not exist; there are "
                f"{', '.join(sorted(EXECUTION_VARIABLES))}"
            )
        elif reference.source == "Steps" and name not in self._steps:
            yield f"refers to step {name!r}, which does not exist"
        elif reference.source == "Steps" and reference.rest[:1] == ("PropertyFiles",):
            files = property_files(self._steps[name].body)
            if len(reference.rest) < 2 or reference.rest[1] not in files:
                yield f"refers to property file {reference.rest[1:]} of step {name!r}, which it does not have"
        elif reference.source == "Steps" and not reference.rest:
            yield f"refers to step {name!r} without a property of it"

    def _cycles(self) -> None:
        """Take away steps that wait for nothing until none is left, or a cycle."""
        left = {name: set(step.needs) for name, step in self._steps.items()}
        while ready := [name for name, needs in left.items() if not needs]:
            for name in ready:
                del left[name]
            for needs in left.values():
                needs.difference_update(ready)
        if left:
            self.findings.append(f"the steps form a cycle: {' -> '.join(_cycle(left))}")


def _cycle(needs: dict[str, set[str]]) -> list[str]:
    path: list[str] = []
    name = min(needs)
    while name not in path:
        path.append(name)
        name = min(needs[name] & set(needs))
    return [*path[path.index(name) :], name]


def _own_part(step: Step) -> Any:
    """A step without what are other steps or no references."""
    if step.type != "Condition":
        return {key: step.body.get(key) for key in ("Arguments", "FunctionArn", "ExperimentConfig")}
    arguments = step.body.get("Arguments")
    return arguments.get("Conditions") if isinstance(arguments, dict) else None


def property_files(body: Params) -> dict[str, Params]:
    """PropertyFiles of a step, by name."""
    given = body.get("PropertyFiles", [])
    files = given if isinstance(given, list) else []
    return {str(file.get("PropertyFileName")): file for file in files if isinstance(file, dict)}


def _step_problems(step: Step) -> Iterator[str]:
    """What is wrong with a step in itself."""
    body = step.body
    if step.type not in RUN_TYPES | _OTHER_TYPES:
        yield f"the type {step.type!r} is unknown; types are {', '.join(sorted(RUN_TYPES | _OTHER_TYPES))}"
        return
    arguments = body.get("Arguments", {} if step.type in ("Lambda", "Callback") else None)
    if not isinstance(arguments, dict):
        yield "Arguments must be an object"
        return
    if step.type == "Condition":
        given = arguments.get("Conditions")
        if not isinstance(given, list) or not given:
            yield "Arguments.Conditions must be a list of at least one condition"
        else:
            for condition in given:
                yield from conditions.problems(condition)
    if step.type == "Lambda":
        yield from _lambda_problems(body)
    if step.type == "Fail" and "ErrorMessage" not in arguments:
        yield "Arguments.ErrorMessage is missing"
    yield from _cache_problems(body)
    yield from _property_file_problems(step)
    if "RetryPolicies" in body:
        yield from retries.problems(body["RetryPolicies"], step.type)


def _lambda_problems(body: Params) -> Iterator[str]:
    if not body.get("FunctionArn"):
        yield "FunctionArn is missing"
    outputs = body.get("OutputParameters", [])
    if not isinstance(outputs, list):
        yield "OutputParameters must be a list"
        return
    for output in outputs:
        name = output.get("OutputName") if isinstance(output, dict) else None
        if not name:
            yield "an output parameter has no OutputName"
        elif str(output.get("OutputType")) not in parameters.TYPES:
            yield (
                f"the output parameter {name!r} has the type {output.get('OutputType')!r}; types are "
                f"{', '.join(parameters.TYPES)}"
            )


def _cache_problems(body: Params) -> Iterator[str]:
    config = body.get("CacheConfig")
    if config is None:
        return
    if not isinstance(config, dict) or not isinstance(config.get("Enabled"), bool):
        yield "CacheConfig must be an object with Enabled, true or false"
    elif "ExpireAfter" in config:
        try:
            duration(config["ExpireAfter"])
        except ValueError as error:
            yield f"CacheConfig.ExpireAfter {error}"


def _property_file_problems(step: Step) -> Iterator[str]:
    files = step.body.get("PropertyFiles")
    if files is None:
        return
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        yield "PropertyFiles must be a list of objects"
        return
    if files and step.type != "Processing":
        yield "PropertyFiles are for steps of type Processing"
    config = step.body.get("Arguments", {}).get("ProcessingOutputConfig")
    outputs = config.get("Outputs", []) if isinstance(config, dict) else []
    known = [output.get("OutputName") for output in outputs if isinstance(output, dict)]
    for file in files:
        absent = [name for name in ("PropertyFileName", "OutputName", "FilePath") if not file.get(name)]
        if absent:
            yield f"a property file has no {', '.join(absent)}"
        elif file["OutputName"] not in known:
            yield (
                f"the property file {file['PropertyFileName']!r} is in the output {file['OutputName']!r}, "
                "which the step does not have"
            )
