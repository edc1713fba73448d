"""What one step of a pipeline's definition must hold.

Rules: the published JSON schema of pipeline definitions, version 2020-12-01; API shape
PipelineExecutionStepMetadata for step types that the schema does not list; developer guide, "Caching pipeline
steps", "Retry policy for pipeline steps", "Property files", "Lambda step" and "Condition step".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .errors import Findings, is_token
from .limits import check_integer, check_number, suggest
from .pipeline_references import is_reference

STEP_TYPES = (
    "Athena",
    "AutoML",
    "BedrockCustomModel",
    "BedrockCustomModelDeployment",
    "BedrockModelImport",
    "BedrockProvisionedModelThroughput",
    "Callback",
    "ClarifyCheck",
    "Cleanup",
    "Condition",
    "EMR",
    "EMRServerless",
    "Endpoint",
    "EndpointConfig",
    "Fail",
    "ForEach",
    "HubContent",
    "InferenceComponent",
    "Job",
    "Lambda",
    "Lineage",
    "Model",
    "Processing",
    "QualityCheck",
    "RegisterModel",
    "Training",
    "Transform",
    "Tuning",
)
"""Types of the definition schema, and of the API's step metadata besides."""

VALUE_TYPES = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
"""Types of parameters and of a Lambda step's outputs."""

RETRIED_TYPES = ("AutoML", "Model", "Processing", "RegisterModel", "Training", "Transform", "Tuning")
"""Types of step that may have retry policies."""

EXCEPTION_TYPES = (
    "Emr.RESOURCE_LIMIT",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.RESOURCE_LIMIT",
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
)
"""What a retry policy may react to."""

MAX_RETRY = {"IntervalSeconds": 43_200, "MaxAttempts": 20, "ExpireAfterMin": 14_400}
"""Largest values of a retry policy: 12 hours, attempts, 10 days."""

_SCHEMA = "pipeline definition schema"
_CACHING = "developer guide, caching pipeline steps"
_RETRY = "developer guide, retry policy for pipeline steps"
_COMPARISONS = (
    "Equals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "LessThan",
    "LessThanOrEqualTo",
    "NotEquals",
)
_CONDITIONS = (*_COMPARISONS, "In", "Not", "NotIn", "Or")
# ISO 8601; the guide also writes 30d and T16m
_DURATION = re.compile(
    r"P?(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?", re.IGNORECASE | re.ASCII
)


def check_step(findings: Findings, field: str, step: dict[str, Any]) -> None:
    """Note a finding for everything that is wrong with a step in itself.

    Args:
        findings: Where to note it.
        field: Where the step stands, for example ``Steps.Train``.
        step: The step.
    """
    kind = step.get("Type")
    if is_token(kind):
        return
    if not findings.require(
        kind in STEP_TYPES,
        f"{field}.Type",
        kind,
        f"must be a type of step ({_SCHEMA}, API shape PipelineExecutionStepMetadata)",
        suggest(str(kind), STEP_TYPES),
    ):
        return
    arguments: Any = step.get("Arguments", {} if kind in ("Lambda", "Callback") else None)
    if not findings.require(
        isinstance(arguments, dict),
        f"{field}.Arguments",
        arguments,
        f"a step of type {kind} has Arguments, an object ({_SCHEMA})",
        "give the arguments of the API call that the step makes",
    ):
        return
    if kind == "Condition":
        _check_conditions(findings, f"{field}.Arguments.Conditions", arguments.get("Conditions"))
    if kind == "Lambda":
        _check_lambda(findings, field, step, arguments)
    for member, kinds in (("FunctionArn", "Lambda"), ("SqsQueueUrl", "Callback")):
        if kind == kinds:
            _require_member(findings, field, step, member)
    if kind == "Fail":
        _require_member(findings, f"{field}.Arguments", arguments, "ErrorMessage")
    _check_cache(findings, f"{field}.CacheConfig", step.get("CacheConfig"))
    _check_property_files(findings, field, step, arguments)
    _check_retries(findings, f"{field}.RetryPolicies", step.get("RetryPolicies"), str(kind))


