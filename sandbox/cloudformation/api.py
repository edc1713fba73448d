"""The APIs as a resource handler calls them: for one account and Region, with a template's loose types."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

Call = Callable[[str, str, Params, Scope], Params]

SAGEMAKER = "sagemaker"
AUTOSCALING = "application-autoscaling"

# shapes that a lookup of something deleted answers with
_GONE_CODES = {"ObjectNotFoundException", "ResourceNotFound", "ResourceNotFoundException"}
_GONE_WORDS = ("could not find", "does not exist", "not found")


class ResourceFailed(Exception):
    """A resource cannot be brought to what the template says; the text is its status reason."""


class Api:
    """Calls the emulated APIs from a worker thread.

    Args:
        call: ``Engine.call``.
        scope: Account and Region of the stack.
    """

    def __init__(self, call: Call, scope: Scope) -> None:
        self._call = call
        self.scope = scope

    def call(self, service: str, operation: str, params: Params) -> Params:
        """Call an operation with properties of a template.

        CloudFormation lets a number or a boolean be written as a string, as parameters always are, and
        turns them into what the API takes; so does this.

        Args:
            service: ``sagemaker`` or ``application-autoscaling``.
            operation: Its name in the API.
            params: Parameters; those that are None are left out.

        Raises:
            ServiceError: The API's own error.
        """
        given = {name: value for name, value in params.items() if value is not None}
        return self._call(service, operation, _convert(given, _input_types(service)[operation]), self.scope)

    def sagemaker(self, operation: str, **params: Any) -> Params:
        """`call` for ``sagemaker``."""
        return self.call(SAGEMAKER, operation, params)

    def autoscaling(self, operation: str, **params: Any) -> Params:
        """`call` for ``application-autoscaling``."""
        return self.call(AUTOSCALING, operation, params)

    def is_gone(self, error: ServiceError) -> bool:
        """Whether an error says that the thing asked for does not exist."""
        return error.code in _GONE_CODES or (
            error.code == "ValidationException" and any(word in error.message.lower() for word in _GONE_WORDS)
        )


# what the handlers call with properties of templates
_OPERATIONS = {
    SAGEMAKER: (
        "CreateModel",
        "DeleteModel",
        "CreateEndpointConfig",
        "DeleteEndpointConfig",
        "CreateEndpoint",
        "UpdateEndpoint",
        "DescribeEndpoint",
        "DeleteEndpoint",
        "CreateModelPackageGroup",
        "DescribeModelPackageGroup",
        "DeleteModelPackageGroup",
        "PutModelPackageGroupPolicy",
        "DeleteModelPackageGroupPolicy",
        "CreateModelPackage",
        "DescribeModelPackage",
        "UpdateModelPackage",
        "DeleteModelPackage",
        "CreatePipeline",
        "UpdatePipeline",
        "DeletePipeline",
        "AddTags",
        "DeleteTags",
    ),
    AUTOSCALING: (
        "RegisterScalableTarget",
        "DescribeScalableTargets",
        "DeregisterScalableTarget",
        "PutScheduledAction",
        "DeleteScheduledAction",
        "PutScalingPolicy",
        "DescribeScalingPolicies",
        "DeleteScalingPolicy",
        "TagResource",
        "UntagResource",
    ),
}


@cache
def _input_types(service: str) -> dict[str, Any]:
    """Types of the operations' inputs: a dict is a structure, a list a list, a tuple a map, a string a leaf.

    Only these are kept: the service model with its documentation takes tens of megabytes.
    """
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    return {name: _types(model.operation_model(name).input_shape) for name in _OPERATIONS[service]}


def _types(shape: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {name: _types(member) for name, member in shape.members.items()}
        case "list":
            return [_types(shape.member)]
        case "map":
            return (_types(shape.value),)
        case leaf:
            return leaf


def _convert(value: Any, types: Any) -> Any:
    """The value as the API wants it; what does not fit is left for the API to refuse."""
    match types, value:
        case dict(), dict():
            return {
                name: _convert(item, types[name]) if name in types else item for name, item in value.items()
            }
        case [inner], list():
            return [_convert(item, inner) for item in value]
        case (inner,), dict():
            return {name: _convert(item, inner) for name, item in value.items()}
        case str(), str() | int() | float() | bool():
            return _leaf(value, types)
    return value


def _leaf(value: str | int | float | bool, kind: str) -> Any:
    match kind, value:
        case "string", bool():
            return "true" if value else "false"
        case "string", int() | float():
            return str(value)
        case "boolean", "true" | "false" | "True" | "False":
            return value.lower() == "true"
        case "integer" | "long", str() | float():
            return _number(value, int)
        case "float" | "double", str():
            return _number(value, float)
    return value


def _number(value: str | float, kind: type[int] | type[float]) -> Any:
    try:
        number = float(value)
        # 1.5 instances stay 1.5, and the API says what is wrong with that
        return int(number) if kind is int and number.is_integer() else number if kind is float else value
    except (ValueError, OverflowError):
        return value
