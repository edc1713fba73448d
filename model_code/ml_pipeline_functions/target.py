"""What an endpoint is to become: its settings and a version, and the name that both give."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry import Version

MAX_NAME = 63
"""Characters of a model's and an endpoint configuration's name (API shapes ModelName, EndpointConfigName)."""

_DIGITS = 12
# members of a container that decide what is served; see ModelPackageContainerDefinition
_SERVED = ("Image", "ImageDigest", "ModelDataUrl", "ModelDataSource", "Environment")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Variables of the function's environment.

    Args:
        endpoint_name: ``ENDPOINT_NAME``.
        group: ``MODEL_PACKAGE_GROUP``.
        model: ``MODEL``: request of CreateModel without ModelName and PrimaryContainer.
        endpoint_config: ``ENDPOINT_CONFIG``: request of CreateEndpointConfig without EndpointConfigName; its
            one variant has no ModelName.
        deployment_config: ``DEPLOYMENT_CONFIG``: how an update shifts traffic; None for all at once.
        tags: ``TAGS`` of all that is made.
    """

    endpoint_name: str
    group: str
    model: Mapping[str, Any]
    endpoint_config: Mapping[str, Any]
    deployment_config: Mapping[str, Any] | None
    tags: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls) -> Settings:
        """From the environment.

        Raises:
            ValueError: A variable holds no JSON of the right kind.
            KeyError: One is missing.
        """
        return cls(
            endpoint_name=os.environ["ENDPOINT_NAME"],
            group=os.environ["MODEL_PACKAGE_GROUP"],
            model=_json("MODEL", dict),
            endpoint_config=_one_variant(_json("ENDPOINT_CONFIG", dict)),
            deployment_config=_json("DEPLOYMENT_CONFIG", dict) or None,
            tags=_json("TAGS", list),
        )

    @property
    def prefix(self) -> str:
        """What names of models and configurations begin with; a hyphen and the digest follow."""
        return self.endpoint_name[: MAX_NAME - _DIGITS - 1].rstrip("-")

    def is_own(self, name: str) -> bool:
        """Whether a model or configuration is named as those of this endpoint are."""
        return re.fullmatch(rf"{re.escape(self.prefix)}-[0-9a-f]{{{_DIGITS}}}", name) is not None


@dataclass(frozen=True)
class Target:
    """A version with the endpoint's settings.

    Args:
        settings: The settings.
        version: The version.
    """

    settings: Settings
    version: Version

    @property
    def name(self) -> str:
        """Of the model and of the configuration: a digest of all that decides what is served.

        The version's number does not: two versions that are alike are served alike.
        """
        served = {name: value for name in _SERVED if (value := self.version.container.get(name))}
        content = {
            "container": served,
            "model": self.settings.model,
            "endpoint_config": self.settings.endpoint_config,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"{self.settings.prefix}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"

    @property
    def model_request(self) -> dict[str, Any]:
        """The request of CreateModel."""
        return {
            **self.settings.model,
            "ModelName": self.name,
            "PrimaryContainer": {"ModelPackageName": self.version.arn},
            "Tags": list(self.settings.tags),
        }

    def config_request(self, tags: Mapping[str, str]) -> dict[str, Any]:
        """The request of CreateEndpointConfig.

        Args:
            tags: Those beside the settings'.
        """
        (variant,) = self.settings.endpoint_config["ProductionVariants"]
        return {
            **self.settings.endpoint_config,
            "EndpointConfigName": self.name,
            "ProductionVariants": [{**variant, "ModelName": self.name}],
            "Tags": [*self.settings.tags, *({"Key": key, "Value": value} for key, value in tags.items())],
        }


def _json(name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    text = os.environ.get(name, "")
    try:
        value = json.loads(text) if text.strip() else kind()
    except ValueError as error:
        raise ValueError(f"The variable {name} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise ValueError(
            f"The variable {name} is {text[:80]}, and must be a JSON {'list' if kind is list else 'object'}"
        )
    return value


def _one_variant(config: dict[str, Any]) -> dict[str, Any]:
    count = len(config.get("ProductionVariants", []))
    if count != 1:
        raise ValueError(f"The variable ENDPOINT_CONFIG has {count} ProductionVariants, and must have 1")
    return config
