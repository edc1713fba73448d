"""What all patterns share: how their stacks are named, tagged and protected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import aws_cdk as cdk

from constructs import Construct
from sagemaker_serving.naming import stable_name
from sagemaker_serving.storage import Retention

from .settings import PatternSettings

PATTERN_TAG = "sagemaker-serving:pattern"
ENVIRONMENT_TAG = "sagemaker-serving:environment"

SettingsT = TypeVar("SettingsT", bound=PatternSettings)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where and how an environment is deployed.

    Args:
        environment: For example ``dev``.
        root: The project's folder; directories in the configuration are relative to it.
        account: 12 digits; None for the one that the CDK CLI finds.
        region: None for the one that the CDK CLI finds.
        retention: What becomes of data and logs.
        termination_protection: Whether CloudFormation refuses to remove the stacks.
        alarm_emails: Who is asked to subscribe to alarms.
    """

    environment: str
    root: Path
    account: str | None
    region: str | None
    retention: Retention
    termination_protection: bool
    alarm_emails: tuple[str, ...]


class PatternStack(cdk.Stack, Generic[SettingsT]):
    """A pattern's stack; a subclass says which resources it is made of.

    Its id and its name in CloudFormation are the class's name. Stack tags tell clients and people what it is.

    Args:
        target: Where and how it is deployed.
        settings: The pattern's own section of the configuration.

    Attributes:
        pattern: The pattern's name in the configuration, and the value of the tag.
        settings_type: The class of its section.
    """

    pattern: ClassVar[str]
    settings_type: ClassVar[type[PatternSettings]]

    def __init__(self, scope: Construct, *, target: Target, settings: SettingsT) -> None:
        name = type(self).__name__
        super().__init__(
            scope,
            name,
            stack_name=name,
            description=(type(self).__doc__ or "").strip().splitlines()[0],
            env=cdk.Environment(account=target.account, region=target.region),
            tags={PATTERN_TAG: self.pattern, ENVIRONMENT_TAG: target.environment},
            termination_protection=target.termination_protection,
        )
        self.target = target
        self.settings = settings
        self.build()

    def build(self) -> None:
        """Make the resources from ``self.settings`` and ``self.target``."""
        raise NotImplementedError

    @property
    def endpoint_name(self) -> str:
        """The pattern and the environment: the same at every deployment."""
        return stable_name(self.pattern, self.target.environment)

    def publish(self, outputs: Mapping[str, Any]) -> None:
        """Add stack outputs; clients read them by these keys.

        Args:
            outputs: Key to value; None leaves an output out.
        """
        for key, value in outputs.items():
            if value is not None:
                cdk.CfnOutput(self, key, value=value)
