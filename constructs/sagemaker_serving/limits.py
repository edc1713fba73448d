"""Checks that several values share: ranges, choices and durations, as findings and never as a traceback."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from enum import StrEnum

import aws_cdk as cdk

from .errors import Finding, Findings, InvalidConfiguration, is_token


def check_integer(
    findings: Findings,
    field: str,
    value: object,
    *,
    low: int,
    high: int | None = None,
    source: str,
) -> bool:
    """Note a finding unless the value is a whole number in a range; tokens pass.

    Args:
        findings: Where to note it.
        field: The argument or property at fault.
        value: What was given.
        low: Smallest allowed value.
        high: Largest allowed value; None for no limit.
        source: The API shape the limit comes from.

    Returns:
        Whether the value is a known number within the range (so that further checks may use it) or a token.
    """
    span = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def passes() -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and value >= low
            and (high is None or value <= high)
        )

    return findings.require(
        passes, field, value, f"must be a whole number {span} ({source})", f"give a whole number {span}"
    )


def check_number(
    findings: Findings,
    field: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    source: str,
) -> bool:
    """Note a finding unless the value is a finite number above a bound; tokens pass.

    Args:
        findings: Where to note it.
        field: The argument or property at fault.
        value: What was given.
        low: Smallest allowed value.
        above: The value must be greater than this.
        source: The API shape the limit comes from.

    Returns:
        Whether the value passed.
    """
    span = f"of at least {low:g}" if low is not None else f"above {above:g}" if above is not None else ""

    def passes() -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (low is None or value >= low)
            and (above is None or value > above)
        )

    return findings.require(
        passes, field, value, f"must be a finite number {span} ({source})", f"give a number {span}"
    )


def check_seconds(
    findings: Findings,
    field: str,
    value: cdk.Duration | None,
    *,
    low: int,
    high: int | None = None,
    source: str,
) -> int | None:
    """Note a finding unless a duration is a whole number of seconds in a range; None and tokens pass.

    Args:
        findings: Where to note it.
        field: The argument or property at fault.
        value: What was given.
        low: Smallest number of seconds.
        high: Largest number of seconds; None for no limit.
        source: The API shape the limit comes from.

    Returns:
        The seconds, when they are known and allowed; otherwise None.
    """
    if value is None:
        return None
    if not isinstance(value, cdk.Duration):
        findings.require(
            False, field, value, "must be a duration", "give for example aws_cdk.Duration.minutes(5)"
        )
        return None
    if value.is_unresolved():
        return None
    seconds = float(value.to_seconds(integral=False))
    span = f"{low} to {high} s" if high is not None else f"at least {low} s"
    passed = findings.require(
        seconds.is_integer() and seconds >= low and (high is None or seconds <= high),
        field,
        f"{seconds:g} s",
        f"must be a whole number of seconds, {span} ({source})",
        f"give {span}",
    )
    return int(seconds) if passed else None


def seconds_or_none(duration: cdk.Duration | None) -> float | None:
    """A duration as CloudFormation takes it; None stays None.

    Args:
        duration: A duration that passed `check_seconds`.
    """
    return None if duration is None else duration.to_seconds()


def check_choice(
    findings: Findings, field: str, value: object, kind: type[StrEnum], *, source: str
) -> StrEnum | None:
    """Note a finding unless the value is one of an enumeration's; None and tokens pass.

    Args:
        findings: Where to note it.
        field: The argument or property at fault.
        value: A member of ``kind``, or its text.
        kind: The enumeration.
        source: The API shape it comes from.

    Returns:
        The member; None when there is none or it is not known yet.
    """
    if value is None or is_token(value):
        return None
    choices = [member.value for member in kind]
    if isinstance(value, str) and value in choices:
        return kind(value)
    findings.require(
        False, field, value, f"must be one of {', '.join(choices)} ({source})", suggest(str(value), choices)
    )
    return None


def suggest(value: str, allowed: Iterable[str], *, limit: int = 3) -> str:
    """A fix that names the allowed values closest to what was typed.

    Args:
        value: What was typed.
        allowed: What could have been typed.
        limit: How many close ones to name.

    Returns:
        For example ``did you mean ml.m5.large``; every allowed value when there are few and none is close.
    """
    choices = list(allowed)
    close = difflib.get_close_matches(value, choices, n=limit, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}"
    if len(choices) <= 12:
        return f"use one of {', '.join(choices)}"
    return f"use one of {', '.join(choices[:limit])}, or another of the {len(choices)} there are"


def adopt(findings: Findings, error: InvalidConfiguration, prefix: str) -> None:
    """Take over the findings of a value inside the one being checked.

    Args:
        findings: Where to note them.
        error: What the inner value raised.
        prefix: The outer field that holds the inner value.
    """
    for found in error.findings:
        findings.found.append(Finding(prefix, found.value, found.rule, found.fix))
