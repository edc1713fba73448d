"""Parts of a fleet of instances, by number or by percentage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from aws_cdk import aws_sagemaker as sagemaker

from .errors import Findings
from .limits import check_integer


class CapacityUnit(StrEnum):
    """What a capacity size counts (API shape CapacitySizeType)."""

    INSTANCE_COUNT = "INSTANCE_COUNT"
    CAPACITY_PERCENT = "CAPACITY_PERCENT"


@dataclass(frozen=True)
class CapacitySize:
    """A part of a fleet (API shape CapacitySize); made by `instances` or `percent`.

    Args:
        unit: What is counted.
        value: How many, 1 or more; at most 100 when it is percent.

    Raises:
        InvalidConfiguration: The value is out of range.
    """

    unit: CapacityUnit
    value: int

    def __post_init__(self) -> None:
        findings = Findings("CapacitySize")
        high = 100 if self.is_percent else None
        check_integer(findings, "value", self.value, low=1, high=high, source="API shape CapacitySize")
        findings.raise_if_any()

    @classmethod
    def instances(cls, count: int) -> CapacitySize:
        """So many instances of each variant."""
        return cls(CapacityUnit.INSTANCE_COUNT, count)

    @classmethod
    def percent(cls, percent: int) -> CapacitySize:
        """That part of each variant's instances, 1 to 100."""
        return cls(CapacityUnit.CAPACITY_PERCENT, percent)

    def __str__(self) -> str:
        if self.is_percent:
            return f"{self.value} %"
        return f"{self.value} instance{'' if self.value == 1 else 's'}"

    @property
    def is_percent(self) -> bool:
        """Whether the value is a percentage."""
        return self.unit == CapacityUnit.CAPACITY_PERCENT

    def steps(self, instance_count: int) -> int:
        """How many steps of this size a fleet takes.

        Args:
            instance_count: Instances of the fleet; of no matter for a percentage.
        """
        return math.ceil((100 if self.is_percent else instance_count) / self.value)

    def render(self) -> sagemaker.CfnEndpoint.CapacitySizeProperty:
        """The size as the endpoint's deployment configuration holds it."""
        return sagemaker.CfnEndpoint.CapacitySizeProperty(type=self.unit.value, value=self.value)
