"""Shared checks: what is said about ranges, choices, durations and typing mistakes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_serving.errors import Finding, Findings, InvalidConfiguration
from sagemaker_serving.limits import adopt, check_choice, check_integer, check_number, check_seconds, suggest

ANYTHING: Any = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.binary()
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@settings(deadline=None)
@given(value=ANYTHING, low=st.integers(-5, 5), span=st.integers(0, 10))
def test_an_integer_check_never_breaks_and_passes_only_what_is_in_range(
    value: Any, low: int, span: int
) -> None:
    findings = Findings("test")
    passed = check_integer(findings, "f", value, low=low, high=low + span, source="s")
    assert passed == (type(value) is int and low <= value <= low + span)
    assert len(findings.found) == (0 if passed else 1)


@settings(deadline=None)
@given(value=ANYTHING)
def test_a_number_check_never_breaks_and_passes_only_finite_numbers(value: Any) -> None:
    findings = Findings("test")
    passed = check_number(findings, "f", value, above=0, source="s")
    assert passed == (type(value) in (int, float) and 0 < value < float("inf"))


def test_the_seconds_of_a_legal_duration_come_back() -> None:
    findings = Findings("test")
    assert check_seconds(findings, "f", cdk.Duration.minutes(2), low=0, high=120, source="s") == 120
    assert check_seconds(findings, "f", None, low=0, source="s") is None
    assert check_seconds(findings, "f", cdk.Duration.days(1), low=0, source="s") == 86400
    assert findings.found == []


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (cdk.Duration.seconds(59), "f = '59 s': must be a whole number of seconds, 60 to 120 s"),
        (cdk.Duration.minutes(3), "f = '180 s'"),
        (cdk.Duration.millis(60001), "f = '60.001 s'"),
        (90, "f = 90: must be a duration"),
        ("90s", "f = '90s': must be a duration"),
    ],
    ids=["short", "long", "split", "number", "text"],
)
def test_an_illegal_duration_is_a_finding(duration: Any, said: str) -> None:
    findings = Findings("test")
    assert check_seconds(findings, "f", duration, low=60, high=120, source="s") is None
    assert said in str(findings.found[0])


def test_a_choice_is_a_member_or_its_text() -> None:
    findings = Findings("test")
    assert check_choice(findings, "f", Colour.RED, Colour, source="s") is Colour.RED
    assert check_choice(findings, "f", "blue", Colour, source="s") is Colour.BLUE
    assert check_choice(findings, "f", None, Colour, source="s") is None
    assert findings.found == []


@pytest.mark.parametrize("value", ["rad", "RED", "", 5, ["red"]], ids=repr)
def test_anything_else_is_a_finding_that_lists_the_choices(value: object) -> None:
    findings = Findings("test")
    assert check_choice(findings, "f", value, Colour, source="s") is None
    assert "must be one of red, blue" in str(findings.found[0])


def test_a_typing_mistake_is_met_with_what_comes_close() -> None:
    assert suggest("rde", ["red", "blue"]) == "did you mean red"
    assert suggest("zzz", ["red", "blue"]) == "use one of red, blue"
    assert suggest("zzz", [f"name{number}" for number in range(20)]).endswith("another of the 20 there are")


def test_findings_of_an_inner_value_are_taken_over_under_the_outer_field() -> None:
    findings = Findings("test")
    adopt(findings, InvalidConfiguration("inner", [Finding("x", 1, "rule", "fix")]), "outer")
    assert str(findings.found[0]) == "outer = 1: rule. Fix: fix."
