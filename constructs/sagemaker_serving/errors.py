"""One error that carries every finding, so that a person corrects a configuration once."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aws_cdk as cdk

# How CDK encodes a value that is known only at deployment (aws-cdk-lib core/lib/private/encoding.ts).
_MARK_IN_STRING = "${Token["
_MARK_IN_LIST = "#{Token["
_NUMBER_PREFIX = 0xFBFF


def is_token(value: object) -> bool:
    """Whether a value is a CDK token, that is, not known before deployment.

    Answers as ``cdk.Token.is_unresolved`` does, but in this process: that call costs a millisecond, and it
    takes the jsii kernel down when it meets NaN or a huge integer, which a check must be able to look at.
    """
    if isinstance(value, str):
        return _MARK_IN_STRING in value
    if isinstance(value, float):
        return int.from_bytes(struct.pack(">d", value)[:2], "big") == _NUMBER_PREFIX
    if isinstance(value, list):
        return len(value) == 1 and isinstance(value[0], str) and _MARK_IN_LIST in value[0]
    return hasattr(value, "__jsii_ref__") and cdk.Token.is_unresolved(value)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a configuration.

    Args:
        field: The argument or property at fault, for example ``variants[0].initial_instance_count``.
        value: The value that was given.
        rule: What is allowed, and why where that helps.
        fix: What to do about it.
    """

    field: str
    value: object
    rule: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: {self.rule}. Fix: {self.fix}."


class InvalidConfiguration(ValueError):
    """Raised with all findings at once.

    Args:
        where: What was being made: a class name, or a construct path.
        findings: At least one finding.
    """

    def __init__(self, where: str, findings: Iterable[Finding]) -> None:
        self.where = where
        self.findings = tuple(findings)
        count = len(self.findings)
        head = f"{where}: {count} {'problem' if count == 1 else 'problems'}"
        super().__init__("\n".join([head, *(f"  - {finding}" for finding in self.findings)]))


class Findings:
    """Collects findings while a value or a construct is checked.

    Values that are CDK tokens are not known yet and pass every check.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[Finding] = []

    def require(
        self, condition: bool | Callable[[], bool], field: str, value: object, rule: str, fix: str
    ) -> bool:
        """Note a finding unless the condition holds or the value is a token.

        Args:
            condition: A truth value, or a function that is called only for a value that is known.
            field: See `Finding`.
            value: See `Finding`; a token is skipped.
            rule: See `Finding`.
            fix: See `Finding`.

        Returns:
            Whether the value passed.
        """
        if is_token(value):
            return True
        passed = condition() if callable(condition) else condition
        if not passed:
            self.found.append(Finding(field, value, rule, fix))
        return passed

    def raise_if_any(self) -> None:
        """Raise `InvalidConfiguration` if anything was found."""
        if self.found:
            raise InvalidConfiguration(self.where, self.found)
