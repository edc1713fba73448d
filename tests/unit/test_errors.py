"""Findings: all of them in one error, and nothing said about what is not known before deployment."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest

from sagemaker_serving.errors import Findings, InvalidConfiguration, is_token


def tokens() -> list[Any]:
    return [
        cdk.Aws.REGION,
        f"prefix-{cdk.Fn.ref('Name')}",
        cdk.Token.as_number(cdk.Fn.ref("Count")),
        cdk.Token.as_list(cdk.Fn.ref("List")),
        cdk.Fn.get_att("Resource", "Arn"),
        cdk.Fn.condition_equals("a", cdk.Fn.ref("b")),
    ]


KNOWN = [
    "", "text", "${AWS::Region}", 0, -1, 2**70, 1.5, -1e289, float("nan"), float("-inf"), True, None,
    [], ["a"], ["a", "b"], [1], (1, 2), {"a": "b"}, {1}, b"bytes",
]  # fmt: skip


def test_what_the_cdk_resolves_later_is_a_token() -> None:
    for value in tokens():
        assert is_token(value), value
        assert cdk.Token.is_unresolved(value)


@pytest.mark.parametrize("value", KNOWN, ids=repr)
def test_what_is_known_is_no_token(value: object) -> None:
    assert not is_token(value)


def test_every_number_token_is_recognised() -> None:
    assert all(is_token(cdk.Token.as_number(cdk.Fn.ref(f"Count{number}"))) for number in range(100))


def test_a_finding_says_what_where_what_is_allowed_and_what_to_do() -> None:
    findings = Findings("Stack/Endpoint")
    assert not findings.require(False, "variants", [], "at least one is needed", "add one")
    with pytest.raises(InvalidConfiguration) as caught:
        findings.raise_if_any()
    assert str(caught.value) == (
        "Stack/Endpoint: 1 problem\n  - variants = []: at least one is needed. Fix: add one."
    )


def test_all_findings_come_at_once_in_order() -> None:
    findings = Findings("here")
    for field in "abc":
        findings.require(False, field, 1, "no", "change it")
    with pytest.raises(InvalidConfiguration, match="here: 3 problems") as caught:
        findings.raise_if_any()
    assert [finding.field for finding in caught.value.findings] == ["a", "b", "c"]


def test_a_token_passes_and_its_condition_is_not_asked() -> None:
    def must_not_run() -> bool:
        raise AssertionError("asked about a token")

    findings = Findings("here")
    assert all(findings.require(must_not_run, "f", value, "rule", "fix") for value in tokens())
    findings.raise_if_any()


def test_nothing_is_raised_when_nothing_was_found() -> None:
    findings = Findings("here")
    assert findings.require(True, "f", 1, "rule", "fix")
    assert findings.require(lambda: True, "f", None, "rule", "fix")
    findings.raise_if_any()
