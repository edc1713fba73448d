"""An engine that notes what resource handlers ask of it, and answers as the API would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.cloudformation import RESOURCES, Resource
from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

SCOPE = Scope("000000000000", "ap-northeast-2")
ENDPOINT = SCOPE.arn("endpoint/shop")
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/shop/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


class Engine:
    """Notes calls; answers by operation, either always the same or one after the other."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Params]] = []
        self._waiting: dict[str, Iterator[Any]] = {}

    def __call__(self, service: str, operation: str, params: Params, scope: Scope) -> Params:
        assert scope == SCOPE
        assert service == ("application-autoscaling" if "Sc" in operation else "sagemaker")
        self.calls.append((operation, params))
        answer = self.answers.get(operation, {})
        if isinstance(answer, list):
            answer = next(self._waiting.setdefault(operation, iter(answer)))
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def of(self, operation: str) -> list[Params]:
        return [params for name, params in self.calls if name == operation]

    @property
    def operations(self) -> list[str]:
        return [name for name, _ in self.calls]


def resource(type_name: str) -> Resource:
    return next(resource for resource in RESOURCES if resource.type_name == type_name)


def endpoint(status: str, config: str = "old", reason: str | None = None) -> Params:
    described = {"EndpointName": "shop", "EndpointStatus": status, "EndpointConfigName": config}
    return described | ({"FailureReason": reason} if reason else {})


def gone(kind: str = "endpoint") -> ServiceError:
    return ServiceError("ValidationException", f'Could not find {kind} "{SCOPE.arn(f"{kind}/shop")}".')