def property_files(step: dict[str, Any]) -> list[str]:
    """Names of a step's property files.

    Args:
        step: The step.
    """
    return _texts(step.get("PropertyFiles"), "PropertyFileName")


def output_parameters(step: dict[str, Any]) -> list[str]:
    """Names of what a Lambda or callback step returns.

    Args:
        step: The step.
    """
    return _texts(step.get("OutputParameters"), "OutputName")


def objects(findings: Findings, field: str, value: Any, what: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with where it stands; a finding for everything else.

    Args:
        findings: Where to note it.
        field: Where the list stands.
        value: What should be a list of objects; None is an empty one.
        what: What the objects are, for the finding.
    """
    fix = f"give a list of {what}, each an object"
    if value is None or is_token(value):
        return []
    if not findings.require(isinstance(value, list), field, value, f"must be a list ({_SCHEMA})", fix):
        return []
    found = [(f"{field}[{index}]", item) for index, item in enumerate(value) if not is_token(item)]
    rule = f"must be an object ({_SCHEMA})"
    return [pair for pair in found if findings.require(isinstance(pair[1], dict), *pair, rule, fix)]


def _texts(value: Any, member: str) -> list[str]:
    items = value if isinstance(value, list) else []
    return [str(item.get(member)) for item in items if isinstance(item, dict)]


def _require_member(findings: Findings, field: str, holder: dict[str, Any], member: str) -> None:
    value = holder.get(member)
    findings.require(
        bool(value), f"{field}.{member}", value, f"must be given ({_SCHEMA})", f"give {member} a value"
    )


def _check_conditions(findings: Findings, field: str, conditions: Any) -> None:
    """All conditions of a step or of an Or."""
    if not findings.require(
        isinstance(conditions, list) and bool(conditions),
        field,
        conditions,
        f"must be a list of at least one condition ({_SCHEMA})",
        "give a condition, for example one of type GreaterThanOrEqualTo",
    ):
        return
    for where, condition in objects(findings, field, conditions, "conditions"):
        _check_condition(findings, where, condition)


def _check_condition(findings: Findings, field: str, condition: dict[str, Any]) -> None:
    kind = condition.get("Type")
    rule = f"must be a type of condition ({_SCHEMA})"
    if is_token(kind) or not findings.require(
        kind in _CONDITIONS, f"{field}.Type", kind, rule, suggest(str(kind), _CONDITIONS)
    ):
        return
    if kind == "Or":
        _check_conditions(findings, f"{field}.Conditions", condition.get("Conditions"))
        return
    if kind == "Not":
        for where, inner in objects(
            findings, f"{field}.Condition", [condition.get("Condition")], "conditions"
        ):
            _check_condition(findings, where.removesuffix("[0]"), inner)
        return
    # In and NotIn: the SDK writes QueryValue and Values, the published schema Value and In
    pairs = (
        {"LeftValue": (), "RightValue": ()}
        if kind in _COMPARISONS
        else {
            "QueryValue": ("Value",),
            "Values": ("In",),
        }
    )
    for member, other in pairs.items():
        findings.require(
            bool({member, *other} & set(condition)),
            f"{field}.{member}",
            None,
            f"a condition of type {kind} has {' and '.join(pairs)} ({_SCHEMA})",
            f"give {member}, a value or a reference",
        )


def _check_lambda(findings: Findings, field: str, step: dict[str, Any], arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        findings.require(
            not isinstance(value, list | dict) or is_reference(value),
            f"{field}.Arguments.{name}",
            value,
            "the arguments of a Lambda step are strings, numbers, truth values or references; nested ones "
            "become text (developer guide, Lambda step)",
            "give its parts as arguments of their own",
        )
    outputs = objects(
        findings, f"{field}.OutputParameters", step.get("OutputParameters"), "output parameters"
    )
    for where, output in outputs:
        _require_member(findings, where, output, "OutputName")
        kind = output.get("OutputType")
        findings.require(
            kind in tuple(VALUE_TYPES),
            f"{where}.OutputType",
            kind,
            f"must be a type of value ({_SCHEMA})",
            suggest(str(kind), VALUE_TYPES),
        )


def _check_cache(findings: Findings, field: str, config: Any) -> None:
    if config is None:
        return
    fix = "give for example {'Enabled': true, 'ExpireAfter': 'P30D'}"
    if not findings.require(isinstance(config, dict), field, config, f"must be an object ({_CACHING})", fix):
        return
    enabled = config.get("Enabled")
    findings.require(
        isinstance(enabled, bool), f"{field}.Enabled", enabled, f"must be true or false ({_CACHING})", fix
    )
    if "ExpireAfter" in config:
        expiry = config["ExpireAfter"]
        findings.require(
            lambda: _is_duration(expiry),
            f"{field}.ExpireAfter",
            expiry,
            f"must be an ISO 8601 duration ({_CACHING})",
            "give for example P30D for 30 days or PT1H for an hour",
        )


def _is_duration(value: object) -> bool:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return match is not None and any(match.groups())


def _check_property_files(
    findings: Findings, field: str, step: dict[str, Any], arguments: dict[str, Any]
) -> None:
    files = objects(findings, f"{field}.PropertyFiles", step.get("PropertyFiles"), "property files")
    source = "developer guide, property files"
    findings.require(
        not files or step["Type"] == "Processing",
        f"{field}.PropertyFiles",
        property_files(step),
        f"only a step of type Processing has property files ({source})",
        "take them away, or read the value with JsonGet from an S3Uri",
    )
    config = arguments.get("ProcessingOutputConfig")
    outputs = _texts(config.get("Outputs") if isinstance(config, dict) else None, "OutputName")
    names = property_files(step)
    for where, file in files:
        for member in ("PropertyFileName", "FilePath"):
            _require_member(findings, where, file, member)
        name, output = file.get("PropertyFileName"), file.get("OutputName")
        findings.require(
            names.count(str(name)) == 1,
            f"{where}.PropertyFileName",
            name,
            "no two property files of a step have the same name",
            "rename one of them",
        )
        findings.require(
            output in outputs or any(is_token(known) for known in outputs),
            f"{where}.OutputName",
            output,
            f"must be an output of the step's ProcessingOutputConfig ({source})",
            suggest(str(output), outputs) if outputs else "give the step an output of this name",
        )


def _check_retries(findings: Findings, field: str, policies: Any, kind: str) -> None:
    found = objects(findings, field, policies, "retry policies")
    findings.require(
        not found or kind in RETRIED_TYPES,
        field,
        f"{len(found)} for a step of type {kind}",
        f"only steps of types {', '.join(RETRIED_TYPES)} are retried ({_RETRY})",
        "take the policies away",
    )
    for where, policy in found:
        _check_retry(findings, where, policy)


def _check_retry(findings: Findings, field: str, policy: dict[str, Any]) -> None:
    # a text in the schema, a list in the guide and from the SDK
    given = policy.get("ExceptionType")
    kinds: Iterable[Any] = given if isinstance(given, list) and given else [given]
    for kind in kinds:
        findings.require(
            kind in EXCEPTION_TYPES,
            f"{field}.ExceptionType",
            kind,
            f"must be a type of exception ({_RETRY})",
            suggest(str(kind), EXCEPTION_TYPES),
        )
    findings.require(
        not {"MaxAttempts", "ExpireAfterMin"} <= set(policy),
        field,
        {member: policy.get(member) for member in ("MaxAttempts", "ExpireAfterMin")},
        f"MaxAttempts and ExpireAfterMin exclude each other ({_RETRY})",
        "give one of them",
    )
    for member, high in MAX_RETRY.items():
        if member in policy:
            check_integer(findings, f"{field}.{member}", policy[member], low=1, high=high, source=_RETRY)
    if "BackoffRate" in policy:
        check_number(findings, f"{field}.BackoffRate", policy["BackoffRate"], low=1, source=_RETRY)
