"""Which containers of an instance answer a request: one, all in a row, or the one that is named."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import ServiceError
from sandbox.fleet.containers import Container
from sandbox.runtime.request import (
    ENABLE_EXPLANATIONS,
    INFERENCE_COMPONENT,
    TARGET_CONTAINER,
    TARGET_MODEL,
    Invocation,
)
from sandbox.store import Params

PRIMARY = "primary"


def check_targets(model: Params, invocation: Invocation) -> None:
    """Refuse targets that the endpoint's kind of model does not know.

    Args:
        model: The CreateModel request of the chosen variant.
        invocation: The request.

    Raises:
        ServiceError: ValidationError.
    """
    name = invocation.endpoint_name
    if invocation.get(INFERENCE_COMPONENT) is not None:
        raise ServiceError(
            "ValidationError",
            "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
            "inference components. Please remove Inference Component Name header.",
        )
    if invocation.get(TARGET_MODEL) is not None and not _is_multi_model(model):
        raise ServiceError(
            "ValidationError",
            f"Endpoint {name} is not a multi-model endpoint and does not support target model header.",
            ErrorCode="TARGET_MODEL_HEADER_NOT_SUPPORTED",
        )
    if invocation.get(ENABLE_EXPLANATIONS) is not None:
        raise ServiceError(
            "ValidationError", f"Endpoint {name} has no explainer and does not support EnableExplanations."
        )
    _check_hostname(model, invocation)


def is_direct(model: Params) -> bool:
    """Whether each request names its container (InferenceExecutionConfig, mode Direct)."""
    return (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct"


def called(model: Params, containers: Sequence[Container], invocation: Invocation) -> Sequence[Container]:
    """The containers of an instance that a request goes through, in order, at least one.

    Args:
        model: The CreateModel request.
        containers: All containers of the instance.
        invocation: The request, whose targets `check_targets` has accepted.
    """
    if not is_direct(model):
        return containers
    wanted = invocation.get(TARGET_CONTAINER)
    return [container for container in containers if container.hostname == wanted]


def display_name(model: Params, hostname: str) -> str:
    """The name of a container in messages."""
    return hostname if len(model.get("Containers") or ()) > 1 and hostname else PRIMARY


def _check_hostname(model: Params, invocation: Invocation) -> None:
    hostname, name = invocation.get(TARGET_CONTAINER), invocation.endpoint_name
    if not is_direct(model):
        if hostname is not None:
            raise ServiceError(
                "ValidationError",
                f"Endpoint {name} is not a multi-container endpoint in Direct mode and does not support "
                "target container hostname header.",
            )
        return
    hostnames = [container.get("ContainerHostname", "") for container in model["Containers"]]
    if hostname is None:
        raise ServiceError(
            "ValidationError",
            f"Endpoint {name} is a multi-container endpoint in Direct mode: the target container "
            f"hostname header is required. Its containers are: {', '.join(hostnames)}.",
        )
    if hostname not in hostnames:
        raise ServiceError(
            "ValidationError",
            f"Target container hostname {hostname} not found for endpoint {name}. "
            f"Its containers are: {', '.join(hostnames)}.",
        )


def _is_multi_model(model: Params) -> bool:
    containers = model.get("Containers") or [model.get("PrimaryContainer") or {}]
    return any(container.get("Mode") == "MultiModel" for container in containers)
