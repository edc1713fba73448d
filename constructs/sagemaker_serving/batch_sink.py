"""Where a batch workflow's rows land: what every sink tells the functions that write into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from aws_cdk import aws_iam as iam


class SinkKind(StrEnum):
    """Which store; functions know it by this word."""

    DYNAMODB = "dynamodb"
    POSTGRESQL = "postgresql"


class Sink(Protocol):
    """A store of scored rows, keyed by their record id.

    Attributes:
        kind: Which store.
        environment: Variables that tell a function where it is.
        wildcards: Resources that its statements name with a wildcard, and why.
    """

    kind: SinkKind
    environment: Mapping[str, str]
    wildcards: Mapping[str, str]

    def write_statements(self) -> Sequence[iam.PolicyStatement]:
        """What a function needs to compare rows with those that are there, and to write."""
        ...

    def count_statements(self) -> Sequence[iam.PolicyStatement]:
        """What a function needs to count a job's rows."""
        ...

    def read_statements(self) -> Sequence[iam.PolicyStatement]:
        """What somebody needs to look up rows."""
        ...

    def outputs(self) -> Mapping[str, str]:
        """What clients need to know, by the keys of stack outputs."""
        ...
